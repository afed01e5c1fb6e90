//! Data in a schema of a PostgreSQL.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, anyhow, bail};
use lock_core::{ErrorKind, Token};
use lock_postgres::{RowWait, Rows, create_fences, fence, lock_rows};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow, PgSslMode};
use sqlx::{AssertSqlSafe, Column as _, ConnectOptions as _, PgConnection, PgPool, Row as _, Transaction};
use sqlx::{SqlStr, TypeInfo as _};
use tokio::time::timeout;

use super::{Place, Proof, Row, Value};
use crate::backend::Url;

/// A column that counts by itself, and the time.
pub(super) const WORDS: (&str, &str) = (
    "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)",
);

/// As many as a worker has orders in its hands by default: none of them waits for a connection.
const CONNECTIONS: u32 = 8;

/// How long a server may take to let somebody in.
const PATIENCE: Duration = Duration::from_secs(30);

/// What somebody may have set otherwise for a role or a database. With each transaction, for behind a pooler the session
/// may be another one.
const SETTINGS: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0";

/// A schema, and connections to its server.
#[derive(Clone)]
pub struct Database {
    pool: PgPool,
    schema: String,
    ttl: Duration,
}

impl Database {
    pub(super) async fn connect(url: &Url, ttl: Duration) -> Result<Self> {
        let schema = schema(url)?;
        // What is wrong is said at once: a pool would try for long.
        drop(reach(url).await?);
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(Duration::from_secs(60));
        Ok(Self { pool: pool.connect_lazy_with(options(url)?), schema, ttl })
    }

    /// A statement that says nothing for the ttl is ended by the server: its rows are not locked for ever by somebody who
    /// was stopped.
    pub(super) async fn begin(&self, proof: Proof<'_>) -> Result<Option<Tx>> {
        let mut tx = self.start("READ COMMITTED READ WRITE").await?;
        let admitted = match proof {
            Proof::None => Ok(()),
            Proof::Held(locks, guard) => locks.confirm(&mut tx.tx, guard).await,
            Proof::Token(resource, token) => fence(&mut tx.tx, resource, token).await,
            Proof::Tokens(tokens) => fence_all(&mut tx.tx, tokens).await,
        };
        match admitted {
            Err(error) if error.kind() == ErrorKind::Lost => Ok(None),
            admitted => Ok(admitted.map(|()| Some(tx))?),
        }
    }

    pub(super) async fn snapshot(&self) -> Result<Tx> {
        self.start("REPEATABLE READ READ ONLY").await
    }

    async fn start(&self, how: &str) -> Result<Tx> {
        let (schema, idle) = (quoted(&self.schema), self.ttl.as_millis().clamp(1, i32::MAX as u128));
        let begin = format!(
            "BEGIN ISOLATION LEVEL {how}; SET LOCAL search_path = {schema}; {SETTINGS}; \
             SET LOCAL idle_in_transaction_session_timeout = {idle}"
        );
        let tx = self.pool.begin_with(AssertSqlSafe(begin)).await.map_err(said)?;
        Ok(Tx { tx, ttl: self.ttl })
    }
}

impl fmt::Debug for Database {
    /// The driver's options print the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// A transaction.
pub struct Tx {
    tx: Transaction<'static, sqlx::Postgres>,
    ttl: Duration,
}

impl Tx {
    pub(super) async fn rows(&mut self, sql: SqlStr, values: Vec<Value>) -> Result<Vec<Row>> {
        let mut query = sqlx::query(sql);
        for value in values {
            query = match value {
                Value::Number(number) => query.bind(number),
                Value::Text(text) => query.bind(text),
            };
        }
        let rows = query.fetch_all(&mut *self.tx).await.map_err(said)?;
        rows.iter().map(row).collect()
    }

    pub(super) async fn script(&mut self, script: String) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut *self.tx).await.map_err(said)?;
        Ok(create_fences(&mut self.tx).await?)
    }

    pub(super) async fn lock_rows(&mut self, table: &str, ids: &[String], wait: RowWait) -> Result<usize> {
        Ok(lock_rows(&mut self.tx, &Rows::of(table), ids, wait).await?.len())
    }

    /// Says something to the server now and then: else it would think that nobody is there any more.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T> {
        let mut work = pin!(work);
        loop {
            match timeout(self.ttl / 3, &mut work).await {
                Ok(done) => return Ok(done),
                Err(_) => _ = sqlx::query("SELECT").execute(&mut *self.tx).await.map_err(said)?,
            }
        }
    }

    pub(super) async fn commit(self) -> Result<()> {
        self.tx.commit().await.map_err(said)
    }
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").finish_non_exhaustive()
    }
}

