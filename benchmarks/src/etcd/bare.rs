//! The bare driver: put-if-absent and delete on a standing lease; who waits does so in a queue of names, until a watch tells
//! that the name just ahead is gone.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use etcd_client::{
    Client as Driver, Compare, CompareOp, EventType, GetOptions, PutOptions, Txn, TxnOp, TxnOpResponse,
    WatchOptions,
};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{PATIENCE, connect, lease};
use crate::rival::{Client, Contender, Failure, Held, Kind, Rival, Untold};

pub(crate) struct Bare(pub(crate) String);

#[async_trait]
impl Rival for Bare {
    fn name(&self) -> &'static str {
        "etcd-client"
    }

    fn kind(&self) -> Kind {
        Kind::Bare
    }

    fn waits(&self) -> &'static str {
        "a queue on one watch"
    }

    async fn client(&self, _: usize) -> Result<Arc<dyn Client>, Failure> {
        let client = connect(&self.0).await?;
        let lease = lease(&client).await?;
        Ok(Arc::new(OneWatch { client, lease, bells: Arc::default() }))
    }
}

/// One connection for everybody, and one watch on a queue, which tells each when the name ahead of its own is gone.
struct OneWatch {
    client: Driver,
    lease: i64,
    bells: Arc<Mutex<HashMap<String, Arc<Bells>>>>,
}

#[derive(Default)]
struct Bells(Mutex<Names>);

/// Who waits for which name to go, and which names went before anybody waited for them.
#[derive(Default)]
struct Names {
    waiting: HashMap<Vec<u8>, oneshot::Sender<()>>,
    gone: HashSet<Vec<u8>>,
}

impl Bells {
    fn gone(&self, name: &[u8]) {
        let Names { waiting, gone } = &mut *self.0.lock().expect("no holder panics");
        match waiting.remove(name) {
            Some(bell) => drop(bell.send(())),
            None => drop(gone.insert(name.to_owned())),
        }
    }

    fn wait(&self, name: Vec<u8>) -> Option<oneshot::Receiver<()>> {
        let Names { waiting, gone } = &mut *self.0.lock().expect("no holder panics");
        if gone.remove(&name) {
            return None;
        }
        let (bell, rung) = oneshot::channel();
        waiting.insert(name, bell);
        Some(rung)
    }
}

/// Puts a name if it is absent, and then does more.
fn put(name: &str, lease: i64, more: Option<TxnOp>) -> Txn {
    let absent = Compare::create_revision(name, CompareOp::Equal, 0);
    let put = TxnOp::put(name, "1", Some(PutOptions::new().with_lease(lease)));
    Txn::new().when([absent]).and_then([put].into_iter().chain(more).collect::<Vec<_>>())
}

impl OneWatch {
    async fn take(&self, key: &str) {
        let put = put(key, self.lease, None);
        let took = timeout(PATIENCE, self.client.kv_client().txn(put)).await.expect("in time");
        assert!(took.expect("an answer").succeeded(), "nobody else takes it");
    }
}

#[async_trait]
impl Client for OneWatch {
    async fn pair(&self, key: &str) {
        self.take(key).await;
        let gave = timeout(PATIENCE, self.client.kv_client().delete(key, None)).await.expect("in time");
        assert_eq!(gave.expect("an answer").deleted(), 1, "it was there");
    }

    /// Its lease is renewed, whatever is under it.
    async fn hold(&self, key: &str) -> Box<dyn Held> {
        self.take(key).await;
        Box::new(Untold(()))
    }

    async fn contender(&self, key: &str) -> Box<dyn Contender> {
        let queue = format!("bare/{key}/");
        let known = self.bells.lock().expect("no holder panics").get(&queue).cloned();
        let bells = match known {
            Some(bells) => bells,
            None => {
                let bells = Arc::<Bells>::default();
                let options = WatchOptions::new().with_prefix();
                let mut watch =
                    self.client.watch_client().watch(&*queue, Some(options)).await.expect("a watch");
                let created = watch.message().await.expect("an answer").expect("an answer");
                assert!(created.created());
                let told = bells.clone();
                tokio::spawn(async move {
                    while let Ok(Some(answer)) = watch.message().await {
                        for event in
                            answer.events().iter().filter(|one| one.event_type() == EventType::Delete)
                        {
                            told.gone(event.kv().expect("a delete has a name").key());
                        }
                    }
                });
                self.bells.lock().expect("no holder panics").insert(queue.clone(), bells.clone());
                bells
            }
        };
        Box::new(Waiting { client: self.client.clone(), lease: self.lease, queue, bells, own: String::new() })
    }

    async fn close(&self) {
        self.client.lease_client().revoke(self.lease).await.expect("an answer");
    }
}

struct Waiting {
    client: Driver,
    lease: i64,
    queue: String,
    bells: Arc<Bells>,
    own: String,
}

#[async_trait]
impl Contender for Waiting {
    async fn take(&mut self) {
        self.own = format!("{}{:032x}", self.queue, fastrand::u128(..));
        let all = GetOptions::new().with_prefix().with_keys_only();
        let txn = put(&self.own, self.lease, Some(TxnOp::get(&*self.queue, Some(all))));
        let answer = timeout(PATIENCE, self.client.kv_client().txn(txn)).await.expect("in time");
        let answer = answer.expect("an answer");
        let number = answer.header().expect("a header").revision();
        let Some(TxnOpResponse::Get(there)) = answer.op_responses().pop() else { panic!("it read") };
        let ahead = there.kvs().iter().filter(|one| one.create_revision() < number);
        if let Some(ahead) = ahead.max_by_key(|one| one.create_revision())
            && let Some(rung) = self.bells.wait(ahead.key().to_vec())
        {
            rung.await.expect("a ring");
        }
    }

    async fn give(&mut self) {
        let gave =
            timeout(PATIENCE, self.client.kv_client().delete(&*self.own, None)).await.expect("in time");
        assert_eq!(gave.expect("an answer").deleted(), 1, "it was there");
    }
}
