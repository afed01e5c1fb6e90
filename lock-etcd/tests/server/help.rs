//! What the tests say often.

use std::sync::Arc;
use std::time::Duration;

use conformance_tests::{Server, Software, etcd_metric};
use etcd_client::{Client, GetOptions, KeyValue};
use lock_core::{Backend, Claim, Locker, Mode, Ownership, Wakeups};
use lock_etcd::Etcd;

/// How long anything may take that has to come.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A ttl that no test outlasts.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// A ttl to wait for.
pub(crate) const SHORT: Duration = Duration::from_secs(3);

/// Waits for something that has to come.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("it takes no minute")
}

/// Looks again and again until it is so.
pub(crate) async fn until<F: Future<Output = bool>>(mut so: impl FnMut() -> F) {
    within(async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// A server of the test's own.
pub(crate) fn server() -> Server {
    Server::with(Software::Etcd, &[])
}

pub(crate) async fn store(url: &str) -> Etcd {
    within(Etcd::connect(url)).await.expect("the server is there")
}

pub(crate) async fn locker(url: &str) -> Locker {
    Locker::new(store(url).await).with_ttl(LONG)
}

/// A claim that waits.
pub(crate) fn claim(key: &str, ttl: Duration) -> Claim {
    Claim::new(key, Mode::Exclusive, ttl).expect("a valid claim").queued()
}

/// The driver beside the library.
pub(crate) async fn raw(server: &Server) -> Client {
    Client::connect([server.url().replace("etcd://", "http://")], None).await.expect("an address")
}

/// What is stored in a key's queue, oldest first.
pub(crate) async fn queue(raw: &Client, key: &str) -> Vec<KeyValue> {
    let prefix = GetOptions::new().with_prefix();
    let answer =
        raw.kv_client().get(format!("lock/q/{key}/"), Some(prefix)).await.expect("the server is there");
    let mut stored = answer.kvs().to_vec();
    stored.sort_by_key(KeyValue::create_revision);
    stored
}

/// Waits until that many claims are in a key's queue.
pub(crate) async fn queued(raw: &Client, key: &str, count: usize) {
    until(|| async { queue(raw, key).await.len() == count }).await;
}

/// How many transactions a server has done, those that read among them.
pub(crate) async fn transactions(server: &Server) -> u64 {
    let transactions = r#"grpc_server_handled_total{grpc_code="OK",grpc_method="Txn",grpc_service="etcdserverpb.KV",grpc_type="unary"}"#;
    etcd_metric(server.url(), transactions).await.expect("it tells of itself")
}

/// One who holds a key, one who waits behind it, and the bell of that one. That another bell rang before shows that the
/// stream is there.
pub(crate) async fn behind(store: &Etcd) -> (Claim, Claim, Wakeups) {
    let [first, holder, waiter] = [(); 3].map(|()| claim("a", LONG));
    for claim in [&first, &holder, &waiter] {
        store.acquire(claim).await.expect("an answer");
    }
    let mut early = store.wakeups(&holder).await.expect("a bell");
    let rings = store.wakeups(&waiter).await.expect("a bell");
    store.release(&first, Duration::ZERO).await.expect("it was there");
    assert!(within(early.next()).await.is_some(), "the stream ended instead of ringing");
    (holder, waiter, rings)
}

/// Renews one claim.
pub(crate) async fn renew(store: &Etcd, claim: &Arc<Claim>) -> Ownership {
    let mut answers = store.renew(std::slice::from_ref(claim)).await;
    answers.remove(0).expect("an answer")
}
