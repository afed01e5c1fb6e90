//! Grants that count when a replica has them.

use std::sync::Arc;
use std::time::Duration;

use conformance_tests::Server;
use lock_core::{Attempt, Backend, ErrorKind, Locker, Ownership};
use lock_redis::{Options, Redis};

use crate::help::{LIMIT, LONG, ask, caught_up, claim, follow, info, queue, queued, two_servers, within};

/// A server, its replica, and a client that wants it to have what is granted.
async fn pair() -> (Server, Server, Redis) {
    let [master, replica] = two_servers();
    follow(&replica, master.url()).await;
    caught_up(&master).await;
    let store = careful(&master).await;
    (master, replica, store)
}

async fn careful(server: &Server) -> Redis {
    Options::default().min_replicas(1).connect(server.url()).await.expect("the server is there")
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_waited_for_at_every_grant_and_renewal_and_at_nothing_else() {
    let (master, replica, store) = pair().await;
    let waits = async || info(&master, "commandstats", "cmdstat_wait").await;
    let before = waits().await;
    let [held, waiter] = [(); 2].map(|()| Arc::new(claim("a", LONG)));
    assert!(matches!(store.acquire(&held).await, Ok(Attempt::Granted(_))));
    assert_eq!(waits().await, before + 1);
    assert_eq!(queue(&replica, "a").await.len(), 1);
    assert!(matches!(store.acquire(&waiter).await, Ok(Attempt::Busy(_))));
    assert_eq!(waits().await, before + 1, "a place");
    assert!(matches!(store.renew(&[held.clone(), waiter]).await[..], [Ok(_), Ok(_)]));
    assert_eq!(waits().await, before + 2, "a batch");
    store.release(&held, Duration::ZERO).await.expect("released");
    assert!(matches!(store.renew(&[held]).await[..], [Ok(Ownership::Lost)]));
    assert_eq!(waits().await, before + 2, "a release, and nothing that is kept");

    // The keeper's client is as careful.
    let fork = store.fork().await.expect("another client of it");
    assert!(matches!(fork.acquire(&claim("b", LONG)).await, Ok(Attempt::Granted(_))));
    assert_eq!(waits().await, before + 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_replica_acknowledges_is_neither_granted_nor_renewed_nor_left_behind() {
    let (master, mut replica, store) = pair().await;
    let locks = Locker::new(store.clone()).with_ttl(LONG);
    let [held, gone] = ["held", "gone"].map(|key| Arc::new(claim(key, LONG)));
    assert!(matches!(store.acquire(&held).await, Ok(Attempt::Granted(_))));

    replica.pause();
    let error = within(store.acquire(&claim("a", Duration::from_secs(2)))).await.expect_err("nobody has it");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("0 of 1 replicas"), "{error}");
    queued(&master, "a", 0).await;
    let error = within(locks.lock("b").try_acquire()).await.expect_err("nobody has it");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    queued(&master, "b", 0).await;
    match &within(store.renew(&[held.clone(), gone])).await[..] {
        [Err(error), Ok(Ownership::Lost)] => assert_eq!(error.kind(), ErrorKind::Unavailable),
        other => panic!("one is not known, the other is lost; got {other:?}"),
    }
    let waiter = tokio::spawn(locks.lock("c").timeout(LIMIT).acquire());
    queued(&master, "c", 1).await;

    replica.resume();
    drop(within(waiter).await.expect("no panic").expect("granted"));
    assert!(matches!(store.renew(&[held]).await[..], [Ok(Ownership::Held { .. })]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_becomes_a_replica_before_it_is_waited_for_is_a_replica() {
    let (master, _replica, store) = pair().await;
    // So that the script runs.
    ask::<()>(&master, "CONFIG SET replica-read-only no").await;
    ask::<()>(&master, "REPLICAOF 127.0.0.1 1").await;
    let error = within(store.acquire(&claim("a", LONG))).await.expect_err("it cannot wait for replicas");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.to_string().contains("the server is a replica"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_replicas_is_a_right_of_its_own() {
    let (master, _replica, _) = pair().await;
    ask::<()>(&master, "ACL SETUSER locks on >secret ~lock:* &lock:* +@all -wait").await;
    let url = master.url().replace("redis://", "redis://locks:secret@");
    let store = Options::default().min_replicas(1).connect(&url).await.expect("connected");
    let error = within(store.acquire(&claim("a", LONG))).await.expect_err("a right is missing");
    assert_eq!(error.kind(), ErrorKind::Backend, "{error:?}");
    let said = format!("{error:?}");
    assert!(said.contains("may not") && said.contains("README"), "{said}");
    assert!(include_str!("../../README.md").contains("+wait"));
}
