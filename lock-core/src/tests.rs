//! Tests that need no server: tokio's paused clock and a gated store.
#![allow(clippy::disallowed_methods, reason = "a test waits and spawns as it likes")]

use std::time::Duration;

use tokio::time::Instant;

use crate::{Attempt, Backend, Claim, ErrorKind, Guard, Locker, Memory, Mode, Profile, Result};

mod cancellation;
mod gated;
mod life;
mod observe;
mod ordered;
mod places;
mod release;
mod renewal;
mod rings;
mod room;
mod validation;
mod waiting;

use gated::{Call, Gate, Gated, Method};

/// The ttl of most locks here. A deadline is 600 ms before its end.
const TTL: Duration = Duration::from_secs(30);

/// More than timers and pauses are off by, less than anything that is told apart here.
const TICK: Duration = Duration::from_millis(5);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A store with open gates and a locker on it.
fn gated() -> (Gated, Locker) {
    gated_as(Profile::new("gated"))
}

fn gated_as(profile: Profile) -> (Gated, Locker) {
    let store = Gated::new(profile);
    (store.clone(), Locker::new(store))
}

/// Somebody else on the same store, whose calls are not written down, and who holds a key.
async fn rival(store: &Gated, key: &str) -> Guard {
    Locker::new(store.memory().clone()).lock(key).acquire().await.unwrap()
}

/// Puts a claim into a store that nobody renews.
async fn abandoned(store: &Memory, key: &str, mode: Mode, ttl: Duration) -> Claim {
    let claim = Claim::new(key, mode, ttl).unwrap().queued();
    store.acquire(&claim).await.unwrap();
    claim
}

async fn is_free(store: &Memory, key: &str) -> bool {
    let claim = Claim::new(key, Mode::Exclusive, TTL).unwrap();
    let free = matches!(store.acquire(&claim).await.unwrap(), Attempt::Granted(_));
    store.release(&claim, Duration::ZERO).await.unwrap();
    free
}

fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// Whether something took so long, give or take what timers are off by.
fn took(start: Instant, expected: Duration) -> bool {
    let elapsed = start.elapsed();
    (expected..expected + TICK).contains(&elapsed)
}
