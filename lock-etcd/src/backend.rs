//! The trait: what is asked of the store in which order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{Attempt, Backend, Claim, Error, ErrorKind, Ownership, Profile, Result, Wakeups};
use tokio::sync::mpsc;

use crate::Etcd;
use crate::clock::Moment;
use crate::error::NAME;
use crate::names::Form;
use crate::steps::Under;
use crate::waiter::{Wait, own_names};
use crate::wakeups::{Command, Rings};

/// The shortest lease that etcd gives, with the heartbeats that it has by default.
const SHORTEST: Duration = Duration::from_secs(2);

/// How long others may be faster.
const CROWDED: Duration = Duration::from_secs(10);

/// The most claims whose leases are renewed before they are looked at.
const BATCH: usize = 128;

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for Etcd {
    fn profile(&self) -> Profile {
        Profile::new(NAME).min_ttl(SHORTEST)
    }

    async fn acquire(&self, claim: &Claim) -> Result<Attempt> {
        let started = Moment::now();
        let places = self.shared.names.places(claim);
        if let Some(known) = self.shared.leases.turn(claim.owner(), started)
            && let Some(attempt) = self.grant(claim, &places, &known, started).await?
        {
            return Ok(attempt);
        }
        let (mut way, mut under) = (None, Under::Short);
        let mut alone = !self.shared.crowds.expected(claim);
        // Whoever comes at the same moment may be faster, again and again.
        while started.elapsed() < CROWDED {
            let answer = match self.shared.leases.known(claim.owner()) {
                Some(known) => self.look(claim, &places, known.number, started).await?,
                None if claim.waits() => {
                    self.queue(claim, &places, started, std::mem::take(&mut alone), &mut under).await?
                }
                None => self.skip(claim, &places, started, &mut way, &mut under).await?,
            };
            if let Some(attempt) = answer {
                return Ok(attempt);
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "others were faster for too long"))
    }

    async fn renew(&self, claims: &[Arc<Claim>]) -> Vec<Result<Ownership>> {
        let mut answers = Vec::with_capacity(claims.len());
        for batch in claims.chunks(BATCH) {
            answers.extend(self.renew_some(batch).await);
        }
        answers
    }

    async fn release(&self, claim: &Claim, keep: Duration) -> Result<Ownership> {
        let places = self.shared.names.places(claim);
        let held = if keep.is_zero() {
            self.remove(claim, &places).await?
        } else {
            self.keep(claim, &places, keep).await?
        };
        Ok(if held { Ownership::held(keep) } else { Ownership::Lost })
    }

    async fn wakeups(&self, claim: &Claim) -> Result<Wakeups> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let session = self.link.session().await?;
        let (sender, rings) = mpsc::channel(1);
        let id = LAST.fetch_add(1, Ordering::Relaxed);
        let known = self.shared.leases.known(claim.owner());
        let places = self.shared.names.places(claim);
        let own = match &known {
            Some(known) => own_names(&places, [known.form]),
            None => own_names(&places, [Form::Short, Form::Long]),
        };
        let refusal = known.as_ref().and_then(|known| known.wait.as_deref());
        let wait = Wait {
            owner: claim.owner(),
            own,
            places: places.into(),
            mode: claim.mode(),
            number: known.as_ref().map(|known| known.number),
            shared: self.shared.clone(),
            rings: sender,
        };
        let (behind, seen) =
            refusal.map_or((Vec::new(), 0), |refusal| (refusal.behind.clone(), refusal.seen));
        let task = session.tell(Command::Wait(id, wait, behind, seen));
        Ok(Wakeups::new(Rings { id, rings, task }))
    }

    async fn fork(&self) -> Result<Arc<dyn Backend>> {
        let link = self.link.fork().map_or_else(|| self.link.clone(), Arc::new);
        Ok(Arc::new(Self::over(link, self.shared.clone())))
    }
}

/// A duration in the store's unit: rounded up, and no shorter than the shortest.
pub(crate) fn whole_seconds(duration: Duration) -> i64 {
    let seconds = duration.max(SHORTEST).as_nanos().div_ceil(1_000_000_000);
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
