#![doc = include_str!("../README.md")]

use std::sync::Arc;

use lock_core::{Error, ErrorKind, Result};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::task::JoinSet;

mod address;
mod backend;
mod error;
mod house;
mod line;
mod link;
mod names;
mod schema;
mod server;
mod steps;
mod transaction;
mod wakeups;

pub use transaction::{FENCES, RowWait, Rows, create_fences, fence, lock_in, lock_rows, try_lock_in};

use error::NAME;
use house::House;
use line::Line;
use link::Link;
use names::Names;
use server::Server;
use steps::Statements;
use wakeups::Ear;

/// Locks in PostgreSQL.
///
/// A client has two connections for its requests, and one on which it is rung once it has waited. Clones are the same
/// client.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> lock_core::Result<()> {
/// use lock_core::Locker;
/// use lock_postgres::Postgres;
///
/// let locks = Locker::new(Postgres::connect("postgres://app@127.0.0.1/app").await?);
/// let guard = locks.lock("report/2025-01").acquire().await?;
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Postgres {
    names: Arc<Names>,
    server: Server,
    /// Where claims are asked for: answered when they are on the disk.
    asks: Arc<Line>,
    /// Where they are renewed and released.
    ends: Arc<Line>,
    ear: Arc<Ear>,
}

impl Postgres {
    /// Connects to `postgres://[user[:password]@]host[:port][/database][?sslmode=…]`, with the default [`Options`].
    ///
    /// Makes the table if it is missing and this user may, and brings it up to date. Whether the connection is
    /// encrypted is told in [the README](crate#encryption).
    ///
    /// # Errors
    ///
    /// - [`Invalid`](ErrorKind::Invalid): no such address. The message does not repeat it: it may have a password.
    /// - [`Backend`](ErrorKind::Backend): the user or the password is wrong; the table or a privilege is missing, and
    ///   the message says which.
    /// - [`Unavailable`](ErrorKind::Unavailable): no answer.
    ///
    /// # Cancel safety
    ///
    /// Nothing is left behind but the table.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let error = lock_postgres::Postgres::connect("mysql://127.0.0.1").await.unwrap_err();
    /// assert!(error.to_string().contains("postgres://"));
    /// # }
    /// ```
    pub async fn connect(url: impl AsRef<str>) -> Result<Self> {
        Options::default().connect(url).await
    }

    /// Uses the connections of the application's own pool, with the default [`Options`].
    ///
    /// Two of them at most at a time, for one transaction each, and given back as they were. Rings are heard, and
    /// held locks renewed, on two connections of the client's own, made as the pool's are.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    ///
    /// Nothing is left behind but the table.
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = sqlx::PgPool::connect("postgres://app@127.0.0.1/app").await?;
    /// let store = lock_postgres::Postgres::from_pool(&pool).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn from_pool(pool: &PgPool) -> Result<Self> {
        Options::default().from_pool(pool).await
    }
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Names { schema, table } = &*self.names;
        f.debug_struct("Postgres").field("schema", schema).field("table", table).finish_non_exhaustive()
    }
}

/// How to use a server.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> lock_core::Result<()> {
/// let options = lock_postgres::Options::default().schema("billing").table("held");
/// let store = options.connect("postgres://app@127.0.0.1/app").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    names: Names,
}

impl Default for Options {
    fn default() -> Self {
        Self { names: Names { schema: "locks".into(), table: "claims".into() } }
    }
}

