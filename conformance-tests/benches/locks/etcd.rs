//! etcd, and its bare driver: put-if-absent and delete on a standing lease; who waits does so in a queue of names, until a
//! watch tells that the name just ahead is gone.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use conformance_tests::{Server, Software, etcd_metric};
use etcd_client::{
    Client, Compare, CompareOp, EventType, GetOptions, PutOptions, Txn, TxnOp, TxnOpResponse, WatchOptions,
};
use lock_core::{Backend, Result};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::store::{Bare, Contender, Store};

/// How long the bare driver waits for an answer, as the library does.
const PATIENCE: Duration = Duration::from_secs(3);

/// Longer than any measurement takes.
const LEASE: i64 = 3600;

pub(crate) struct Etcd {
    url: String,
    /// One that was started for this run.
    _server: Option<Server>,
}

impl Etcd {
    /// A server by address, or the suite's where there is none.
    pub(crate) fn new(url: &str) -> Self {
        if url != "etcd:" {
            return Self { url: url.to_owned(), _server: None };
        }
        let server = Server::of(Software::Etcd);
        Self { url: server.url().to_owned(), _server: Some(server) }
    }

    async fn metric(&self, name: &str) -> u64 {
        etcd_metric(&self.url, name).await.expect("the server tells of itself")
    }
}

#[async_trait]
impl Store for Etcd {
    fn name(&self) -> &str {
        "etcd"
    }

    async fn client(&self) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(lock_etcd::Etcd::connect(&self.url).await?))
    }

    async fn bare(&self) -> Option<Arc<dyn Bare>> {
        let client =
            Client::connect([self.url.replacen("etcd", "http", 1)], None).await.expect("the server is there");
        let lease = client.lease_client().grant(LEASE, None).await.expect("a lease").id();
        Some(Arc::new(OneWatch { client, lease, bells: Arc::default() }))
    }

    fn url(&self) -> Option<&str> {
        Some(&self.url)
    }

    async fn requests(&self) -> Option<u64> {
        Some(self.metric("etcd_server_proposals_committed_total").await)
    }

    fn request(&self) -> &str {
        "raft proposals"
    }

    async fn streams(&self) -> Option<u64> {
        let mut open = 0;
        for (method, service) in [("Watch", "Watch"), ("LeaseKeepAlive", "Lease")] {
            let labels = format!(
                r#"grpc_method="{method}",grpc_service="etcdserverpb.{service}",grpc_type="bidi_stream""#
            );
            open += self.metric(&format!("grpc_server_started_total{{{labels}}}")).await;
            for code in ["OK", "Canceled", "Unavailable", "Unknown"] {
                let ended = format!(r#"grpc_server_handled_total{{grpc_code="{code}",{labels}}}"#);
                open -= self.metric(&ended).await;
            }
        }
        Some(open)
    }
}

/// One connection for everybody, and one watch on a queue, which tells each when the name ahead of its own is gone.
struct OneWatch {
    client: Client,
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

#[async_trait]
impl Bare for OneWatch {
    async fn pair(&self, key: &str) {
        let mut kv = self.client.kv_client();
        let took = timeout(PATIENCE, kv.txn(put(key, self.lease, None))).await.expect("in time");
        assert!(took.expect("an answer").succeeded(), "nobody else takes it");
        let gave = timeout(PATIENCE, kv.delete(key, None)).await.expect("in time");
        assert_eq!(gave.expect("an answer").deleted(), 1, "it was there");
    }

    fn waits(&self) -> &str {
        "a queue on one watch"
    }

    /// Nobody is in the queue when its contenders have gone.
    async fn free(&self, _: &str) {}

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
}

struct Waiting {
    client: Client,
    lease: i64,
    queue: String,
    bells: Arc<Bells>,
    own: String,
}

#[async_trait]
impl Contender for Waiting {
    async fn take(&mut self) -> (u64, u64) {
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
        (number.unsigned_abs(), 1)
    }

    async fn give(&mut self) {
        let gave =
            timeout(PATIENCE, self.client.kv_client().delete(&*self.own, None)).await.expect("in time");
        assert_eq!(gave.expect("an answer").deleted(), 1, "it was there");
    }
}
