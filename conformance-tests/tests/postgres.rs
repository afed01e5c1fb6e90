//! The conformance run of the store in PostgreSQL.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use conformance_tests::{Line, Proxy, Server, Software, Subject};
use lock_core::{Backend, Result};
use lock_postgres::Postgres;

/// A server, and its address: alone in a process that did not start it.
struct InPostgres {
    url: String,
    _server: Option<Server>,
}

#[async_trait]
impl Subject for InPostgres {
    fn name(&self) -> &str {
        "postgres"
    }

    fn ttl(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn client(&self) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(Postgres::connect(&self.url).await?))
    }

    async fn cuttable(&self) -> Result<Option<(Arc<dyn Backend>, Arc<dyn Line>)>> {
        let proxy = Proxy::to(&self.url).await;
        Ok(Some((Arc::new(Postgres::connect(proxy.url()).await?), Arc::new(proxy))))
    }

    fn address(&self) -> Option<String> {
        Some(self.url.clone())
    }
}

fn start(address: Option<String>) -> InPostgres {
    if let Some(url) = address {
        return InPostgres { url, _server: None };
    }
    let server = Server::of(Software::Postgres);
    InPostgres { url: server.url().to_owned(), _server: Some(server) }
}

fn main() -> ExitCode {
    conformance_tests::main(start)
}
