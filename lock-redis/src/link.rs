//! One connection to the server, made again when it breaks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lock_core::{Bells, Claim, Error, ErrorKind, Grant, Result, Turns};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Client, Cmd, PushInfo, PushKind, RedisError, RedisResult, Script, ServerErrorKind,
    Value,
};
use tokio::task::JoinSet;

use crate::error::{explain, is_replica};

/// How long the server may take to answer before the connection is given up.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long replicas may take to have what was written: less than that, or the connection went with them.
const REPLICATION: Duration = Duration::from_secs(1);

/// A connection that carries all requests, and all rings the other way.
#[derive(Clone)]
pub(crate) struct Link {
    client: Client,
    /// The channel on which this client is rung.
    channel: Arc<str>,
    bells: Bells,
    turns: Turns,
    /// How many replicas must have what is granted and renewed.
    replicas: u32,
    current: Arc<Mutex<Current>>,
    /// One at a time connects, or begins to listen.
    making: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct Current {
    line: Option<Line>,
    listens: bool,
}

/// A connection, until it is given up.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) connection: MultiplexedConnection,
    gone: Arc<AtomicBool>,
}

impl Current {
    /// The connection, unless it was given up, or `listens` and nobody hears rings on it.
    fn line(&self, listens: bool) -> Option<Line> {
        let line = self.line.as_ref().filter(|line| !line.gone.load(Ordering::SeqCst))?;
        (self.listens || !listens).then(|| line.clone())
    }
}

impl Link {
    pub(crate) fn new(client: Client, channel: Arc<str>, bells: Bells, replicas: u32) -> Self {
        let (turns, current, making) = (Turns::default(), Arc::default(), Arc::default());
        Self { client, channel, bells, turns, replicas, current, making }
    }

    /// Another connection of the same client.
    pub(crate) fn fork(&self) -> Self {
        let fork = Self::new(self.client.clone(), self.channel.clone(), self.bells.clone(), self.replicas);
        Self { turns: self.turns.clone(), ..fork }
    }

    pub(crate) fn channel(&self) -> &str {
        &self.channel
    }

    pub(crate) fn bells(&self) -> &Bells {
        &self.bells
    }

    pub(crate) fn turns(&self) -> &Turns {
        &self.turns
    }

    pub(crate) fn replicas(&self) -> u32 {
        self.replicas
    }

    /// The grant that a ring told of; none where replicas must have it, which only a request sees to.
    pub(crate) fn told(&self, claim: &Claim) -> Option<Grant> {
        if self.replicas == 0 { self.turns.take(claim) } else { None }
    }

    /// Has a script run, and answers on which connection it did, too. `listens` makes sure first that rings are heard on
    /// that. `again` says that it may run twice: then it does, if the connection turns out to have gone or to lead to no
    /// master, so that a client which was idle meanwhile does not fail for it.
    pub(crate) async fn run(
        &self,
        script: &Script,
        call: &Cmd,
        listens: bool,
        again: bool,
    ) -> Result<(Value, Line)> {
        let answer = match self.attempt(script, call, listens).await {
            Err(error) if again && went(&error) => self.attempt(script, call, listens).await,
            answer => answer,
        };
        answer.map_err(explain)
    }

    async fn attempt(&self, script: &Script, call: &Cmd, listens: bool) -> RedisResult<(Value, Line)> {
        let mut line = self.line(listens).await?;
        match invoke(script, call, &mut line.connection).await {
            Ok(answer) => Ok((answer, line)),
            Err(error) => {
                self.doubt(&error, &line);
                Err(error)
            }
        }
    }

