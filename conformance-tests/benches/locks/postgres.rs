//! PostgreSQL, and its bare driver: a lock as a row with an expiry, or an advisory lock; who waits does so for the latter.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use conformance_tests::{Server, Software};
use lock_core::{Backend, Result};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Executor, PgConnection};
use tokio::sync::Semaphore;

use crate::stats::now;
use crate::store::{Bare, Contender, Store};

/// How many connections the bare driver has for everybody.
const CONNECTIONS: usize = 16;

/// The advisory lock of a key, `$1`.
macro_rules! advisory {
    ($function:literal) => {
        concat!("SELECT WHERE ", $function, "(hashtextextended($1, 0))")
    };
}

pub(crate) struct Postgres {
    url: String,
    beside: Beside,
    /// One that was started for this run.
    server: Option<Arc<Server>>,
}

/// What the bare driver does.
#[derive(Clone, Copy)]
enum Beside {
    Rows,
    Advisory,
}

impl Postgres {
    /// A server by address, or one of this machine's program where there is none; beside both kinds of bare locks.
    pub(crate) fn all(url: &str) -> Vec<Arc<dyn Store>> {
        let server = (url == "postgres:").then(|| {
            let counting = ["-c", "shared_preload_libraries=pg_stat_statements"];
            Arc::new(Server::with(Software::Postgres, &counting))
        });
        let url = server.as_ref().map_or(url, |server| server.url());
        let with =
            |beside| Arc::new(Self { url: url.to_owned(), beside, server: server.clone() }) as Arc<dyn Store>;
        vec![with(Beside::Rows), with(Beside::Advisory)]
    }

    async fn connect(&self) -> PgConnection {
        connect(&self.url).await
    }
}

#[async_trait]
impl Store for Postgres {
    fn name(&self) -> &str {
        match self.beside {
            Beside::Rows => "beside rows",
            Beside::Advisory => "beside advisory locks",
        }
    }

    async fn client(&self) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(lock_postgres::Postgres::connect(&self.url).await?))
    }

    async fn bare(&self) -> Option<Arc<dyn Bare>> {
        let table = "CREATE TABLE IF NOT EXISTS bare (key text PRIMARY KEY, owner bytea NOT NULL, expires timestamptz NOT NULL)";
        self.connect().await.execute(table).await.expect("a table");
        let mut idle = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            idle.push(self.connect().await);
        }
        let (url, beside) = (self.url.clone(), self.beside);
        Some(Arc::new(Few { url, beside, places: Semaphore::new(CONNECTIONS), idle: Mutex::new(idle) }))
    }

    fn url(&self) -> Option<&str> {
        Some(&self.url)
    }

    /// Statements that name what is the library's; setting up a session is none of them. A server that was not started
    /// here may not count.
    async fn requests(&self) -> Option<u64> {
        let mut connection = self.connect().await;
        if self.server.is_some() {
            let extension = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements";
            connection.execute(extension).await.expect("it was loaded");
        }
        let calls = "SELECT sum(calls)::bigint FROM pg_stat_statements
            WHERE toplevel AND query LIKE '%claims%'
                AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())";
        sqlx::query_scalar(calls).fetch_one(&mut connection).await.ok().map(i64::cast_unsigned)
    }
}

async fn connect(url: &str) -> PgConnection {
    let options = url.parse::<PgConnectOptions>().expect("an address").disable_statement_logging();
    options.connect().await.expect("the server is there")
}

/// A few connections for everybody, without what a pool asks of them each time; and one for each who waits.
struct Few {
    url: String,
    beside: Beside,
    places: Semaphore,
    /// One for each place.
    idle: Mutex<Vec<PgConnection>>,
}

#[async_trait]
impl Bare for Few {
    async fn pair(&self, key: &str) {
        let _place = self.places.acquire().await.expect("nobody closes it");
        let mut connection =
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().expect("one for each place");
        let (take, give, owner) = match self.beside {
            Beside::Rows => (
                "INSERT INTO bare VALUES ($1, $2, clock_timestamp() + interval '30 s')
                ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, expires = excluded.expires
                WHERE bare.expires < clock_timestamp()",
                "DELETE FROM bare WHERE key = $1 AND owner = $2",
                Some(fastrand::u128(..).to_be_bytes()),
            ),
            Beside::Advisory => (advisory!("pg_try_advisory_lock"), advisory!("pg_advisory_unlock"), None),
        };
        for step in [take, give] {
            let step = match &owner {
                Some(owner) => sqlx::query(step).bind(key).bind(owner),
                None => sqlx::query(step).bind(key),
            };
            let done = step.execute(&mut connection).await.expect("an answer");
            assert_eq!(done.rows_affected(), 1, "nobody else takes it");
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }

    fn waits(&self) -> &str {
        "pg_advisory_lock"
    }

    /// Whoever has it has lost its connection.
    async fn free(&self, key: &str) {
        let free = "SELECT pg_terminate_backend(pid, 10000) FROM pg_locks, hashtextextended($1, 0) AS hash
            WHERE locktype = 'advisory' AND granted AND (classid::bigint << 32) | objid::bigint = hash";
        let mut connection = connect(&self.url).await;
        sqlx::query(free).bind(key).execute(&mut connection).await.expect("an answer");
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
    async fn take(&mut self) -> (u64, u64) {
        let take = "SELECT pg_advisory_lock(hashtextextended($1, 0))";
        sqlx::query(take).bind(&self.key).execute(&mut self.connection).await.expect("an answer");
        (now(), 1)
    }

    async fn give(&mut self) {
        let give = sqlx::query(advisory!("pg_advisory_unlock")).bind(&self.key);
        let given = give.execute(&mut self.connection).await.expect("an answer");
        assert_eq!(given.rows_affected(), 1, "it was taken");
    }
}
