//! The trait: one call of a function a step.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{Attempt, Backend, Claim, Ownership, Profile, Result, Wakeups};

use crate::Postgres;
use crate::error::NAME;

/// Who has been told to wait, by their tags. What is left of one that was dropped unreleased is eight bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(Arc<Mutex<HashSet<u64>>>);

impl Places {
    fn has(&self, claim: &Claim) -> bool {
        self.tags().contains(&claim.tag())
    }

    fn add(&self, claim: &Claim) {
        self.tags().insert(claim.tag());
    }

    fn remove(&self, claim: &Claim) {
        self.tags().remove(&claim.tag());
    }

    fn tags(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
        if claim.waits() && self.server.sessions {
            self.ear.listen().await;
        }
        // A look that most likely writes nothing does not wait for those that do.
        let line = if self.places.has(claim) { &self.ends } else { &self.asks };
        let attempt = line.acquire(claim).await?;
        match attempt {
            Attempt::Busy(_) if claim.waits() => self.places.add(claim),
            _ => self.places.remove(claim),
        }
        Ok(attempt)
    }

    async fn renew(&self, claims: &[Arc<Claim>]) -> Vec<Result<Ownership>> {
        self.ends.renew(claims).await
    }

    async fn release(&self, claim: &Claim, keep: Duration) -> Result<Ownership> {
        self.places.remove(claim);
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
        let line = self.asks.beside(server.clone());
        line.open().await?;
        Ok(Arc::new(Self { server, asks: line.clone(), ends: line, ..self.clone() }))
    }
}
