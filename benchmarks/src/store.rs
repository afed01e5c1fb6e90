//! What a store is to the benchmark.

use std::path::Path;

use async_trait::async_trait;
use lock_core::Memory;

use crate::measure::Measure;
use crate::ours::Ours;
use crate::rival::{Failure, Rival};

/// A store with its settings. Another one is a module with this trait, and a line in [`open`].
#[async_trait]
pub(crate) trait Store: Send + Sync {
    /// It and its settings.
    fn name(&self) -> &str;

    /// Where another process finds it.
    fn url(&self) -> &str;

    /// Where a process finds one of its own, if that is what is measured: one that has never held anything.
    fn fresh(&self) -> Option<&'static str> {
        None
    }

    /// Who is compared on it: this project first.
    fn rivals(&self) -> Vec<Box<dyn Rival>>;

    /// What it is, with its version.
    async fn version(&self) -> Result<String, Failure>;

    /// What makes sense on it.
    fn measures(&self, measure: Measure) -> bool;

    /// The file that its clients open, if it is one.
    fn file(&self) -> Option<&Path> {
        None
    }

    /// How many requests the server has served, if it counts them: of this rival, or of all but this asking.
    async fn requests(&self, _: &dyn Rival) -> Option<u64> {
        None
    }

    /// What it counts as a request.
    fn request(&self) -> &'static str {
        "requests"
    }
}

/// A store by URL, in all its settings.
pub(crate) fn open(url: &str) -> Result<Vec<Box<dyn Store>>, Failure> {
    match url.split_once(':') {
        Some(("memory", _)) => Ok(vec![Box::new(InMemory(Memory::new()))]),
        Some(("sqlite", _)) => crate::sqlite::all(url),
        Some(("redis", _)) => Ok(vec![Box::new(crate::redis::Redis::new(url))]),
        Some(("postgres" | "postgresql", _)) => Ok(vec![Box::new(crate::postgres::Postgres::new(url))]),
        Some(("etcd", _)) => Ok(vec![Box::new(crate::etcd::Etcd::new(url))]),
        _ => Err(format!(
            "{url:?} is no backend: sqlite:PATH, redis://HOST, postgres://HOST, etcd://HOST; sqlite:, redis:, postgres: or \
             etcd: for one of its own; or memory:"
        )
        .into()),
    }
}

struct InMemory(Memory);

#[async_trait]
impl Store for InMemory {
    fn name(&self) -> &str {
        "memory"
    }

    fn url(&self) -> &str {
        "memory:"
    }

    fn rivals(&self) -> Vec<Box<dyn Rival>> {
        let memory = self.0.clone();
        let connect = move || std::future::ready(Ok(memory.clone()));
        vec![Box::new(Ours::new("lock-core", "told", &[], connect))]
    }

    async fn version(&self) -> Result<String, Failure> {
        Ok("the memory of the process".into())
    }

    fn measures(&self, measure: Measure) -> bool {
        measure != Measure::TwoProcesses
    }
}
