//! What nobody asks for and has to be done all the same: what has lapsed is removed, and what is removed is vacuumed.
#![allow(
    clippy::disallowed_methods,
    reason = "the one task of a client that vacuums; it ends with the statement"
)]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lock_core::Result;
use sqlx::postgres::PgRow;
use sqlx::{Executor, Row, SqlStr};
use tokio::time::{Instant, timeout};

use crate::error::explain;
use crate::names::Names;
use crate::server::{Server, Session};

/// How often a client that is in use looks.
const EVERY: Duration = Duration::from_secs(15);

/// How long a vacuum may take.
const LIMIT: Duration = Duration::from_secs(120);

/// A client's part in keeping the table small.
#[derive(Debug)]
pub(crate) struct House {
    server: Server,
    vacuum: SqlStr,
    next: Mutex<Instant>,
    /// Had by who vacuums.
    broom: Arc<tokio::sync::Mutex<()>>,
}

impl House {
    pub(crate) fn new(server: Server, names: &Names) -> Self {
        let vacuum = names.statement("VACUUM (SKIP_LOCKED, TRUNCATE false) {claims}");
        let next = Mutex::new(Instant::now() + EVERY);
        Self { server, vacuum, next, broom: Arc::default() }
    }

    /// Whether it is time to look. Whoever is told so does.
    pub(crate) fn due(&self) -> bool {
        let now = Instant::now();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let due = *next <= now;
        if due {
            *next = now + EVERY;
        }
        due
    }

    /// Does what the look has found.
    pub(crate) fn mend(self: &Arc<Self>, found: &PgRow) -> Result<()> {
        let snapshot: Option<String> = found.try_get("snapshot").map_err(explain)?;
        if let Some(snapshot) = snapshot {
            tracing::warn!(%snapshot, "an old snapshot keeps what is removed from the table of locks, and they slow down");
        }
        let vacuum: bool = found.try_get("vacuum").map_err(explain)?;
        // Behind a pooler nothing can be set for a statement that must not be in a transaction.
        if vacuum
            && self.server.sessions
            && let Ok(broom) = self.broom.clone().try_lock_owned()
        {
            let house = self.clone();
            drop(tokio::spawn(async move {
                if let Err(error) = house.vacuum().await {
                    tracing::debug!(%error, "the table of locks was not vacuumed");
                }
                drop(broom);
            }));
        }
        Ok(())
    }

    /// On a connection for the purpose: it may take a while.
    async fn vacuum(&self) -> Result<()> {
        let mut session = self.server.open().await?;
        let work = async {
            let connection = session.connection();
            connection.execute("SET statement_timeout = '120s'; SET vacuum_cost_delay = 0").await?;
            connection.execute(self.vacuum.clone()).await
        };
        let done = timeout(LIMIT, work).await;
        Session::discard(session);
        done.map_err(|_| crate::error::silent())?.map_err(explain)?;
        Ok(())
    }
}
