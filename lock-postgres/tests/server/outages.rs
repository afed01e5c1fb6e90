//! Servers that go, and connections that are cut.

use std::sync::Arc;
use std::time::Duration;

use conformance_tests::{Proxy, Server};
use lock_core::{Attempt, Backend, ErrorKind, Ownership};
use lock_postgres::Postgres;
use rstest::rstest;

use crate::help::{LIMIT, LONG, claim, cut, database, locker, number, queued, run, server, store, within};

#[derive(Clone, Copy, Debug)]
enum Blow {
    Cut,
    Restart,
    Kill,
}

async fn strike(server: &mut Server, blow: Blow) {
    match blow {
        Blow::Cut => cut(server.url()).await,
        Blow::Restart => {
            // What is on the way to the disk gets there.
            run(server.url(), "CHECKPOINT").await;
            server.restart();
        }
        Blow::Kill => server.restart(),
    }
}

#[rstest]
#[case::its_connections_are_cut(Blow::Cut)]
#[case::a_restart(Blow::Restart)]
#[case::kill_9(Blow::Kill)]
#[tokio::test(flavor = "multi_thread")]
async fn a_client_works_on_after(#[case] blow: Blow) {
    let mut server = server();
    let locks = locker(server.url()).await;
    let held = within(locks.lock("held").acquire()).await.expect("granted");
    let before = within(locks.lock("a").acquire()).await.expect("granted");
    let token = before.token();
    within(before.release()).await.expect("it was held");

    strike(&mut server, blow).await;
    // No error, though a skip is not tried again by the core.
    let after = within(locks.lock("b").try_acquire()).await.expect("an answer").expect("free");
    assert!(after.token() > token);
    strike(&mut server, blow).await;
    within(after.release()).await.expect("it was held");
    assert!(within(locks.lock("held").try_acquire()).await.expect("an answer").is_none());
    within(held.release()).await.expect("it was held all the time");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_call_of_an_idle_client_after_a_cut_is_no_error() {
    let server = server();
    let store = store(server.url()).await;
    let held = Arc::new(claim("a", LONG));
    // A connection for each line.
    assert!(matches!(within(store.acquire(&held)).await, Ok(Attempt::Granted(_))));
    assert!(matches!(
        within(store.renew(std::slice::from_ref(&held))).await[..],
        [Ok(Ownership::Held { .. })]
    ));
    cut(server.url()).await;
    assert!(matches!(within(store.acquire(&claim("b", LONG))).await, Ok(Attempt::Granted(_))));
    assert!(matches!(
        within(store.renew(std::slice::from_ref(&held))).await[..],
        [Ok(Ownership::Held { .. })]
    ));
    cut(server.url()).await;
    // Not at once: then it could have been cut in the middle of it.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let released = within(store.release(&held, Duration::ZERO)).await;
    assert!(matches!(released, Ok(Ownership::Held { .. })), "{released:?}");
}

#[rstest]
#[case::its_connections_are_cut(Blow::Cut)]
#[case::a_restart(Blow::Restart)]
#[case::kill_9(Blow::Kill)]
#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_is_rung_after(#[case] blow: Blow) {
    let mut server = server();
    let (one, two) = (locker(server.url()).await, store(server.url()).await);
    let held = within(one.lock("a").acquire()).await.expect("granted");
    // At the level of the store nobody looks by himself.
    let waiter = claim("a", LONG);
    assert!(matches!(within(two.acquire(&waiter)).await, Ok(Attempt::Busy(_))));
    let mut rings = two.wakeups(&waiter).await.expect("rings");
    // One that a connection begins with is no news.
    while tokio::time::timeout(Duration::from_millis(500), rings.next()).await.is_ok() {}

    strike(&mut server, blow).await;
    within(rings.next()).await.expect("what was rung meanwhile is not known");
    within(held.release()).await.expect("it was held all the time");
    within(async {
        while !matches!(two.acquire(&waiter).await, Ok(Attempt::Granted(_))) {
            rings.next().await.expect("a ring");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_connection_is_cut_in_turn_and_no_lock_is_lost() {
    let server = server();
    let (one, two) = (locker(server.url()).await, locker(server.url()).await);
    let held = within(one.lock("held").ttl(Duration::from_secs(6)).acquire()).await.expect("granted");
    for _ in 0..5 {
        let a = within(one.lock("a").acquire()).await.expect("granted");
        let waiter = tokio::spawn(two.lock("a").timeout(LIMIT).acquire());
        queued(server.url(), "a", 2).await;
        cut(server.url()).await;
        within(a.release()).await.expect("it was held");
        within(within(waiter).await.expect("no panic").expect("granted").release())
            .await
            .expect("it was held");
    }
    assert!(held.is_held());
    within(held.release()).await.expect("it was held all the time");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_a_crash_and_no_token_comes_again() {
    let mut server = server();
    let mut last = 0;
    for round in 0..3 {
        let locks = locker(server.url()).await;
        let other = locker(server.url()).await;
        let held = within(locks.lock(format!("held/{round}")).acquire()).await.expect("granted");
        assert!(held.token().get() > last, "{} after {last}", held.token());
        last = held.token().get();
        server.restart();
        let refused = within(other.lock(format!("held/{round}")).try_acquire()).await.expect("an answer");
        assert!(refused.is_none(), "it is held");
        let more = within(other.lock("more").acquire()).await.expect("granted");
        assert!(more.token().get() > last, "{} after {last}", more.token());
        last = more.token().get();
        within(more.release()).await.expect("it was held");
        within(held.release()).await.expect("it was held all the time");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_over_survives_a_crash_without_two_holders() {
    let mut server = server();
    for round in 0..3 {
        let key = format!("a/{round}");
        let stores = [store(server.url()).await, store(server.url()).await, store(server.url()).await];
        let [one, two, three] = [claim(&key, LONG), claim(&key, LONG), claim(&key, LONG)];
        assert!(matches!(within(stores[0].acquire(&one)).await, Ok(Attempt::Granted(_))));
        assert!(matches!(within(stores[1].acquire(&two)).await, Ok(Attempt::Busy(_))));
        within(stores[0].release(&one, Duration::ZERO)).await.expect("it was held");
        let Ok(Attempt::Granted(grant)) = within(stores[1].acquire(&two)).await else { panic!("it is free") };
        server.restart();

        let attempt = within(stores[2].acquire(&three)).await.expect("an answer");
        assert!(matches!(attempt, Attempt::Busy(_)), "{attempt:?}");
        // Whether the release survived or not, the second one is there.
        // And what was on its way when the server died is asked again, as the keeper does.
        for (store, claim) in [(&stores[1], &two), (&stores[0], &one)] {
            within(async { while store.release(claim, Duration::ZERO).await.is_err() {} }).await;
        }
        let Ok(Attempt::Granted(next)) = within(stores[2].acquire(&three)).await else {
            panic!("it is free")
        };
        assert!(next.token > grant.token);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_get_to_it_says_so() {
    let mut server = server();
    let store = store(server.url()).await;
    let one = claim("a", LONG);
    assert!(matches!(within(store.acquire(&one)).await, Ok(Attempt::Granted(_))));
    let lock = "BEGIN; LOCK TABLE locks.claims IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(20)";
    let (url, locking) = (server.url().to_owned(), lock.to_owned());
    let locked = tokio::spawn(async move { run(&url, &locking).await });
    crate::help::becomes(
        server.url(),
        "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'locks.claims'::regclass AND granted",
        1,
    )
    .await;
    let error = within(store.release(&one, Duration::ZERO)).await.expect_err("nobody knows");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("did not get to it in time"), "{error}");
    locked.abort();
    server.restart();
    assert!(number(server.url(), "SELECT count(*) FROM locks.claims").await == 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_is_given_up() {
    let mut server = server();
    let store = store(server.url()).await;
    let (one, two) = (claim("a", LONG), claim("a", LONG));
    assert!(matches!(within(store.acquire(&one)).await, Ok(Attempt::Granted(_))));
    server.pause();
    for error in [
        within(store.release(&one, Duration::ZERO)).await.expect_err("nobody knows"),
        within(store.acquire(&two)).await.expect_err("nobody knows"),
        within(Postgres::connect(server.url())).await.expect_err("nobody answers"),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("did not answer in time"), "{error}");
    }
    server.resume();
    within(async { while store.release(&one, Duration::ZERO).await.is_err() {} }).await;
    assert!(matches!(within(store.acquire(&two)).await, Ok(Attempt::Granted(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_that_went_to_a_dead_line_comes_when_that_is_noticed() {
    let url = database().await;
    let proxy = Proxy::to(&url).await;
    let (near, far) = (store(&url).await, store(proxy.url()).await);
    let (held, waiter) = (claim("a", LONG), claim("a", LONG));
    assert!(matches!(within(near.acquire(&held)).await, Ok(Attempt::Granted(_))));
    assert!(matches!(within(far.acquire(&waiter)).await, Ok(Attempt::Busy(_))));
    let mut rings = far.wakeups(&waiter).await.expect("rings");
    while tokio::time::timeout(Duration::from_millis(500), rings.next()).await.is_ok() {}
    proxy.hold();
    within(near.release(&held, Duration::ZERO)).await.expect("it was held");
    within(rings.next()).await.expect("it has a new line, and what was rung meanwhile is not known");
    within(async { while !matches!(far.acquire(&waiter).await, Ok(Attempt::Granted(_))) {} }).await;
}
