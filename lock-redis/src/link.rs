//! One connection to the server, made again when it breaks.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{Bells, Result};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, ScriptInvocation, Value};
use tokio::sync::Mutex;

use crate::error::explain;

/// How long the server may take to answer before the connection is given up.
const PATIENCE: Duration = Duration::from_secs(2);

/// A connection that carries all requests, and all rings the other way.
pub(crate) struct Link {
    client: Client,
    /// The channel on which this client is rung.
    channel: Arc<str>,
    bells: Bells,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    connection: Option<MultiplexedConnection>,
    /// Which connection it is, to tell a broken one from the one made after it.
    number: u64,
    listens: bool,
}

impl Link {
    pub(crate) fn new(client: Client, channel: Arc<str>, bells: Bells) -> Self {
        Self { client, channel, bells, current: Mutex::default() }
    }

    /// Another connection of the same client.
    pub(crate) fn fork(&self) -> Self {
        Self::new(self.client.clone(), self.channel.clone(), self.bells.clone())
    }

    pub(crate) fn channel(&self) -> &str {
        &self.channel
    }

    pub(crate) fn bells(&self) -> &Bells {
        &self.bells
    }

    /// Runs a script. `listens` makes sure first that rings are heard on this connection.
    pub(crate) async fn run(&self, script: &ScriptInvocation<'_>, listens: bool) -> Result<Value> {
        let (mut connection, number) = self.connection(listens).await?;
        let answer = script.invoke_async(&mut connection).await;
        if let Err(error) = &answer {
            self.doubt(error, number).await;
        }
        answer.map_err(explain)
    }

    pub(crate) async fn connection(&self, listens: bool) -> Result<(MultiplexedConnection, u64)> {
        let mut current = self.current.lock().await;
        let mut connection = match &current.connection {
            Some(connection) => connection.clone(),
            None => {
                let connection = self.connect().await?;
                *current = Current {
                    connection: Some(connection.clone()),
                    number: current.number + 1,
                    listens: false,
                };
                connection
            }
        };
        if listens && !current.listens {
            if let Err(error) = connection.subscribe(&*self.channel).await {
                current.connection = None;
                return Err(explain(error));
            }
            current.listens = true;
            // What was rung while nobody listened is not known.
            self.bells.ring_all();
        }
        Ok((connection, current.number))
    }

    async fn connect(&self) -> Result<MultiplexedConnection> {
        crate::tls::provide();
        let bells = self.bells.clone();
        let push = move |push: PushInfo| {
            hear(&bells, &push);
            Ok::<_, redis::aio::SendError>(())
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_push_sender(push);
        self.client.get_multiplexed_async_connection_with_config(&config).await.map_err(explain)
    }

    /// Gives up a connection that may be broken, or that leads to a server which is no master any more.
    async fn doubt(&self, error: &redis::RedisError, number: u64) {
        let server_answered = error.code().is_some_and(|code| code != "READONLY" && code != "LOADING");
        let mut current = self.current.lock().await;
        if !server_answered && current.number == number {
            current.connection = None;
            self.bells.ring_all();
        }
    }
}

/// A ring, or the end of hearing any.
fn hear(bells: &Bells, push: &PushInfo) {
    match (&push.kind, &push.data[..]) {
        (PushKind::Message, [_, tag]) => match redis::from_redis_value_ref::<u64>(tag) {
            Ok(tag) => bells.ring(tag),
            Err(_) => bells.ring_all(),
        },
        (PushKind::Disconnection, _) => bells.ring_all(),
        _ => {}
    }
}
