//! The bare driver's advisory locks: a few connections for everybody, and one for each who waits.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use sqlx::PgConnection;
use tokio::sync::Semaphore;

use super::{connect, pinned};
use crate::measure::Measure;
use crate::rival::{Client, Contender, Failure, Held, Kind, Rival, Untold};

/// The advisory lock of a key, `$1`.
macro_rules! advisory {
    ($function:literal) => {
        concat!("SELECT WHERE ", $function, "(hashtextextended($1, 0))")
    };
}

pub(crate) struct Advisory(pub(crate) String);

#[async_trait]
impl Rival for Advisory {
    fn name(&self) -> &'static str {
        "sqlx, advisory locks"
    }

    fn kind(&self) -> Kind {
        Kind::Bare
    }

    fn waits(&self) -> &'static str {
        "pg_advisory_lock on a connection of its own"
    }

    fn unable(&self, measure: Measure, size: usize) -> Option<String> {
        if measure == Measure::Waiters { pinned(measure, size) } else { None }
    }

    async fn client(&self, users: usize) -> Result<Arc<dyn Client>, Failure> {
        Ok(Arc::new(Session { url: self.0.clone(), few: Few::new(&self.0, users) }))
    }
}

/// A few connections for everybody, made when they are wanted; without what a pool asks of them each time.
pub(super) struct Few {
    url: String,
    places: Semaphore,
    idle: Mutex<Vec<PgConnection>>,
}

impl Few {
    pub(super) fn new(url: &str, users: usize) -> Self {
        Self { url: url.to_owned(), places: Semaphore::new(users.min(16)), idle: Mutex::default() }
    }

    pub(super) async fn with<T>(&self, work: impl AsyncFnOnce(&mut PgConnection) -> T) -> T {
        let _place = self.places.acquire().await.expect("nobody closes it");
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => connect(&self.url).await,
        };
        let done = work(&mut connection).await;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        done
    }
}

struct Session {
    url: String,
    few: Few,
}

async fn step(connection: &mut PgConnection, sql: &'static str, key: &str) {
    let done = sqlx::query(sql).bind(key).execute(connection).await.expect("an answer");
    assert_eq!(done.rows_affected(), 1, "nobody else has it");
}

#[async_trait]
impl Client for Session {
    async fn pair(&self, key: &str) {
        self.few
            .with(async |connection| {
                step(connection, advisory!("pg_try_advisory_lock"), key).await;
                step(connection, advisory!("pg_advisory_unlock"), key).await;
            })
            .await;
    }

    /// A session can hold many, and ends with this client.
    async fn hold(&self, key: &str) -> Box<dyn Held> {
        self.few
            .with(async |connection| step(connection, advisory!("pg_try_advisory_lock"), key).await)
            .await;
        Box::new(Untold(()))
    }

    async fn contender(&self, key: &str) -> Box<dyn Contender> {
        Box::new(Blocking { connection: connect(&self.url).await, key: key.to_owned() })
    }
}

struct Blocking {
    connection: PgConnection,
    key: String,
}

#[async_trait]
impl Contender for Blocking {
    async fn take(&mut self) {
        let take = "SELECT pg_advisory_lock(hashtextextended($1, 0))";
        sqlx::query(take).bind(&self.key).execute(&mut self.connection).await.expect("an answer");
    }

    async fn give(&mut self) {
        step(&mut self.connection, advisory!("pg_advisory_unlock"), &self.key).await;
    }
}