    /// Waits until as many replicas as there must be have what a script wrote. It has to be asked on the connection on
    /// which that ran, and holds up whatever is asked there meanwhile.
    pub(crate) async fn replicated(&self, mut line: Line) -> Result<()> {
        if self.replicas == 0 {
            return Ok(());
        }
        let mut wait = redis::cmd("WAIT");
        wait.arg(self.replicas).arg(REPLICATION.as_millis() as u64);
        match wait.query_async::<u32>(&mut line.connection).await {
            Ok(some) if some < self.replicas => {
                let message = format!("{some} of {} replicas have it, or said so in time", self.replicas);
                Err(Error::new(ErrorKind::Unavailable, message))
            }
            Ok(_) => Ok(()),
            Err(error) => {
                self.doubt(&error, &line);
                Err(explain(error))
            }
        }
    }

    /// Sees to it that the rings of this client are heard on this connection.
    pub(crate) async fn listen(&self) -> Result<()> {
        self.line(true).await.map_err(explain).map(drop)
    }

    /// The connection there is, or a new one.
    pub(crate) async fn line(&self, listens: bool) -> RedisResult<Line> {
        if let Some(line) = self.current().line(listens) {
            return Ok(line);
        }
        // Others wait for this one, which may not wait for its caller to be polled.
        let mut attempt = JoinSet::new();
        attempt.spawn(self.clone().make(listens));
        let ended = || std::io::Error::other("the runtime that was to connect has ended");
        attempt.join_next().await.and_then(|line| line.ok()).ok_or_else(ended)?
    }

    async fn make(self, listens: bool) -> RedisResult<Line> {
        let _one = self.making.lock().await;
        let there = self.current().line(false);
        let mut line = match there {
            Some(line) => line,
            None => {
                let line = self.connect().await?;
                *self.current() = Current { line: Some(line.clone()), listens: false };
                line
            }
        };
        if listens && !self.current().listens {
            if let Err(error) = line.connection.subscribe(&*self.channel).await {
                self.doubt(&error, &line);
                return Err(error);
            }
            self.current().listens = true;
            // What was rung while nobody listened is not known.
            self.bells.ring_all();
        }
        Ok(line)
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> RedisResult<Line> {
        crate::tls::provide();
        let gone = Arc::new(AtomicBool::new(false));
        let (bells, turns, broken) = (self.bells.clone(), self.turns.clone(), gone.clone());
        let push = move |push: PushInfo| {
            hear(&bells, &turns, &broken, &push);
            Ok::<_, redis::aio::SendError>(())
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_push_sender(push);
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(Line { connection, gone })
    }

    /// Gives up a connection that may be broken, or that leads to a server which is no master any more.
    fn doubt(&self, error: &RedisError, line: &Line) {
        let useless = error.code().is_none_or(|code| code == "LOADING") || is_replica(error);
        if useless && !line.gone.swap(true, Ordering::SeqCst) {
            self.bells.ring_all();
        }
    }
}

/// Calls a script, which a server that does not know it is told first. Errors within the answer stay there.
async fn invoke(script: &Script, call: &Cmd, connection: &mut MultiplexedConnection) -> RedisResult<Value> {
    let answer = match connection.req_packed_command(call).await? {
        Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript) => {
            script.load_async(connection).await?;
            connection.req_packed_command(call).await?
        }
        answer => answer,
    };
    match answer {
        Value::ServerError(error) => Err(error.into()),
        answer => Ok(answer),
    }
}

/// Whether a new connection may do at once what this one did not.
fn went(error: &RedisError) -> bool {
    is_replica(error) || error.is_connection_dropped() && !error.is_connection_refusal()
}

/// A ring, or the end of hearing any.
fn hear(bells: &Bells, turns: &Turns, gone: &AtomicBool, push: &PushInfo) {
    match (&push.kind, &push.data[..]) {
        (PushKind::Message, [_, said]) => {
            let said: String = redis::from_redis_value_ref(said).unwrap_or_default();
            turns.hear(&said, bells);
        }
        (PushKind::Disconnection, _) => {
            // First the one: who is rung looks at once, and on a new connection.
            gone.store(true, Ordering::SeqCst);
            bells.ring_all();
        }
        _ => {}
    }
}
