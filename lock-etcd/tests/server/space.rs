//! A server whose space quota is used up.

use std::sync::Arc;
use std::time::Duration;

use conformance_tests::{Server, Software};
use lock_core::{Backend, ErrorKind, Ownership};

use crate::help::{LIMIT, LONG, claim, queue, raw, renew, store, within};

#[tokio::test(flavor = "multi_thread")]
async fn without_space_nothing_is_taken_but_what_is_held_can_be_kept_and_let_go() {
    let server = Server::with(Software::Etcd, &["--quota-backend-bytes=1000000"]);
    let (raw, store) = (raw(&server).await, store(server.url()).await);
    let held = ["a", "b"].map(|key| Arc::new(claim(key, LONG)));
    for claim in &held {
        store.acquire(claim).await.expect("granted");
    }
    let waiting = claim("a", LONG);
    store.acquire(&waiting).await.expect("queued");
    let mut rings = store.wakeups(&waiting).await.expect("a bell");

    let filled = within(async {
        loop {
            if let Err(error) = raw.kv_client().put("full", vec![0; 100_000], None).await {
                return error;
            }
        }
    });
    assert!(filled.await.to_string().contains("space"));

    let error = within(store.acquire(&claim("c", LONG))).await.expect_err("no space");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("space quota"), "{error}");
    for claim in &held {
        assert_eq!(renew(&store, claim).await, Ownership::held(LONG));
    }
    let error = within(store.release(&held[1], LIMIT)).await.expect_err("no space for a remnant");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    for claim in &held {
        assert_eq!(
            store.release(claim, Duration::ZERO).await.expect("an answer"),
            Ownership::held(Duration::ZERO)
        );
        assert_eq!(store.release(claim, Duration::ZERO).await.expect("an answer"), Ownership::Lost);
    }
    // That there is no space is an answer, and no reason to connect anew.
    assert!(within(rings.next()).await.is_some(), "the stream ended instead of ringing");
    let granted = within(store.acquire(&waiting)).await.expect("an answer");
    assert!(matches!(granted, lock_core::Attempt::Granted(_)), "{granted:?}");
    assert_eq!(queue(&raw, "b").await.len(), 0);
}
