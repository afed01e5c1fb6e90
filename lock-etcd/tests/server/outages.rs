//! Connections that break, connections that fall silent, and servers that go.

use std::sync::Arc;
use std::time::Duration;

use conformance_tests::{Line, Proxy, Server};
use etcd_client::CompactionOptions;
use lock_core::{Backend, ErrorKind, Ownership};
use rstest::rstest;

use crate::help::{
    LIMIT, LONG, SHORT, behind, claim, locker, queued, raw, renew, server, store, transactions, within,
};

#[derive(Clone, Copy)]
enum Blow {
    Cut,
    Silence,
}

fn strike(proxy: &Proxy, blow: Blow) {
    match blow {
        Blow::Cut => proxy.cut(),
        Blow::Silence => proxy.hold(),
    }
}

#[rstest]
#[case::are_cut(Blow::Cut)]
#[case::fall_silent(Blow::Silence)]
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_renewed_though_connections(#[case] blow: Blow) {
    let server = server();
    let proxy = Proxy::to(server.url()).await;
    let ttl = SHORT * 5;
    let locks = locker(proxy.url()).await.with_ttl(ttl);
    let held = within(locks.lock("a").acquire()).await.expect("granted");
    for _ in 0..2 {
        // The stream of renewals is there by now, and is not any more.
        tokio::time::sleep(ttl / 2).await;
        strike(&proxy, blow);
    }
    tokio::time::sleep(ttl / 2).await;
    assert!(held.is_held());
    // In the background, if it has to find out first that the connection is silent.
    within(held.release()).await.ok();
    queued(&raw(&server).await, "a", 0).await;
}

#[rstest]
#[case::are_cut(Blow::Cut)]
#[case::fall_silent(Blow::Silence)]
#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_is_handed_the_lock_though_connections(#[case] blow: Blow) {
    let server = server();
    let (proxy, raw) = (Proxy::to(server.url()).await, raw(&server).await);
    let (one, two) = (locker(server.url()).await, locker(proxy.url()).await.with_ttl(SHORT * 3));
    let held = within(one.lock("a").acquire()).await.expect("granted");
    let waiter = tokio::spawn(two.lock("a").acquire());
    queued(&raw, "a", 2).await;

    strike(&proxy, blow);
    let token = held.token();
    within(held.release()).await.expect("it was held all the time");
    let handed = within(waiter).await.expect("no panic").expect("granted");
    assert!(handed.token() > token);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_rings_that_breaks_ends() {
    let server = server();
    let proxy = Proxy::to(server.url()).await;
    let store = store(proxy.url()).await;
    let (holder, waiter, mut rings) = behind(&store).await;
    proxy.cut();
    within(async { while rings.next().await.is_some() {} }).await;
    store.release(&holder, Duration::ZERO).await.ok();
    let mut rings = within(store.wakeups(&waiter)).await.expect("another bell");
    store.release(&holder, Duration::ZERO).await.expect("an answer");
    assert!(within(rings.next()).await.is_some(), "the stream ended instead of ringing");
}

// On one thread, where both streams end before anybody hears of either.
#[tokio::test]
async fn a_stream_of_renewals_that_breaks_is_opened_again_by_who_asks_next() {
    let server = server();
    let proxy = Proxy::to(server.url()).await;
    let (store, held) = (store(proxy.url()).await, Arc::new(claim("held", LONG)));
    store.acquire(&held).await.expect("granted");
    assert_eq!(renew(&store, &held).await, Ownership::held(LONG));
    let (_, _, mut rings) = behind(&store).await;
    proxy.cut();
    within(async { while rings.next().await.is_some() {} }).await;
    assert_eq!(renew(&store, &held).await, Ownership::held(LONG));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_is_rung_by_few_looks_though_the_store_was_compacted() {
    let server = server();
    let (raw, store) = (raw(&server).await, store(server.url()).await);
    let [holder, before, after] = [(); 3].map(|()| claim("a", LONG));
    store.acquire(&holder).await.expect("granted");
    store.acquire(&before).await.expect("queued");
    store.acquire(&after).await.expect("queued");
    let looks = transactions(&server).await;
    let mut first = store.wakeups(&before).await.expect("a bell");
    let revision =
        raw.kv_client().put("x", "x", None).await.expect("put").header().map_or(0, |h| h.revision());
    let physical = CompactionOptions::new().with_physical();
    raw.kv_client().compact(revision, Some(physical)).await.expect("compacted");
    let mut second = store.wakeups(&after).await.expect("a bell");
    for (leaves, rings) in [(&holder, &mut first), (&before, &mut second)] {
        store.release(leaves, Duration::ZERO).await.expect("it was there");
        assert!(within(rings.next()).await.is_some(), "the stream ended instead of ringing");
    }
    // Each looks when its watches are there, if something was written since, and when the one ahead goes; the first one, too,
    // when its own place has gone and when all its names are watched. Each may once more, should the compaction have ended its
    // watch: a watch from now on is one that none ends.
    let looks = transactions(&server).await - looks;
    assert!(looks <= 2 + 6 + 2, "two releases, and {} looks", looks - 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_works_on_after_its_server_was_killed_and_restarted() {
    let mut server = server();
    let locks = locker(server.url()).await;
    let held = within(locks.lock("held").acquire()).await.expect("granted");
    let before = within(locks.lock("a").acquire()).await.expect("granted");
    let token = before.token();
    before.release().await.expect("it was held");

    server.restart();
    let after = within(locks.lock("a").timeout(LIMIT).acquire()).await.expect("granted");
    assert!(after.token() > token);
    // What was held is held: etcd forgets nothing.
    let other = locker(server.url()).await;
    assert!(within(other.lock("held").try_acquire()).await.expect("an answer").is_none());
    within(held.release()).await.expect("it was held all the time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stood_still_goes_on_where_it_was() {
    let mut server = server();
    let locks = locker(server.url()).await;
    let held = within(locks.lock("a").acquire()).await.expect("granted");
    server.pause();
    let error = within(locks.lock("b").try_acquire()).await.expect_err("it stands still");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("in time"), "{error}");
    server.resume();
    let other = within(locks.lock("c").timeout(LIMIT).acquire()).await.expect("granted");
    within(other.release()).await.expect("it was held");
    within(held.release()).await.expect("it was held all the time");
    queued(&raw(&server).await, "b", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_not_there_is_no_hindrance() {
    let (server, gone) = (server(), server());
    let url = format!("{},{}", gone.url(), server.url().trim_start_matches("etcd://"));
    drop::<Server>(gone);
    let locks = locker(&url).await;
    within(within(locks.lock("a").acquire()).await.expect("granted").release()).await.expect("it was held");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_there_is_an_error_that_says_so() {
    let server = server();
    let url = server.url().to_owned();
    drop(server);
    let error = within(lock_etcd::Etcd::connect(&url)).await.expect_err("nobody is there");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().starts_with("connect on etcd: "), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_future_that_is_not_polled() {
    let mut server = server();
    let two = store(server.url()).await;
    let held = claim("a", LONG);
    two.acquire(&held).await.expect("it is free");
    server.pause();
    within(two.acquire(&claim("b", LONG)))
        .await
        .expect_err("it stands still, and the connection counts as broken");
    let other = claim("c", LONG);
    let mut parked = two.acquire(&other);
    assert!(futures::poll!(&mut parked).is_pending());
    server.resume();
    within(two.release(&held, Duration::ZERO)).await.expect("an answer");
    within(parked).await.expect("an answer");
}
