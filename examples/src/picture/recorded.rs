//! A store that says what is asked of it, and what it answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{Attempt, Backend, Claim, Ownership, Profile, Result, Wakeups};

use super::event::{Event, Kind};

/// What the lane of the store is called.
pub const LOCKS: &str = "locks";

/// A store, as one worker sees it.
#[derive(Clone, Debug)]
pub struct Recorded {
    store: Arc<dyn Backend>,
    worker: Arc<str>,
    /// Whether it was told to wait.
    waits: Arc<AtomicBool>,
}

impl Recorded {
    /// Records what this worker does with a store.
    pub fn new(store: impl Backend, worker: &str) -> Self {
        Self { store: Arc::new(store), worker: worker.into(), waits: Arc::default() }
    }

    fn asks(&self, text: &str) -> u64 {
        let asked = Event::now(&self.worker, LOCKS, Kind::Ask, text);
        asked.say();
        asked.at
    }

    /// The answer to what was asked at a time; a lease counts from there.
    fn hears(&self, kind: Kind, asked: u64, lease: Option<Duration>, text: &str) {
        let lease = lease.map(|lease| u64::try_from(lease.as_micros()).unwrap_or(u64::MAX));
        let until = lease.map(|lease| asked.saturating_add(lease));
        Event { until, ..Event::now(LOCKS, &self.worker, kind, text) }.say();
    }

    fn hears_of(&self, asked: u64, ownership: &Result<Ownership>, held: &str) {
        match ownership {
            Ok(Ownership::Held { lease }) => {
                let lease = (!lease.is_zero()).then_some(*lease);
                self.hears(Kind::Answer, asked, lease, held);
            }
            Ok(_) => self.hears(Kind::Refusal, asked, None, "lost: it has lapsed"),
            Err(error) => self.hears(Kind::Refusal, asked, None, &error.to_string()),
        }
    }
}

#[async_trait]
impl Backend for Recorded {
    fn profile(&self) -> Profile {
        self.store.profile()
    }

    async fn acquire(&self, claim: &Claim) -> Result<Attempt> {
        let waits = self.waits.load(Ordering::Relaxed);
        let asked = self.asks(if waits { "look again" } else { "acquire" });
        let attempt = self.store.acquire(claim).await;
        match &attempt {
            Ok(Attempt::Granted(grant)) => {
                let text = format!("granted, token {}", grant.token);
                self.hears(Kind::Answer, asked, Some(grant.lease), &text);
            }
            Ok(_) => {
                self.waits.store(true, Ordering::Relaxed);
                self.hears(Kind::Busy, asked, None, if waits { "still busy" } else { "busy: wait in line" });
            }
            Err(error) => self.hears(Kind::Refusal, asked, None, &error.to_string()),
        }
        attempt
    }

    async fn renew(&self, claims: &[Arc<Claim>]) -> Vec<Result<Ownership>> {
        let asked = self.asks("renew");
        let renewed = self.store.renew(claims).await;
        renewed.iter().for_each(|ownership| self.hears_of(asked, ownership, "held for another ttl"));
        renewed
    }

    async fn release(&self, claim: &Claim, keep: Duration) -> Result<Ownership> {
        let asked = self.asks("release");
        let released = self.store.release(claim, keep).await;
        self.hears_of(asked, &released, "released");
        released
    }

    async fn wakeups(&self, claim: &Claim) -> Result<Wakeups> {
        self.store.wakeups(claim).await
    }

    async fn fork(&self) -> Result<Arc<dyn Backend>> {
        let store = self.store.fork().await?;
        Ok(Arc::new(Self { store, ..self.clone() }))
    }
}
