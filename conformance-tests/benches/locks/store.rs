//! What a store is to the benchmark, and a wrapper that counts the calls.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{Attempt, Backend, Claim, Memory, Ownership, Profile, Result, Wakeups};

use crate::etcd::Etcd;
use crate::postgres::Postgres;
use crate::redis::Redis;
use crate::sqlite::Sqlite;

/// A store with its settings. Another one is a file with this trait, and a line in [`open`].
#[async_trait]
pub(crate) trait Store: Send + Sync {
    /// It and its settings.
    fn name(&self) -> &str;

    /// An independent client.
    async fn client(&self) -> Result<Arc<dyn Backend>>;

    /// What its driver does without this library.
    async fn bare(&self) -> Option<Arc<dyn Bare>> {
        None
    }

    /// Where another process finds it, if one can.
    fn url(&self) -> Option<&str> {
        None
    }

    /// The file that its clients open, if it is one.
    fn file(&self) -> Option<&Path> {
        None
    }

    /// How many requests of this library the server has served, if it counts them.
    async fn requests(&self) -> Option<u64> {
        None
    }

    /// What it counts as a request.
    fn request(&self) -> &str {
        "requests"
    }

    /// How many streams are open at the server, if it counts them.
    async fn streams(&self) -> Option<u64> {
        None
    }
}

/// The bare driver: locks as somebody would write them who knows the store well. Its connections have the settings of
/// the library's.
#[async_trait]
pub(crate) trait Bare: Send + Sync {
    /// Takes and gives back a lock that nobody else wants.
    async fn pair(&self, key: &str);

    /// How its contenders wait.
    fn waits(&self) -> &str;

    /// Makes a lock free, whatever has become of it.
    async fn free(&self, key: &str);

    /// Somebody who wants a lock that others want, too.
    async fn contender(&self, key: &str) -> Box<dyn Contender>;
}

/// Somebody who takes a lock again and again.
#[async_trait]
pub(crate) trait Contender: Send {
    /// Waits for it. Answers a number that grows with each turn of anybody, and how often it looked if it polls.
    async fn take(&mut self) -> (u64, u64);

    /// Gives it to whoever is next.
    async fn give(&mut self);
}

/// A store by URL, in all its settings.
pub(crate) fn open(url: &str) -> std::result::Result<Vec<Arc<dyn Store>>, String> {
    match url.split_once(':') {
        Some(("memory", _)) => Ok(vec![Arc::new(InMemory(Memory::new()))]),
        Some(("sqlite", path)) if !path.is_empty() => {
            let with =
                |full_sync| Arc::new(Sqlite::new(url, PathBuf::from(path), full_sync)) as Arc<dyn Store>;
            Ok(vec![with(false), with(true)])
        }
        Some(("redis" | "rediss", _)) => Ok(vec![Arc::new(Redis::new(url))]),
        Some(("postgres" | "postgresql", _)) => Ok(Postgres::all(url)),
        Some(("etcd", _)) => Ok(vec![Arc::new(Etcd::new(url))]),
        _ => Err(format!(
            "{url:?} is no backend: sqlite:PATH, redis://HOST, postgres://HOST, etcd://HOST; redis:, postgres: or etcd: for \
             a server of its own; or memory:"
        )),
    }
}

struct InMemory(Memory);

#[async_trait]
impl Store for InMemory {
    fn name(&self) -> &str {
        "memory"
    }

    async fn client(&self) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(self.0.clone()))
    }
}

/// How often each call was made.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) acquire: AtomicUsize,
    pub(crate) renew: AtomicUsize,
    /// Claims of all renewing calls.
    pub(crate) renewed: AtomicUsize,
    pub(crate) release: AtomicUsize,
}

impl Counts {
    pub(crate) fn all(&self) -> usize {
        [&self.acquire, &self.renew, &self.release].map(|count| count.load(Ordering::Relaxed)).iter().sum()
    }
}

/// Counts what is asked of a backend.
#[derive(Debug)]
pub(crate) struct Counting {
    pub(crate) inner: Arc<dyn Backend>,
    pub(crate) counts: Arc<Counts>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for Counting {
    fn profile(&self) -> Profile {
        self.inner.profile()
    }

    async fn acquire(&self, claim: &Claim) -> Result<Attempt> {
        self.counts.acquire.fetch_add(1, Ordering::Relaxed);
        self.inner.acquire(claim).await
    }

    async fn renew(&self, claims: &[Arc<Claim>]) -> Vec<Result<Ownership>> {
        self.counts.renew.fetch_add(1, Ordering::Relaxed);
        self.counts.renewed.fetch_add(claims.len(), Ordering::Relaxed);
        self.inner.renew(claims).await
    }

    async fn release(&self, claim: &Claim, keep: Duration) -> Result<Ownership> {
        self.counts.release.fetch_add(1, Ordering::Relaxed);
        self.inner.release(claim, keep).await
    }

    async fn wakeups(&self, claim: &Claim) -> Result<Wakeups> {
        self.inner.wakeups(claim).await
    }

    async fn fork(&self) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(Self { inner: self.inner.fork().await?, counts: self.counts.clone() }))
    }
}
