//! The push path: one connection on which a client listens, and a task that has it.
#![allow(
    clippy::disallowed_methods,
    reason = "the task of the one connection that hears; it pauses between attempts"
)]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lock_core::{Bells, Result, Turns};
use sqlx::postgres::{PgListener, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::error::{explain, silent};
use crate::server::{LISTENS, PATIENCE, Server};

/// After so long without a ring the connection is asked whether it is still there.
const QUIET: Duration = Duration::from_secs(15);

/// The longest pause between two attempts to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a client hears with, from when it first waits.
#[derive(Debug)]
pub(crate) struct Ear {
    server: Server,
    channel: Arc<str>,
    bells: Bells,
    turns: Turns,
    task: Mutex<Option<Task>>,
}

#[derive(Debug)]
struct Task {
    /// Whether it has listened yet.
    listened: watch::Receiver<bool>,
    abort: AbortHandle,
}

impl Ear {
    pub(crate) fn new(server: Server, channel: Arc<str>) -> Self {
        Self { server, channel, bells: Bells::default(), turns: Turns::default(), task: Mutex::default() }
    }

    pub(crate) fn bells(&self) -> &Bells {
        &self.bells
    }

    pub(crate) fn turns(&self) -> &Turns {
        &self.turns
    }

    /// Listens, from now on. Returns when it does, or has not got to it in time: when it does, all bells are rung.
    pub(crate) async fn listen(&self) {
        let mut listened = {
            let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
            match &*task {
                // The runtime of one that has ended has ended.
                Some(task) if !task.abort.is_finished() => task.listened.clone(),
                _ => {
                    let (sender, listened) = watch::channel(false);
                    let heard = (self.bells.clone(), self.turns.clone());
                    let hear = hear(self.server.clone(), self.channel.clone(), heard, sender);
                    let abort = tokio::spawn(hear).abort_handle();
                    task.insert(Task { listened, abort }).listened.clone()
                }
            }
        };
        let _ = timeout(PATIENCE, listened.wait_for(|listened| *listened)).await;
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task.take() {
            task.abort.abort();
        }
    }
}

/// Rings what it hears, and everything after a time in which it heard nothing.
async fn hear(
    server: Server,
    channel: Arc<str>,
    (bells, turns): (Bells, Turns),
    listened: watch::Sender<bool>,
) {
    let mut pause = Duration::from_millis(50);
    loop {
        match connect(&server, &channel).await {
            Ok(mut listener) => {
                bells.ring_all();
                listened.send_replace(true);
                pause = Duration::from_millis(50);
                let reason = attend(&mut listener, &bells, &turns).await;
                tracing::debug!(%reason, "rings are not heard until there is a new connection");
            }
            Err(error) => {
                tracing::warn!(%error, "no connection to hear rings on; those who wait look by themselves");
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

async fn connect(server: &Server, channel: &str) -> Result<PgListener> {
    let connect = async {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .test_before_acquire(false)
            .connect_lazy_with(server.options.clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.execute(AssertSqlSafe(LISTENS)).await?;
        listener.listen(channel).await?;
        Ok(listener)
    };
    timeout(PATIENCE, connect).await.map_err(|_| silent())?.map_err(explain)
}

/// Rings what it hears until the connection is no more, and says why.
async fn attend(listener: &mut PgListener, bells: &Bells, turns: &Turns) -> String {
    loop {
        match timeout(QUIET, listener.try_recv()).await {
            Ok(Ok(Some(ring))) => turns.hear(ring.payload(), bells),
            Ok(Ok(None)) => return "the server has closed the connection".to_owned(),
            Ok(Err(error)) => return explain(error).to_string(),
            // A peer that is no more says nothing either.
            Err(_) => match timeout(PATIENCE, listener.execute("SELECT 1")).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return explain(error).to_string(),
                Err(_) => return silent().to_string(),
            },
        }
    }
}
