//! A ring that tells of a turn saves the look, and nothing else does.

use std::time::Duration;

use conformance_tests::Server;
use futures::FutureExt;
use lock_core::{Attempt, Backend, Claim, Ownership};
use lock_redis::Redis;
use rstest::rstest;

use crate::help::{LONG, ask, claim, info, raw, server, store, within};

const NO: Duration = Duration::ZERO;

/// A holder, and one who waits behind it.
async fn queue(store: &Redis, ttl: Duration) -> (Claim, Claim) {
    let (held, waiter) = (claim("a", LONG), claim("a", ttl));
    assert!(matches!(store.acquire(&held).await, Ok(Attempt::Granted(_))));
    assert!(matches!(store.acquire(&waiter).await, Ok(Attempt::Busy(_))));
    (held, waiter)
}

/// Waits until a claim is rung.
async fn rung(store: &Redis, waiter: &Claim, why: impl Future<Output = ()>) {
    let mut rings = store.wakeups(waiter).await.expect("it listens");
    // Once, perhaps, because the client has begun to listen.
    while rings.next().now_or_never().is_some() {}
    why.await;
    within(rings.next()).await.expect("it is rung");
}

async fn release(store: &Redis, held: &Claim, keep: Duration) {
    assert_eq!(store.release(held, keep).await.expect("an answer"), Ownership::held(keep));
}

async fn requests(server: &Server) -> u64 {
    info(server, "commandstats", "cmdstat_evalsha").await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_of_its_turn_holds_the_lock_and_asks_no_more() {
    let server = server();
    let store = store(&server).await;
    let (held, waiter) = queue(&store, LONG).await;
    rung(&store, &waiter, release(&store, &held, NO)).await;

    let before = requests(&server).await;
    let Ok(Attempt::Granted(told)) = store.acquire(&waiter).await else { panic!("it has its turn") };
    assert_eq!(requests(&server).await, before);
    let Ok(Attempt::Granted(asked)) = store.acquire(&waiter).await else { panic!("it is held") };
    assert_eq!(requests(&server).await, before + 1);
    assert_eq!((told.token, asked.lease), (asked.token, LONG));
    assert!(told.lease < LONG && told.lease > LONG * 2 / 3, "{told:?}");
    release(&store, &waiter, NO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_told_of_a_place_does_not_count_for_another() {
    let server = server();
    let store = store(&server).await;
    let (held, waiter) = queue(&store, LONG).await;
    rung(&store, &waiter, release(&store, &held, NO)).await;
    release(&store, &waiter, NO).await;
    let other = claim("a", LONG);
    assert!(matches!(store.acquire(&other).await, Ok(Attempt::Granted(_))));
    assert!(matches!(store.acquire(&waiter).await, Ok(Attempt::Busy(_))));

    // Nor does a ring for a place that it has had.
    let channels: Vec<String> = ask(&server, "PUBSUB CHANNELS lock:b:*").await;
    rung(&store, &waiter, async {
        let mut old = redis::cmd("PUBLISH");
        old.arg(&channels[0]).arg(format!("{} 1", waiter.tag()));
        old.exec_async(&mut raw(server.url()).await).await.expect("it is said");
    })
    .await;
    assert!(matches!(store.acquire(&waiter).await, Ok(Attempt::Busy(_))));
}

#[rstest]
#[case::a_remnant_is_in_the_way(LONG, LONG)]
#[case::its_place_is_not_sure_any_more(Duration::from_millis(900), NO)]
#[tokio::test(flavor = "multi_thread")]
async fn who_is_rung_asks_where(#[case] ttl: Duration, #[case] keep: Duration) {
    let server = server();
    let store = store(&server).await;
    let (held, waiter) = queue(&store, ttl).await;
    rung(&store, &waiter, async {
        // Its place stays, but it is no longer the one that it took first.
        tokio::time::sleep(Duration::from_millis(350)).await;
        assert!(matches!(store.acquire(&waiter).await, Ok(Attempt::Busy(_))));
        release(&store, &held, keep).await;
    })
    .await;
    let before = requests(&server).await;
    let granted = matches!(store.acquire(&waiter).await, Ok(Attempt::Granted(_)));
    assert_eq!((granted, requests(&server).await), (keep.is_zero(), before + 1));
}
