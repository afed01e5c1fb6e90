//! Connections, made again when they break.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lock_core::{Error, Result};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Connection, SqlStr};
use tokio::time::{Instant, timeout};

use crate::error::{broken, explain, silent};
use crate::server::{PATIENCE, Server, Session};

/// After so long a connection may have been cut.
const IDLE: Duration = Duration::from_secs(1);

/// Ways to the server, as many as there are requests at a time. The last one used is the first to be used again: what the
/// server needs for it is at hand there.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) server: Server,
    kept: Mutex<Vec<Kept>>,
}

/// Since when it has been idle.
struct Kept(Session, Instant);

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

impl Link {
    pub(crate) fn new(server: Server) -> Self {
        Self { server, kept: Mutex::default() }
    }

    /// Has a connection made.
    pub(crate) async fn open(&self) -> Result<()> {
        let session = self.server.open().await?;
        self.keep(session);
        Ok(())
    }

    /// Keeps one that was made before.
    pub(crate) async fn open_with(&self, session: Session) -> Result<()> {
        let session = self.server.adopt(session).await?;
        self.keep(session);
        Ok(())
    }

    /// Calls a function. On a connection that turns out to be cut it is called again on a new one, if it may have been
    /// run: `twice` says that this does not change the answer. What must not be is asked over a connection that was idle
    /// only when that is known to be there.
    pub(crate) async fn call(
        &self,
        sql: &SqlStr,
        arguments: impl Fn() -> Result<PgArguments>,
        twice: bool,
    ) -> Result<PgRow> {
        let mut kept = match self.take() {
            Some(Kept(session, since)) if twice || since.elapsed() < IDLE => Some(session),
            // What is rare is in a box of its own, and not in each who asks.
            Some(Kept(session, _)) => Box::pin(still_there(session)).await,
            None => None,
        };
        loop {
            let (session, again) = match kept.take() {
                Some(session) => (session, twice),
                None => (Box::pin(self.server.open()).await?, false),
            };
            match self.call_on(session, sql, arguments()?).await {
                Err(Failure::Cut(_)) if again => {}
                answer => return answer.map_err(Failure::into_error),
            }
        }
    }

    async fn call_on(
        &self,
        mut session: Session,
        sql: &SqlStr,
        arguments: PgArguments,
    ) -> std::result::Result<PgRow, Failure> {
        let answer = timeout(PATIENCE, session.call(sql.clone(), arguments)).await;
        match answer {
            Ok(Err(error)) if broken(&error) => {
                session.discard();
                Err(Failure::Cut(explain(error)))
            }
            Err(_) => {
                session.discard();
                Err(Failure::Answered(silent()))
            }
            Ok(answer) => {
                self.keep(session);
                answer.map_err(|error| Failure::Answered(explain(error)))
            }
        }
    }

    fn take(&self) -> Option<Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn keep(&self, session: Session) {
        if session.stays() {
            let kept = Kept(session, Instant::now());
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
        }
    }
}

/// The connection, unless it has been cut.
async fn still_there(mut session: Session) -> Option<Session> {
    if matches!(timeout(PATIENCE, session.connection().ping()).await, Ok(Ok(()))) {
        return Some(session);
    }
    session.discard();
    None
}

/// Why there is no answer.
enum Failure {
    /// The connection was cut; the function may have been run.
    Cut(Error),
    /// The server refused, or took too long.
    Answered(Error),
}

impl Failure {
    fn into_error(self) -> Error {
        match self {
            Self::Cut(error) | Self::Answered(error) => error,
        }
    }
}
