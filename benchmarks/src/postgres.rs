//! PostgreSQL, and who is compared on it.

mod bare;
mod distributed;
mod guards;
mod rows;

use async_trait::async_trait;
use conformance_tests::{Server, Software};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Executor, PgConnection};

use crate::measure::Measure;
use crate::ours::Ours;
use crate::rival::{Failure, Rival};
use crate::store::Store;

/// Of the thousand connections of a server that is started here, how many a rival may have.
const CONNECTIONS: usize = 900;

pub(crate) struct Postgres {
    url: String,
    /// One that was started for this run.
    server: Option<Server>,
}

impl Postgres {
    /// A server by address, or one of this machine's program where there is none.
    pub(crate) fn new(url: &str) -> Self {
        // Measured as it is used: what it has acknowledged is on the disk.
        let settings = ["-c", "fsync=on", "-c", "shared_preload_libraries=pg_stat_statements"];
        let server = (url == "postgres:").then(|| Server::with(Software::Postgres, &settings));
        let url = server.as_ref().map_or(url, |server| server.url()).to_owned();
        Self { url, server }
    }

    /// A server that was started here counts statements from now on.
    async fn connect(&self) -> Result<PgConnection, Failure> {
        let mut connection = connect(&self.url).await;
        if self.server.is_some() {
            connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").await?;
        }
        Ok(connection)
    }
}

#[async_trait]
impl Store for Postgres {
    fn name(&self) -> &str {
        "postgres"
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn fresh(&self) -> Option<&'static str> {
        self.server.as_ref().map(|_| "postgres:")
    }

    fn rivals(&self) -> Vec<Box<dyn Rival>> {
        let url = self.url.clone();
        let connect = move || {
            let url = url.clone();
            async move { lock_postgres::Postgres::connect(&url).await }
        };
        let url = || self.url.clone();
        vec![
            Box::new(Ours::new("lock-postgres", "NOTIFY to the one who is next", &[], connect)),
            Box::new(rows::Rows(url())),
            Box::new(bare::Advisory(url())),
            Box::new(guards::Guards(url())),
            Box::new(distributed::Distributed(url())),
        ]
    }

    async fn version(&self) -> Result<String, Failure> {
        let mut connection = self.connect().await?;
        let version: String = sqlx::query_scalar("SHOW server_version").fetch_one(&mut connection).await?;
        Ok(format!("PostgreSQL {version}"))
    }

    fn measures(&self, _: Measure) -> bool {
        true
    }

    /// A server that was not started here may not count.
    async fn requests(&self, _: &dyn Rival) -> Option<u64> {
        let calls = "SELECT sum(calls)::bigint FROM pg_stat_statements
            WHERE toplevel AND query NOT LIKE '%pg_stat_statements%'
                AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())";
        let mut connection = self.connect().await.ok()?;
        sqlx::query_scalar(calls).fetch_one(&mut connection).await.ok().map(i64::cast_unsigned)
    }

    fn request(&self) -> &'static str {
        "statements"
    }
}

/// What keeps a rival that has a connection for each lock, or for each who waits, from a measure.
fn pinned(measure: Measure, size: usize) -> Option<String> {
    let (connections, each) = match measure {
        Measure::Waiters => (size + 1, "who waits"),
        Measure::Held | Measure::Keys => (size + 2, "lock"),
        _ => return None,
    };
    (connections > CONNECTIONS).then(|| {
        format!("takes a connection for each {each}, {size} in all; the server has {CONNECTIONS} for it")
    })
}

async fn connect(url: &str) -> PgConnection {
    let options = url.parse::<PgConnectOptions>().expect("an address").disable_statement_logging();
    options.connect().await.expect("the server is there")
}
