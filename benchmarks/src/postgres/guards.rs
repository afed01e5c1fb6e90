//! sqlx's `PgAdvisoryLock`, on connections of its own pool.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgAdvisoryLock, PgAdvisoryLockGuard, PgPoolOptions};
use sqlx::{PgPool, Postgres};

use super::pinned;
use crate::measure::Measure;
use crate::rival::{Client, Contender, Failure, Held, Kind, Rival, Untold};

pub(crate) struct Guards(pub(crate) String);

#[async_trait]
impl Rival for Guards {
    fn name(&self) -> &'static str {
        "sqlx PgAdvisoryLock"
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

    async fn client(&self, users: usize) -> Result<Arc<dyn Client>, Failure> {
        let pool = PgPoolOptions::new().max_connections(u32::try_from(users)?);
        Ok(Arc::new(Pool(pool.connect(&self.0).await?)))
    }
}

type Guard = PgAdvisoryLockGuard<PoolConnection<Postgres>>;

struct Pool(PgPool);

impl Pool {
    async fn take(&self, lock: &PgAdvisoryLock) -> Guard {
        let connection = self.0.acquire().await.expect("one for each user");
        lock.acquire(connection).await.expect("it comes to everybody")
    }
}

#[async_trait]
impl Client for Pool {
    async fn pair(&self, key: &str) {
        self.take(&PgAdvisoryLock::new(key)).await.release_now().await.expect("a release");
    }

    async fn hold(&self, key: &str) -> Box<dyn Held> {
        Box::new(Untold(self.take(&PgAdvisoryLock::new(key)).await))
    }

    async fn contender(&self, key: &str) -> Box<dyn Contender> {
        let pool = Self(self.0.clone());
        Box::new(Blocking { pool, lock: PgAdvisoryLock::new(key), guard: None })
    }
}

struct Blocking {
    pool: Pool,
    lock: PgAdvisoryLock,
    guard: Option<Guard>,
}

#[async_trait]
impl Contender for Blocking {
    async fn take(&mut self) {
        self.guard = Some(self.pool.take(&self.lock).await);
    }

    async fn give(&mut self) {
        self.guard.take().expect("it was taken").release_now().await.expect("a release");
    }
}
