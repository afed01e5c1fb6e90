//! Stores by URL, and a wrapper that counts the calls.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{Attempt, Backend, Claim, Memory, Ownership, Profile, Result, Wakeups};
use lock_sqlite::Options;

use crate::sqlite::Bare;

/// A store by URL.
#[derive(Clone)]
pub(crate) enum Store {
    Memory(Memory),
    Sqlite(PathBuf),
}

/// A store with its settings, and the bare driver with the same.
#[derive(Clone)]
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    pub(crate) store: Store,
    full_sync: bool,
}

impl Store {
    pub(crate) fn parse(url: &str) -> std::result::Result<Self, String> {
        match url.split_once(':') {
            Some(("memory", _)) => Ok(Self::Memory(Memory::new())),
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            _ => Err(format!("{url:?} is no backend: sqlite:PATH or memory:")),
        }
    }

    pub(crate) fn variants(&self) -> Vec<Variant> {
        let variant = |name, full_sync| Variant { name, store: self.clone(), full_sync };
        match self {
            Self::Memory(_) => vec![variant("memory", false)],
            Self::Sqlite(_) => vec![variant("NORMAL", false), variant("FULL", true)],
        }
    }

    pub(crate) fn shared_by_processes(&self) -> bool {
        !matches!(self, Self::Memory(_))
    }

    pub(crate) async fn client(&self) -> Result<Arc<dyn Backend>> {
        self.open(false).await
    }

    /// The bare driver, where there is one.
    pub(crate) fn bare(&self) -> Option<Bare> {
        self.open_bare(false)
    }

    fn open_bare(&self, full_sync: bool) -> Option<Bare> {
        match self {
            Self::Memory(_) => None,
            Self::Sqlite(path) => Some(Bare::open(path, full_sync)),
        }
    }

    /// The file that its clients open, if it is one.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        match self {
            Self::Memory(_) => None,
            Self::Sqlite(path) => path.canonicalize().ok(),
        }
    }

    async fn open(&self, full_sync: bool) -> Result<Arc<dyn Backend>> {
        match self {
            Self::Memory(memory) => Ok(Arc::new(memory.clone())),
            Self::Sqlite(path) => Ok(Arc::new(Options::default().full_sync(full_sync).open(path).await?)),
        }
    }
}

impl Variant {
    pub(crate) async fn client(&self) -> Result<Arc<dyn Backend>> {
        self.store.open(self.full_sync).await
    }

    pub(crate) fn bare(&self) -> Option<Bare> {
        self.store.open_bare(self.full_sync)
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
