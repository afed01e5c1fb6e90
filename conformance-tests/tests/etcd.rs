//! The conformance run of the store in etcd.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use conformance_tests::{Line, Proxy, Server, Software, Subject};
use lock_core::{Backend, Result};
use lock_etcd::Etcd;

/// A server, and its address: alone in a process that did not start it.
struct InEtcd {
    url: String,
    _server: Option<Server>,
}

#[async_trait]
impl Subject for InEtcd {
    fn name(&self) -> &str {
        "etcd"
    }

    fn ttl(&self) -> Duration {
        // The store has none shorter than two seconds.
        Duration::from_secs(3)
    }

    async fn client(&self) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(Etcd::connect(&self.url).await?))
    }

    async fn cuttable(&self) -> Result<Option<(Arc<dyn Backend>, Arc<dyn Line>)>> {
        let proxy = Proxy::to(&self.url).await;
        Ok(Some((Arc::new(Etcd::connect(proxy.url()).await?), Arc::new(proxy))))
    }

    fn address(&self) -> Option<String> {
        Some(self.url.clone())
    }
}

fn start(address: Option<String>) -> InEtcd {
    if let Some(url) = address {
        return InEtcd { url, _server: None };
    }
    let server = Server::of(Software::Etcd);
    InEtcd { url: server.url().to_owned(), _server: Some(server) }
}

fn main() -> ExitCode {
    conformance_tests::main(start)
}