async fn fence_all(
    tx: &mut Transaction<'_, sqlx::Postgres>,
    tokens: &[(String, Token)],
) -> lock_core::Result<()> {
    for (resource, token) in tokens {
        fence(tx, resource, *token).await?;
    }
    Ok(())
}

fn row(row: &PgRow) -> Result<Row> {
    let value = |column: usize| match row.column(column).type_info().name() {
        "INT8" => row.try_get(column).map(Value::Number),
        _ => row.try_get(column).map(Value::Text),
    };
    (0..row.len()).map(value).collect::<Result<_, _>>().map(Row).map_err(said)
}

/// Makes the schema that a place names.
pub(crate) async fn make(url: &Url) -> Result<()> {
    let make = format!("CREATE SCHEMA {}", quoted(&schema(url)?));
    let made = sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut reach(url).await?).await;
    match made {
        Err(error) if code(&error) == "42P06" => {
            bail!("{url} is there already: remove it, or choose another schema with --data")
        }
        made => made.map(drop).map_err(said).with_context(|| format!("cannot make {url}")),
    }
}

/// Removes the schema with all that is in it.
pub(crate) async fn remove(url: &Url) -> Result<()> {
    let remove = format!("SET lock_timeout = '30s'; DROP SCHEMA IF EXISTS {} CASCADE", quoted(&schema(url)?));
    let mut connection = reach(url).await?;
    loop {
        let removed = sqlx::raw_sql(AssertSqlSafe(remove.clone())).execute(&mut connection).await;
        match removed {
            // Somebody who was stopped was in the middle of something, which is over now.
            Err(error) if code(&error) == "40P01" => {}
            removed => {
                return removed.map(drop).map_err(said).with_context(|| format!("cannot remove {url}"));
            }
        }
    }
}

/// Connects once, and says what is wrong.
async fn reach(url: &Url) -> Result<PgConnection> {
    let options = options(url)?;
    let connected = timeout(PATIENCE, options.connect()).await;
    let connected = connected.map_err(|_| anyhow!("no answer")).and_then(|connected| connected.map_err(said));
    connected.with_context(|| url.to_string())
}

/// To another machine nothing goes unencrypted unasked, as for the locks: the driver's default would do without if
/// whoever answers says that it cannot.
fn options(url: &Url) -> Result<PgConnectOptions> {
    let bad = || anyhow!("{url}: not the address of a PostgreSQL; expected {}", Place::KNOWN);
    let options: PgConnectOptions = url.server().parse().map_err(|_| bad())?;
    let host = options.get_host();
    let near = host.starts_with('/') || ["localhost", "127.0.0.1", "::1", "[::1]"].contains(&host);
    let unasked = !url.server().contains("sslmode=") && std::env::var_os("PGSSLMODE").is_none();
    let options = if unasked && !near { options.ssl_mode(PgSslMode::Require) } else { options };
    Ok(options.application_name("lock-examples").disable_statement_logging())
}

/// Of what is no such URL no more than its first word is said: the rest may be a password.
fn schema(url: &Url) -> Result<String> {
    if !url.is_postgres() {
        let scheme = url.scheme().map(|scheme| format!(" {scheme}")).unwrap_or_default();
        bail!("--data{scheme}: is no place for data; expected {}", Place::KNOWN);
    }
    let schema =
        url.schema().with_context(|| format!("--data {url} names no schema; expected {}", Place::KNOWN));
    schema.map(str::to_owned)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn code(error: &sqlx::Error) -> String {
    error.as_database_error().and_then(|error| error.code()).unwrap_or_default().into_owned()
}

/// In one line, and once: what the driver says it says again as its cause.
fn said(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(error) => anyhow!("the server says: {}", error.message()),
        sqlx::Error::Io(error) => anyhow!("no answer: {error}"),
        sqlx::Error::Tls(error) => anyhow!("no encrypted connection: {error}; sslmode=disable does without"),
        error => anyhow!("{error}"),
    }
}
