//! distributed-lock-postgres: advisory locks on connections of a pool.

use std::sync::Arc;

use async_trait::async_trait;
use distributed_lock_core::prelude::*;
use distributed_lock_postgres::PostgresLockProvider;
use distributed_lock_postgres::handle::PostgresLockHandle;
use distributed_lock_postgres::lock::PostgresDistributedLock;
use sqlx_08::postgres::PgPoolOptions;

use super::pinned;
use crate::measure::Measure;
use crate::rival::{Client, Contender, Failure, Held, Kind, Rival, Untold};

pub(crate) struct Distributed(pub(crate) String);

#[async_trait]
impl Rival for Distributed {
    fn name(&self) -> &'static str {
        "distributed-lock-postgres"
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn waits(&self) -> &'static str {
        "pg_advisory_lock on a connection of the pool"
    }

    fn unable(&self, measure: Measure, size: usize) -> Option<String> {
        pinned(measure, size)
    }

    /// A pool of its own making has ten connections, and so ten locks.
    async fn client(&self, users: usize) -> Result<Arc<dyn Client>, Failure> {
        let pool = PgPoolOptions::new().max_connections(u32::try_from(users)?);
        let provider = PostgresLockProvider::builder().pool(pool.connect(&self.0).await?);
        Ok(Arc::new(Provider(provider.build().await?)))
    }
}

struct Provider(PostgresLockProvider);

#[async_trait]
impl Client for Provider {
    async fn pair(&self, key: &str) {
        let handle = self.0.create_lock(key).acquire(None).await.expect("a free lock");
        handle.release().await.expect("a release");
    }

    /// It never says that a lock was lost.
    async fn hold(&self, key: &str) -> Box<dyn Held> {
        Box::new(Untold(self.0.create_lock(key).acquire(None).await.expect("a free lock")))
    }

    async fn contender(&self, key: &str) -> Box<dyn Contender> {
        Box::new(Blocking { lock: self.0.create_lock(key), handle: None })
    }
}

struct Blocking {
    lock: PostgresDistributedLock,
    handle: Option<PostgresLockHandle>,
}

#[async_trait]
impl Contender for Blocking {
    async fn take(&mut self) {
        self.handle = Some(self.lock.acquire(None).await.expect("it comes to everybody"));
    }

    async fn give(&mut self) {
        self.handle.take().expect("it was taken").release().await.expect("a release");
    }
}
