//! The conformance run of the store in Redis.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use conformance_tests::{Line, Proxy, Server, Software, Subject, Users};
use lock_core::{Backend, Result};
use lock_redis::Redis;
use tokio::sync::OnceCell;

/// A server, and its address: alone in a process that did not start it.
struct InRedis {
    url: String,
    _server: Option<Server>,
}

impl InRedis {
    fn on(server: Server) -> Self {
        Self { url: server.url().to_owned(), _server: Some(server) }
    }
}

/// The users of a case, on a server of their own that is started for the first of them.
#[derive(Default)]
struct InAcl(OnceCell<Server>);

/// What the README says that a user needs.
const RIGHTS: &str = "resetkeys ~lock:* resetchannels &lock:* -@all +evalsha +script|load +subscribe +publish \
    +time +get +mget +set +del +pexpire +pttl +zadd +zrange +zrem +zscore +select";

/// A connection beside the library's.
async fn raw(url: &str) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(url).expect("an address");
    client.get_multiplexed_async_connection().await.expect("the server is there")
}

#[async_trait]
impl Users for InAcl {
    async fn address(&self, name: &str) -> String {
        let server = self.0.get_or_init(async || Server::with(Software::Redis, &[])).await;
        let mut connection = raw(server.url()).await;
        let mut user = redis::cmd("ACL");
        user.arg("SETUSER")
            .arg(name)
            .arg("on")
            .arg(">secret")
            .arg(RIGHTS.split_whitespace().collect::<Vec<_>>());
        user.query_async::<()>(&mut connection).await.expect("a new user");
        server.url().replace("redis://", &format!("redis://{name}:secret@"))
    }
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

    async fn alone(&self) -> Result<Option<Arc<dyn Subject>>> {
        Ok(Some(Arc::new(Self::on(Server::with(Software::Redis, &[])))))
    }

    async fn connections(&self) -> Result<Option<usize>> {
        let list: String =
            redis::cmd("CLIENT").arg("LIST").query_async(&mut raw(&self.url).await).await.expect("it tells");
        Ok(Some(list.lines().count() - 1))
    }

    fn users(&self) -> Option<Box<dyn Users>> {
        Some(Box::new(InAcl::default()))
    }

    fn address(&self) -> Option<String> {
        Some(self.url.clone())
    }
}

fn start(address: Option<String>) -> InRedis {
    if let Some(url) = address {
        return InRedis { url, _server: None };
    }
    InRedis::on(Server::of(Software::Redis))
}

fn main() -> ExitCode {
    conformance_tests::main(start)
}
