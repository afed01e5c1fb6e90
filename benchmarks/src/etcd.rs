//! etcd, and who is compared on it.

mod bare;
mod lock_rpc;

use std::time::Duration;

use async_trait::async_trait;
use conformance_tests::{Server, Software, etcd_metric};
use etcd_client::Client;
use tokio::time::interval;

use crate::measure::Measure;
use crate::ours::Ours;
use crate::rival::{Failure, Rival, TTL};
use crate::store::Store;

/// How long the bare driver waits for an answer, as the library does.
const PATIENCE: Duration = Duration::from_secs(3);

pub(crate) struct Etcd {
    url: String,
    /// One that was started for this run.
    server: Option<Server>,
}

impl Etcd {
    /// A server by address, or one of this machine's program where there is none.
    pub(crate) fn new(url: &str) -> Self {
        let server = (url == "etcd:").then(|| Server::with(Software::Etcd, &[]));
        let url = server.as_ref().map_or(url, |server| server.url()).to_owned();
        Self { url, server }
    }
}

#[async_trait]
impl Store for Etcd {
    fn name(&self) -> &str {
        "etcd"
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn fresh(&self) -> Option<&'static str> {
        self.server.as_ref().map(|_| "etcd:")
    }

    fn rivals(&self) -> Vec<Box<dyn Rival>> {
        let url = self.url.clone();
        let connect = move || {
            let url = url.clone();
            async move { lock_etcd::Etcd::connect(&url).await }
        };
        vec![
            Box::new(Ours::new("lock-etcd", "a watch on the claim just ahead", &[], connect)),
            Box::new(bare::Bare(self.url.clone())),
            Box::new(lock_rpc::LockRpc(self.url.clone())),
        ]
    }

    async fn version(&self) -> Result<String, Failure> {
        let status = connect(&self.url).await?.status().await?;
        Ok(format!("etcd {}", status.version()))
    }

    fn measures(&self, _: Measure) -> bool {
        true
    }

    async fn requests(&self, _: &dyn Rival) -> Option<u64> {
        etcd_metric(&self.url, "etcd_server_proposals_committed_total").await.ok()
    }

    fn request(&self) -> &'static str {
        "raft proposals"
    }
}

async fn connect(url: &str) -> Result<Client, Failure> {
    Ok(Client::connect([url.replacen("etcd", "http", 1)], None).await?)
}

/// A lease that is kept for as long as this process lives.
async fn lease(client: &Client) -> Result<i64, Failure> {
    let mut leases = client.lease_client();
    let ttl = i64::try_from(TTL.as_secs())?;
    let id = leases.grant(ttl, None).await?.id();
    let (mut keeper, mut answers) = leases.keep_alive(id).await?;
    tokio::spawn(async move {
        let mut due = interval(TTL / 3);
        loop {
            due.tick().await;
            keeper.keep_alive().await.expect("it can be asked");
            let answer = answers.message().await.expect("an answer").expect("an answer");
            assert!(answer.ttl() > 0, "the lease is there");
        }
    });
    Ok(id)
}
