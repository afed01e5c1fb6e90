//! What a ring tells of the look before it.

use std::time::Duration;

use conformance_tests::{Server, etcd_metric};
use etcd_client::PutOptions;
use lock_core::{Attempt, Backend, Claim, Token, Wakeups};
use lock_etcd::Etcd;
use rstest::rstest;

use crate::help::{LONG, SHORT, claim, queue, raw, server, store, transactions, until, within};

const NO: Duration = Duration::ZERO;

/// One who waited behind another and was rung for its turn, its bell, and a token that its own is greater than.
async fn rung(server: &Server, ttl: Duration) -> (Etcd, Claim, Wakeups, Token) {
    let (here, there) = (store(server.url()).await, store(server.url()).await);
    let (holder, waiter) = (claim("a", LONG), claim("a", ttl));
    let Ok(Attempt::Granted(held)) = here.acquire(&holder).await else { panic!("it is free") };
    let Ok(Attempt::Busy(_)) = there.acquire(&waiter).await else { panic!("it is held") };
    let mut rings = there.wakeups(&waiter).await.expect("a bell");
    here.release(&holder, NO).await.expect("an answer");
    assert!(within(rings.next()).await.is_some(), "the stream ended instead of ringing");
    (there, waiter, rings, held.token)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_rung_need_not_ask_but_who_asks_again_does() {
    let mut server = server();
    let (store, waiter, _rings, before) = rung(&server, LONG).await;
    server.pause();
    let Attempt::Granted(told) = within(store.acquire(&waiter)).await.expect("no request") else {
        panic!("its turn has come")
    };
    server.resume();
    assert!(told.token > before);
    let number = queue(&raw(&server).await, "a").await[0].create_revision();
    let name = queue(&raw(&server).await, "a").await[0].key().to_vec();
    let Attempt::Granted(asked) = within(store.acquire(&waiter)).await.expect("an answer") else {
        panic!("it holds")
    };
    assert_eq!(told.token, asked.token);
    // It is taken away, and comes anew.
    raw(&server).await.kv_client().delete(name, None).await.expect("it is there");
    let Attempt::Granted(anew) = within(store.acquire(&waiter)).await.expect("an answer") else {
        panic!("it is free")
    };
    assert!(anew.token > told.token);
    assert!(queue(&raw(&server).await, "a").await[0].create_revision() > number);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_heard_after_the_grant_is_no_turn() {
    let server = server();
    let (store, waiter, mut rings, _) = rung(&server, LONG).await;
    let Ok(Attempt::Granted(_)) = within(store.acquire(&waiter)).await else { panic!("its turn has come") };
    let raw = raw(&server).await;
    let own = queue(&raw, "a").await.remove(0);
    // Once more, as it is.
    let options = PutOptions::new().with_lease(own.lease());
    raw.kv_client().put(own.key(), own.value(), Some(options)).await.expect("put");
    assert!(within(rings.next()).await.is_some(), "it looks, and rings");
    let before = transactions(&server).await;
    let Ok(Attempt::Granted(_)) = within(store.acquire(&waiter)).await else { panic!("it holds") };
    assert_eq!(transactions(&server).await, before + 1, "it asks");
}

/// Waits until there are so many watches.
async fn watched(server: &Server, watches: u64) {
    let all = async || etcd_metric(server.url(), "etcd_debugging_mvcc_watcher_total").await;
    until(|| async { all().await.is_ok_and(|all| all == watches) }).await;
}

#[rstest]
#[case::nothing_was_written_since(false)]
#[case::something_was(true)]
#[tokio::test(flavor = "multi_thread")]
async fn who_begins_to_watch_looks_only_at_what_it_may_have_missed(#[case] written: bool) {
    let server = server();
    let (here, there) = (store(server.url()).await, store(server.url()).await);
    let (holder, waiter) = (claim("a", LONG), claim("a", LONG));
    let Ok(Attempt::Granted(_)) = here.acquire(&holder).await else { panic!("it is free") };
    let Ok(Attempt::Busy(_)) = there.acquire(&waiter).await else { panic!("it is held") };
    let before = transactions(&server).await;
    if written {
        raw(&server).await.kv_client().put("x", "x", None).await.expect("put");
    }
    let mut rings = there.wakeups(&waiter).await.expect("a bell");
    let looks = u64::from(written);
    until(|| async { transactions(&server).await == before + looks }).await;
    // One for the stream, one for the claim ahead, and one for the waiter's own.
    watched(&server, 3).await;
    here.release(&holder, NO).await.expect("an answer");
    assert!(within(rings.next()).await.is_some(), "the stream ended instead of ringing");
    assert_eq!(transactions(&server).await - before, looks + 2, "the release, and the look that rang");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_watches_one_and_looks_once_when_that_goes() {
    let server = server();
    let (first, holder) = (store(server.url()).await, claim("a", LONG));
    first.acquire(&holder).await.expect("it is free");
    let mut waiting = Vec::new();
    for nth in 1..=3 {
        let (store, waiter) = (store(server.url()).await, claim("a", LONG));
        store.acquire(&waiter).await.expect("it is held");
        let rings = store.wakeups(&waiter).await.expect("a bell");
        // One for the stream, one for the claim ahead, and one for the waiter's own.
        watched(&server, 3 * nth).await;
        waiting.push((store, waiter, rings));
    }
    let before = transactions(&server).await;
    first.release(&holder, NO).await.expect("it holds");
    let mut stores = Vec::new();
    for (turn, (store, waiter, mut rings)) in (1..).zip(waiting) {
        assert!(within(rings.next()).await.is_some(), "the stream ended instead of ringing");
        drop(rings);
        let Attempt::Granted(_) = within(store.acquire(&waiter)).await.expect("an answer") else {
            panic!("its turn has come")
        };
        assert_eq!(transactions(&server).await - before, 2 * turn, "a release, and a look");
        // What is left of them: this one's have gone.
        watched(&server, 9 - 2 * turn).await;
        store.release(&waiter, NO).await.expect("it holds");
        stores.push(store);
    }
}

/// By one that holds, and by one that waits behind that.
#[rstest]
#[case::held(false)]
#[case::waited_for(true)]
#[tokio::test(flavor = "multi_thread")]
async fn who_hears_that_a_place_was_kept_has_no_turn(#[case] waited: bool) {
    let server = server();
    let (here, there) = (store(server.url()).await, store(server.url()).await);
    let [holder, between, waiter] = [(); 3].map(|()| claim("a", LONG));
    here.acquire(&holder).await.expect("it is free");
    if waited {
        here.acquire(&between).await.expect("it is held");
    }
    there.acquire(&waiter).await.expect("it is held");
    let mut rings = there.wakeups(&waiter).await.expect("a bell");
    watched(&server, 3).await;
    if waited {
        here.release(&between, LONG).await.expect("it waits");
        here.release(&holder, NO).await.expect("it holds");
    } else {
        here.release(&holder, LONG).await.expect("it holds");
    }
    assert!(within(rings.next()).await.is_some(), "the stream ended instead of ringing");
    let Attempt::Busy(_) = within(there.acquire(&waiter)).await.expect("an answer") else {
        panic!("its place was kept")
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_was_taken_away_has_no_turn() {
    let server = server();
    let (here, there) = (store(server.url()).await, store(server.url()).await);
    let (holder, waiter) = (claim("a", LONG), claim("a", LONG));
    here.acquire(&holder).await.expect("it is free");
    let raw = raw(&server).await;
    there.acquire(&waiter).await.expect("it is held");
    let mut rings = there.wakeups(&waiter).await.expect("a bell");
    let place = queue(&raw, "a").await.remove(1);
    raw.lease_client().revoke(place.lease()).await.expect("there is such a lease");
    here.release(&holder, NO).await.expect("it holds");
    assert!(within(rings.next()).await.is_some(), "the stream ended instead of ringing");
    let Attempt::Granted(_) = within(there.acquire(&waiter)).await.expect("an answer") else {
        panic!("it is free")
    };
    let anew = queue(&raw, "a").await.remove(0);
    assert!(anew.create_revision() > place.create_revision(), "it was not there any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_was_lost_again_is_no_grant() {
    let server = server();
    let (store, waiter, mut rings, _) = rung(&server, LONG).await;
    let raw = raw(&server).await;
    let place = queue(&raw, "a").await.remove(0);
    raw.lease_client().revoke(place.lease()).await.expect("there is such a lease");
    assert!(within(rings.next()).await.is_some(), "the stream ended instead of ringing");
    let Attempt::Granted(_) = within(store.acquire(&waiter)).await.expect("an answer") else {
        panic!("it is free")
    };
    let anew = queue(&raw, "a").await;
    assert!(
        anew.len() == 1 && anew[0].create_revision() > place.create_revision(),
        "it was not there any more"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_release_without_an_answer_a_turn_is_no_grant() {
    let mut server = server();
    let (store, waiter, _rings, _) = rung(&server, LONG).await;
    let raw = raw(&server).await;
    let place = queue(&raw, "a").await.remove(0);
    server.pause();
    within(store.release(&waiter, NO)).await.expect_err("it stands still");
    server.resume();
    // Whether or not the release was heard.
    raw.kv_client().delete(place.key(), None).await.expect("an answer");
    let Attempt::Granted(_) = within(store.acquire(&waiter)).await.expect("an answer") else {
        panic!("it is free")
    };
    let anew = queue(&raw, "a").await;
    assert!(anew.len() == 1 && anew[0].create_revision() > place.create_revision(), "{anew:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_was_heard_of_late_is_looked_at() {
    let server = server();
    let (store, waiter, _rings, _) = rung(&server, SHORT * 2).await;
    tokio::time::sleep(SHORT).await;
    let asked = std::time::Instant::now();
    let Attempt::Granted(grant) = within(store.acquire(&waiter)).await.expect("an answer") else {
        panic!("its turn has come")
    };
    assert!(grant.lease + asked.elapsed() >= SHORT * 2, "renewed: {:?}", grant.lease);
}
