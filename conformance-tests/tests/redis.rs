//! The conformance run of the store in Redis.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use conformance_tests::{Line, Proxy, Server, Software, Subject};
use lock_core::{Backend, Result};
use lock_redis::Redis;

/// A server, and its address: alone in a process that did not start it.
struct InRedis {
    url: String,
    _server: Option<Server>,
}

#[async_trait]
impl Subject for InRedis {
    fn name(&self) -> &str {
        "redis"
    }

    fn ttl(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn client(&self) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(Redis::connect(&self.url).await?))
    }

    async fn cuttable(&self) -> Result<Option<(Arc<dyn Backend>, Arc<dyn Line>)>> {
        let proxy = Proxy::to(&self.url).await;
        Ok(Some((Arc::new(Redis::connect(proxy.url()).await?), Arc::new(proxy))))
    }

    fn address(&self) -> Option<String> {
        Some(self.url.clone())
    }
}

fn start(address: Option<String>) -> InRedis {
    if let Some(url) = address {
        return InRedis { url, _server: None };
    }
    let server = Server::of(Software::Redis);
    InRedis { url: server.url().to_owned(), _server: Some(server) }
}

fn main() -> ExitCode {
    conformance_tests::main(start)
}