impl Options {
    /// The schema in which the table is: 1 to 63 bytes without control characters and `$$`; `locks` by default.
    ///
    /// ```
    /// let options = lock_postgres::Options::default().schema("billing");
    /// ```
    #[must_use]
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.names.schema = schema.into();
        self
    }

    /// The table, after which the sequence and the functions are called, too: 1 to 48 bytes without control characters
    /// and `$$`; `claims` by default. Clients with different tables do not see each other's locks.
    ///
    /// ```
    /// let options = lock_postgres::Options::default().table("held");
    /// ```
    #[must_use]
    pub fn table(mut self, table: impl Into<String>) -> Self {
        self.names.table = table.into();
        self
    }

    /// What makes the schema, the table and the rest where there is nothing yet: for somebody who may, if the client may
    /// not.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for a bad name.
    ///
    /// ```
    /// let script = lock_postgres::Options::default().schema("billing").script()?;
    /// assert!(script.contains(r#"CREATE TABLE "billing"."claims" ("#));
    /// # Ok::<(), lock_core::Error>(())
    /// ```
    pub fn script(&self) -> Result<String> {
        self.names.check()?;
        Ok(schema::script(&self.names))
    }

    /// Connects to an address with these options.
    ///
    /// # Errors
    ///
    /// As [`Postgres::connect`]; [`Invalid`](ErrorKind::Invalid) for a bad name, too.
    ///
    /// # Cancel safety
    ///
    /// Nothing is left behind but the table.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let error = lock_postgres::Options::default().schema("").connect("postgres://127.0.0.1").await.unwrap_err();
    /// assert!(error.to_string().contains("schema"));
    /// # }
    /// ```
    pub async fn connect(self, url: impl AsRef<str>) -> Result<Postgres> {
        let connected = match address::parse(url.as_ref()) {
            Ok(options) => self.start(options, None).await,
            Err(error) => Err(error),
        };
        connected.map_err(|error| error.in_operation("connect", &[], NAME))
    }

    /// Uses a pool's connections with these options.
    ///
    /// # Errors
    ///
    /// As [`Postgres::connect`]; [`Invalid`](ErrorKind::Invalid) for a bad name, too.
    ///
    /// # Cancel safety
    ///
    /// Nothing is left behind but the table.
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = sqlx::PgPool::connect("postgres://app@127.0.0.1/app").await?;
    /// let store = lock_postgres::Options::default().schema("billing").from_pool(&pool).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn from_pool(self, pool: &PgPool) -> Result<Postgres> {
        let options = PgConnectOptions::clone(&pool.connect_options());
        let connected = self.start(options, Some(pool.clone())).await;
        connected.map_err(|error| error.in_operation("connect", &[], NAME))
    }

    async fn start(self, options: PgConnectOptions, pool: Option<PgPool>) -> Result<Postgres> {
        self.names.check()?;
        // While it has a connection of the pool others may wait for that, so it must not depend on its caller to be polled.
        let mut attempt = JoinSet::new();
        attempt.spawn(self.ready(options, pool));
        let ended = || Error::new(ErrorKind::Unavailable, "the runtime that was to connect has ended");
        attempt.join_next().await.and_then(|store| store.ok()).ok_or_else(ended)?
    }

    async fn ready(self, options: PgConnectOptions, pool: Option<PgPool>) -> Result<Postgres> {
        let mut server = Server::new(options, pool);
        let mut one = server.open().await?;
        server.unicode = schema::ready(&mut one, &self.names).await?;
        if !one.stays() {
            one = server.without_pool().open().await?;
        }
        let mut two = server.without_pool().open().await?;
        server.sessions = Server::has_sessions(&mut one, &mut two).await?;
        if !server.sessions {
            tracing::info!("behind a transaction pooler no rings are heard: who waits looks by itself");
        }
        // Nobody listens there: so that one cannot be mistaken for another's.
        let channel: Arc<str> = match server.sessions {
            true => format!("lock_{}", hex(&random()?)).into(),
            false => "".into(),
        };
        let house = Arc::new(House::new(server.without_pool(), &self.names));
        let statements = Arc::new(Statements::new(&self.names));
        let link = Arc::new(Link::new(server.clone()));
        if server.pool.is_none() {
            link.open_with(one).await?;
            link.open_with(two).await?;
        }
        let asks = Line::new(link.clone(), statements, channel.clone(), house);
        let ends = asks.beside(link);
        let ear = Arc::new(Ear::new(server.without_pool(), channel));
        Ok(Postgres { names: Arc::new(self.names), server, asks, ends, ear })
    }
}

/// 128 random bits, for a name that nobody guesses.
fn random() -> Result<[u8; 16]> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|e| Error::new(ErrorKind::Unavailable, "no random numbers to be had").with_source(e))?;
    Ok(random)
}

fn hex(bytes: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*bytes))
}
