//! Who is queued: seen on the way, so that a case can bring claims into an order without hoping.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{Attempt, Backend, Claim, Locker, Ownership, Profile, Result, Wakeups};
use tokio::sync::watch;

use crate::World;
use crate::patience::{LONG, within};

/// The waiting claims that clients of this queue have seen refused.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue(watch::Sender<HashSet<u64>>);

impl Queue {
    /// A client whose refused claims are seen here.
    pub(crate) fn over(&self, client: impl Backend) -> impl Backend {
        Seen { inner: Arc::new(client), queue: self.clone() }
    }

    /// A locker on an independent client of this kind, whose ttl outlasts the case.
    pub(crate) async fn locker(&self, world: &World) -> Locker {
        Locker::new(self.over(world.client().await)).with_ttl(LONG)
    }

    /// Waits until so many claims, all told, have been queued.
    pub(crate) async fn has(&self, claims: usize) {
        let mut queued = self.0.subscribe();
        let enough = queued.wait_for(|queued| queued.len() >= claims);
        let seen = within(&format!("{claims} queued claims"), enough).await;
        drop(seen.expect("this queue has its sender"));
    }
}

#[derive(Debug)]
struct Seen {
    inner: Arc<dyn Backend>,
    queue: Queue,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for Seen {
    fn profile(&self) -> Profile {
        self.inner.profile()
    }

    async fn acquire(&self, claim: &Claim) -> Result<Attempt> {
        let attempt = self.inner.acquire(claim).await;
        if claim.waits() && matches!(attempt, Ok(Attempt::Busy(_))) {
            self.queue.0.send_if_modified(|queued| queued.insert(claim.tag()));
        }
        attempt
    }

    async fn renew(&self, claims: &[Arc<Claim>]) -> Vec<Result<Ownership>> {
        self.inner.renew(claims).await
    }

    async fn release(&self, claim: &Claim, keep: Duration) -> Result<Ownership> {
        self.inner.release(claim, keep).await
    }

    async fn wakeups(&self, claim: &Claim) -> Result<Wakeups> {
        self.inner.wakeups(claim).await
    }

    async fn fork(&self) -> Result<Arc<dyn Backend>> {
        self.inner.fork().await
    }
}
