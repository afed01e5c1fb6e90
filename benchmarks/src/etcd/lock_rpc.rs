//! etcd's own Lock RPC, as etcd-client's example has it: a lease, and a lock under it.

use std::sync::Arc;

use async_trait::async_trait;
use etcd_client::{Client as Driver, LockOptions};

use super::{connect, lease};
use crate::rival::{Client, Contender, Failure, Held, Kind, Rival, Untold};

pub(crate) struct LockRpc(pub(crate) String);

#[async_trait]
impl Rival for LockRpc {
    fn name(&self) -> &'static str {
        "etcd Lock RPC"
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn waits(&self) -> &'static str {
        "the call lasts until it is granted"
    }

    async fn client(&self, _: usize) -> Result<Arc<dyn Client>, Failure> {
        let client = connect(&self.0).await?;
        let lease = lease(&client).await?;
        Ok(Arc::new(Rpc { client, lease }))
    }
}

struct Rpc {
    client: Driver,
    /// All that this client holds is under it; whoever contends has one of its own, since a lease is an owner.
    lease: i64,
}

async fn take(client: &Driver, key: &str, lease: i64) -> Vec<u8> {
    let options = LockOptions::new().with_lease(lease);
    let answer = client.lock_client().lock(key, Some(options)).await.expect("it comes to everybody");
    answer.key().to_owned()
}

#[async_trait]
impl Client for Rpc {
    async fn pair(&self, key: &str) {
        let own = take(&self.client, key, self.lease).await;
        self.client.lock_client().unlock(own).await.expect("a release");
    }

    /// Its lease is renewed, whatever is under it.
    async fn hold(&self, key: &str) -> Box<dyn Held> {
        take(&self.client, key, self.lease).await;
        Box::new(Untold(()))
    }

    async fn contender(&self, key: &str) -> Box<dyn Contender> {
        let lease = lease(&self.client).await.expect("a lease");
        Box::new(Calling { client: self.client.clone(), key: key.to_owned(), lease, own: None })
    }

    async fn close(&self) {
        self.client.lease_client().revoke(self.lease).await.expect("an answer");
    }
}

struct Calling {
    client: Driver,
    key: String,
    lease: i64,
    own: Option<Vec<u8>>,
}

#[async_trait]
impl Contender for Calling {
    async fn take(&mut self) {
        self.own = Some(take(&self.client, &self.key, self.lease).await);
    }

    async fn give(&mut self) {
        let own = self.own.take().expect("it was taken");
        self.client.lock_client().unlock(own).await.expect("a release");
    }
}
