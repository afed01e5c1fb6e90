//! Redis, and its bare driver: `SET NX PX` and a script that compares before it deletes; who waits does so in `BLPOP`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use conformance_tests::{Server, Software};
use lock_core::{Backend, Result};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, ProtocolVersion, Script, cmd};

use crate::stats::now;
use crate::store::{Bare, Contender, Store};

/// How long the bare driver waits for an answer, as the library does.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) struct Redis {
    url: String,
    /// One that was started for this run.
    _server: Option<Server>,
}

impl Redis {
    /// A server by address, or the suite's where there is none.
    pub(crate) fn new(url: &str) -> Self {
        if url != "redis:" {
            return Self { url: url.to_owned(), _server: None };
        }
        let server = Server::of(Software::Redis);
        Self { url: server.url().to_owned(), _server: Some(server) }
    }
}

#[async_trait]
impl Store for Redis {
    fn name(&self) -> &str {
        "redis"
    }

    async fn client(&self) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(lock_redis::Redis::connect(&self.url).await?))
    }

    async fn bare(&self) -> Option<Arc<dyn Bare>> {
        let requests = connect(&self.url, Some(PATIENCE)).await;
        let release = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0";
        Some(Arc::new(Multiplexed { url: self.url.clone(), requests, release: Script::new(release) }))
    }

    fn url(&self) -> Option<&str> {
        Some(&self.url)
    }

    async fn requests(&self) -> Option<u64> {
        let mut connection = connect(&self.url, Some(PATIENCE)).await;
        let info: String =
            cmd("INFO").arg("commandstats").query_async(&mut connection).await.expect("statistics");
        // Every request of the library is a script.
        let calls = |line: &str| line.strip_prefix("cmdstat_evalsha:calls=")?.split(',').next()?.parse().ok();
        Some(info.lines().find_map(calls).unwrap_or(0))
    }
}

/// A connection with the settings of the library's.
async fn connect(url: &str, patience: Option<Duration>) -> MultiplexedConnection {
    let info = url.into_connection_info().expect("an address");
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let client = Client::open(info.set_redis_settings(settings)).expect("an address");
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(PATIENCE)).set_response_timeout(patience);
    client.get_multiplexed_async_connection_with_config(&config).await.expect("the server is there")
}

/// One connection for everybody, and one for each who waits.
struct Multiplexed {
    url: String,
    requests: MultiplexedConnection,
    release: Script,
}

#[async_trait]
impl Bare for Multiplexed {
    async fn pair(&self, key: &str) {
        let mut requests = self.requests.clone();
        let owner = fastrand::u128(..).to_be_bytes();
        let mut take = cmd("SET");
        take.arg(key).arg(&owner).arg("NX").arg("PX").arg(30_000);
        let taken: Option<String> = take.query_async(&mut requests).await.expect("an answer");
        assert!(taken.is_some(), "nobody else takes it");
        let given: u64 =
            self.release.key(key).arg(&owner).invoke_async(&mut requests).await.expect("an answer");
        assert_eq!(given, 1, "it was there");
    }

    fn waits(&self) -> &str {
        "BLPOP"
    }

    /// The lock is a list, whose one element whoever holds the lock has taken out.
    async fn free(&self, key: &str) {
        let mut free = redis::pipe();
        free.atomic().cmd("DEL").arg(key).cmd("RPUSH").arg(key).arg(1);
        free.exec_async(&mut self.requests.clone()).await.expect("an answer");
    }

    async fn contender(&self, key: &str) -> Box<dyn Contender> {
        Box::new(Blocking { connection: connect(&self.url, None).await, key: key.to_owned() })
    }
}

struct Blocking {
    connection: MultiplexedConnection,
    key: String,
}

#[async_trait]
impl Contender for Blocking {
    async fn take(&mut self) -> (u64, u64) {
        let mut take = cmd("BLPOP");
        take.arg(&self.key).arg(0).exec_async(&mut self.connection).await.expect("an answer");
        (now(), 1)
    }

    async fn give(&mut self) {
        let mut give = cmd("RPUSH");
        give.arg(&self.key).arg(1).exec_async(&mut self.connection).await.expect("an answer");
    }
}
