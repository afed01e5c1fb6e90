//! The trait: one call of a function a step.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{Attempt, Backend, Claim, Ownership, Profile, Result, Wakeups};

use crate::Postgres;
use crate::error::NAME;
use crate::link::Link;

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for Postgres {
    fn profile(&self) -> Profile {
        match self.server.sessions {
            true => Profile::new(NAME),
            false => Profile::new(NAME).polled(),
        }
    }

    async fn acquire(&self, claim: &Claim) -> Result<Attempt> {
        let turns = self.ear.turns();
        if let Some(grant) = turns.take(claim) {
            return Ok(Attempt::Granted(grant));
        }
        if claim.waits() && self.server.sessions {
            self.ear.listen().await;
        }
        // A look that most likely writes nothing does not wait for those that do.
        let waits = turns.waits(claim);
        let line = if waits { &self.ends } else { &self.asks };
        let (attempt, place) = line.acquire(claim, !waits).await?;
        place.into_iter().for_each(|number| turns.wait(claim, number));
        Ok(attempt)
    }

    async fn renew(&self, claims: &[Arc<Claim>]) -> Vec<Result<Ownership>> {
        self.ends.renew(claims).await
    }

    async fn release(&self, claim: &Claim, keep: Duration) -> Result<Ownership> {
        self.ear.turns().forget(claim);
        self.ends.release(claim, keep).await
    }

    async fn wakeups(&self, claim: &Claim) -> Result<Wakeups> {
        match self.server.sessions {
            true => Ok(self.ear.bells().hang(claim)),
            false => Ok(Wakeups::once()),
        }
    }

    /// With connections of its own, also where this one has somebody else's.
    async fn fork(&self) -> Result<Arc<dyn Backend>> {
        let server = self.server.without_pool();
        let link = Arc::new(Link::new(server.clone()));
        link.open().await?;
        let line = self.asks.beside(link);
        Ok(Arc::new(Self { server, asks: line.clone(), ends: line, ..self.clone() }))
    }
}
