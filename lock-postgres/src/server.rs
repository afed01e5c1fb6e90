//! A server, and how it is spoken to.

use std::fmt;
use std::time::Duration;

use lock_core::Result;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, PgPool, Postgres, Row, SqlStr,
};
use tokio::time::timeout;

use crate::error::{explain, silent};

/// How long the server may take to answer before the connection is given up. It gives up itself somewhat earlier, so that
/// nothing is left there that nobody waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is asked whose session it is.
const TRIALS: usize = 3;

/// What a role, a database or a server may have set otherwise, and what the plans of the functions must not depend on:
/// they are made while the table is empty, and used when it is not.
macro_rules! settings {
    ($scope:literal) => {
        concat!(
            "SET ",
            $scope,
            " statement_timeout = '4s';",
            "SET ",
            $scope,
            " lock_timeout = '3s';",
            "SET ",
            $scope,
            " idle_in_transaction_session_timeout = '4s';",
            "SET ",
            $scope,
            " synchronous_commit = on;",
            "SET ",
            $scope,
            " search_path = pg_catalog, pg_temp;",
            "SET ",
            $scope,
            " enable_indexscan = on;",
            "SET ",
            $scope,
            " enable_seqscan = off;",
            "SET ",
            $scope,
            " enable_bitmapscan = off;",
            "SET ",
            $scope,
            " enable_tidscan = on;",
            "SET ",
            $scope,
            " plan_cache_mode = force_generic_plan;",
            "SET ",
            $scope,
            " jit = off"
        )
    };
}

/// For a session of our own. Not every server knows the last ones. That each has is asked of it and not of `pg_settings`, which
/// would list hundreds.
const SESSION: &str = concat!(
    settings!("SESSION"),
    "; SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE, NOT DEFERRABLE;",
    "SELECT set_config(name, '0', false) FROM unnest('{idle_session_timeout,transaction_timeout}'::text[]) AS name",
    " WHERE current_setting(name, true) IS NOT NULL"
);

/// For the session that hears rings.
pub(crate) const LISTENS: &str = SESSION;

/// For somebody else's session, or one that is a different one for each transaction.
pub(crate) const BEGIN: &str =
    concat!("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE NOT DEFERRABLE;", settings!("LOCAL"));

/// Where the server is, and what is known of it.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) options: PgConnectOptions,
    /// Somebody else's connections, if they are to be used.
    pub(crate) pool: Option<PgPool>,
    /// Whether a connection of our own is one session: behind a transaction pooler it is not.
    pub(crate) sessions: bool,
    /// Whether the database can store every character.
    pub(crate) unicode: bool,
}

impl Server {
    pub(crate) fn new(options: PgConnectOptions, pool: Option<PgPool>) -> Self {
        let options = options.disable_statement_logging().extra_float_digits(None);
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("lock-postgres"),
        };
        Self { options, pool, sessions: false, unicode: true }
    }

    /// The same server by connections of our own.
    pub(crate) fn without_pool(&self) -> Self {
        Self { pool: None, ..self.clone() }
    }

    /// Whether connections are the client's alone, and each is one session.
    pub(crate) fn is_ours(&self) -> bool {
        self.pool.is_none() && self.sessions
    }

    /// Whether a connection is one session, by two of them. Behind a transaction pooler it is another one for each
    /// transaction: what is prepared or set there meets somebody else, and who listens there hears nothing. Finding out
    /// leaves nothing behind.
    pub(crate) async fn has_sessions(one: &mut Session, two: &mut Session) -> Result<bool> {
        let seen = async {
            // A pooler gives what was used last, which for the second is the first one's, or what was not used for longest,
            // which is another one each time. Somebody else may come in between, once.
            let (mut first, mut second) = (Vec::new(), Vec::new());
            for _ in 0..TRIALS {
                first.extend([one.process().await?, one.process().await?]);
                second.push(two.process().await?);
            }
            let same = |seen: &[String]| seen.iter().all(|process| *process == seen[0]);
            Ok(same(&first) && same(&second) && first[0] != second[0])
        };
        timeout(PATIENCE * 4, seen).await.map_err(|_| silent())?.map_err(explain)
    }

    /// A connection to work with.
    pub(crate) async fn open(&self) -> Result<Session> {
        let open = async {
            if let Some(pool) = &self.pool {
                return pool.acquire().await.map(Session::Borrowed);
            }
            self.set_up(Session::Divided(self.options.connect().await?)).await
        };
        timeout(PATIENCE, open).await.map_err(|_| silent())?.map_err(explain)
    }

    /// Makes a connection one to work with that was opened before it was known whether it is one session.
    pub(crate) async fn adopt(&self, session: Session) -> Result<Session> {
        timeout(PATIENCE, self.set_up(session)).await.map_err(|_| silent())?.map_err(explain)
    }

    async fn set_up(&self, session: Session) -> sqlx::Result<Session> {
        match session {
            Session::Divided(mut connection) if self.sessions => {
                connection.execute(SESSION).await?;
                Ok(Session::Own(connection))
            }
            session => Ok(session),
        }
    }
}

impl fmt::Debug for Server {
    /// The driver's options print the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}

/// A connection.
pub(crate) enum Session {
    /// Ours, set up for good: a step is one request.
    Own(PgConnection),
    /// Ours, and behind it a different session for each transaction: whatever a step needs is in its transaction.
    Divided(PgConnection),
    /// Somebody else's, to be given back as it was.
    Borrowed(PoolConnection<Postgres>),
}

impl Session {
    /// The process that serves it at the moment.
    async fn process(&mut self) -> sqlx::Result<String> {
        // All of it is one request: where many connect at once, each takes its time.
        let sql = AssertSqlSafe(format!("{BEGIN};SELECT pg_backend_pid()::text;COMMIT"));
        let rows = self.connection().fetch_all(sql).await?;
        rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)
    }

    /// Whether it can be kept for later.
    pub(crate) fn stays(&self) -> bool {
        !matches!(self, Self::Borrowed(_))
    }

    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        match self {
            Self::Own(connection) | Self::Divided(connection) => connection,
            Self::Borrowed(connection) => connection,
        }
    }

    /// Runs a step in a transaction of its own. When it has answered, that is committed.
    pub(crate) async fn call(&mut self, sql: SqlStr, arguments: PgArguments) -> sqlx::Result<PgRow> {
        if let Self::Own(connection) = self {
            return sqlx::query_with(sql, arguments).fetch_one(connection).await;
        }
        // Nothing that has a name: behind a pooler it could be somebody else's.
        let mut transaction = self.connection().begin_with(BEGIN).await?;
        let row = sqlx::query_with(sql, arguments).persistent(false).fetch_one(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(row)
    }

    /// Closes it, whatever it is in the middle of.
    pub(crate) fn discard(self) {
        if let Self::Borrowed(connection) = self {
            drop(connection.detach());
        }
    }
}
