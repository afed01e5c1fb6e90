//! Redis, and who is compared on it.

mod bare;
mod distributed;
mod redlock;

use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, ProtocolVersion, cmd};
use async_trait::async_trait;
use conformance_tests::{Server, Software};

use crate::measure::Measure;
use crate::ours::Ours;
use crate::rival::{Failure, Rival};
use crate::store::Store;

/// How long the bare driver waits for an answer, as the library does.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) struct Redis {
    url: String,
    /// One that was started for this run.
    server: Option<Server>,
}

impl Redis {
    /// A server by address, or one of this machine's program where there is none.
    pub(crate) fn new(url: &str) -> Self {
        let server = (url == "redis:").then(|| Server::with(Software::Redis, &[]));
        let url = server.as_ref().map_or(url, |server| server.url()).to_owned();
        Self { url, server }
    }

    async fn info(&self, section: &str) -> Result<String, Failure> {
        let mut connection = connect(&self.url, Some(PATIENCE)).await;
        Ok(cmd("INFO").arg(section).query_async(&mut connection).await?)
    }
}

#[async_trait]
impl Store for Redis {
    fn name(&self) -> &str {
        "redis"
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn fresh(&self) -> Option<&'static str> {
        self.server.as_ref().map(|_| "redis:")
    }

    fn rivals(&self) -> Vec<Box<dyn Rival>> {
        let url = self.url.clone();
        let connect = move || {
            let url = url.clone();
            async move { lock_redis::Redis::connect(&url).await }
        };
        let url = || self.url.clone();
        vec![
            Box::new(Ours::new(
                "lock-redis",
                "a message to the one who is next",
                &["eval", "evalsha"],
                connect,
            )),
            Box::new(bare::Bare(url())),
            Box::new(redlock::Rslock { url: url(), delay: None }),
            Box::new(redlock::Rslock { url: url(), delay: Some(Duration::from_millis(10)) }),
            Box::new(distributed::Distributed(url())),
        ]
    }

    async fn version(&self) -> Result<String, Failure> {
        let info = self.info("server").await?;
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
        Ok(format!("Redis {}", version.unwrap_or("of an unknown version")))
    }

    fn measures(&self, _: Measure) -> bool {
        true
    }

    /// What a script calls is counted by name, too, so this is only what the rival asks for itself.
    async fn requests(&self, rival: &dyn Rival) -> Option<u64> {
        let info = self.info("commandstats").await.ok()?;
        let calls = |line: &str| {
            let (name, calls) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let counts = rival.commands().contains(&name);
            calls.split(',').next()?.parse::<u64>().ok().filter(|_| counts)
        };
        Some(info.lines().filter_map(calls).sum())
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
