//! Servers that go, and servers that do not answer.

use std::time::{Duration, Instant};

use conformance_tests::Server;
use futures::{FutureExt, poll};
use lock_core::{Attempt, Backend, Claim, ErrorKind, Mode, Ownership};
use rstest::rstest;

use crate::help::{LIMIT, LONG, ask, claim, locker, queued, server, store, within};

#[derive(Clone, Copy)]
enum Blow {
    Kill,
    Shutdown,
    CutConnections,
    FlushScripts,
}

async fn strike(server: &mut Server, blow: Blow) {
    match blow {
        Blow::Kill => server.restart(),
        Blow::Shutdown => {
            let mut raw = crate::help::raw(server.url()).await;
            let _ = redis::cmd("SHUTDOWN").arg("NOSAVE").query_async::<()>(&mut raw).await;
            server.restart();
        }
        Blow::CutConnections => {
            for kind in ["normal", "pubsub"] {
                ask::<u64>(server, &format!("CLIENT KILL TYPE {kind} SKIPME yes")).await;
            }
        }
        Blow::FlushScripts => ask(server, "SCRIPT FLUSH").await,
    }
}

#[rstest]
#[case::kill_9_and_restart(Blow::Kill)]
#[case::restart(Blow::Shutdown)]
#[case::client_kill(Blow::CutConnections)]
#[case::script_flush(Blow::FlushScripts)]
#[tokio::test(flavor = "multi_thread")]
async fn a_client_works_on_after(#[case] blow: Blow) {
    let mut server = server();
    let locks = locker(&server).await;
    let before = within(locks.lock("a").acquire()).await.expect("granted");
    let token = before.token();
    before.release().await.expect("it was held");

    strike(&mut server, blow).await;
    let after = within(locks.lock("a").timeout(LIMIT).acquire()).await.expect("granted");
    assert!(after.token() > token);
    strike(&mut server, blow).await;
    let other = within(locks.lock("b").timeout(LIMIT).acquire()).await.expect("granted");
    within(other.release()).await.expect("the keeper's connection is not the point here");
}

#[rstest]
#[case::kill_9_and_restart(Blow::Kill)]
#[case::restart(Blow::Shutdown)]
#[case::client_kill(Blow::CutConnections)]
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_client_that_was_cut_off_asks_on_a_new_connection(#[case] blow: Blow) {
    let mut server = server();
    let store = store(&server).await;
    let never_asked = claim("a", LONG);
    let mut bell = store.wakeups(&never_asked).await.expect("it listens");
    within(bell.next()).await.expect("it has begun to listen");

    strike(&mut server, blow).await;
    within(bell.next()).await.expect("it has noticed");
    // A release is not asked for twice.
    let released = within(store.release(&never_asked, Duration::ZERO)).await;
    assert_eq!(released.expect("an answer at the first try"), Ownership::Lost);
}

/// A client whose runtime stands still meanwhile has noticed nothing when it asks.
#[rstest]
#[case::kill_9_and_restart(Blow::Kill)]
#[case::restart(Blow::Shutdown)]
#[case::client_kill(Blow::CutConnections)]
fn a_client_that_was_cut_off_unawares_is_answered_at_the_first_try(#[case] blow: Blow) {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (mine, others) = (runtime(), runtime());
    let mut server = server();
    let store = mine.block_on(store(&server));
    let held = std::sync::Arc::new(claim("a", LONG));
    for skips in [Claim::new("b", Mode::Exclusive, LONG).expect("valid"), claim("c", LONG)] {
        others.block_on(strike(&mut server, blow));
        let attempt = mine.block_on(within(store.acquire(&skips)));
        assert!(matches!(attempt, Ok(Attempt::Granted(_))), "{attempt:?}");
    }
    mine.block_on(store.acquire(&held)).expect("granted");
    others.block_on(strike(&mut server, Blow::CutConnections));
    let renewed = mine.block_on(within(store.renew(&[held])));
    assert!(matches!(renewed[..], [Ok(Ownership::Held { .. })]), "{renewed:?}");
}

#[rstest]
#[case::client_kill(Blow::CutConnections)]
#[case::script_flush(Blow::FlushScripts)]
#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_is_handed_the_lock_after(#[case] blow: Blow) {
    let mut server = server();
    let (one, two) = (locker(&server).await, locker(&server).await);
    let held = within(one.lock("a").acquire()).await.expect("granted");
    let token = held.token();
    let waiter = tokio::spawn(two.lock("a").acquire());
    queued(&server, "a", 2).await;

    strike(&mut server, blow).await;
    within(held.release()).await.expect("it was held all the time");
    let handed = within(waiter).await.expect("no panic").expect("granted");
    assert!(handed.token() > token);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_of_a_server_that_forgot_everything_asks_anew() {
    let mut server = server();
    let (one, two) = (locker(&server).await, locker(&server).await);
    let held = within(one.lock("a").ttl(LIMIT / 2).acquire()).await.expect("granted");
    let waiter = tokio::spawn(two.lock("a").acquire());
    queued(&server, "a", 2).await;

    server.restart();
    let granted = within(waiter).await.expect("no panic").expect("granted");
    assert!(granted.token() > held.token(), "the resource can tell who is stale");
    // The next renewal tells.
    within(held.lost()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_no_master_until_it_is_one_again() {
    let server = server();
    let locks = locker(&server).await;
    let held = within(locks.lock("a").acquire()).await.expect("granted");

    ask::<()>(&server, "REPLICAOF 127.0.0.1 1").await;
    let error = within(locks.lock("b").try_acquire()).await.expect_err("a replica writes nothing");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("the server is a replica"), "{error}");

    let waiter = tokio::spawn(locks.lock("b").timeout(LIMIT).acquire());
    tokio::task::yield_now().await;
    ask::<()>(&server, "REPLICAOF NO ONE").await;
    drop(within(waiter).await.expect("no panic").expect("granted"));
    within(held.release()).await.expect("it was held all the time");
}

#[rstest]
#[case::of_writes("WRITE")]
#[case::of_everything("ALL")]
#[tokio::test(flavor = "multi_thread")]
async fn no_grant_is_lost_or_doubled_by_a_pause(#[case] what: &str) {
    let server = server();
    let (one, two) = (locker(&server).await, locker(&server).await);
    let held = within(one.lock("held").acquire()).await.expect("granted");
    let contender = tokio::spawn(two.lock("held").acquire());
    queued(&server, "held", 2).await;

    // Longer than the client waits for an answer.
    ask::<()>(&server, &format!("CLIENT PAUSE 5000 {what}")).await;
    let skipped = tokio::spawn(one.lock("skipped").try_acquire());
    let free = within(two.lock("free").timeout(LIMIT).acquire()).await.expect("granted after the pause");
    let error = within(skipped).await.expect("no panic").expect_err("nobody knows what became of it");
    assert_eq!(error.kind(), ErrorKind::Unavailable);

    queued(&server, "free", 1).await;
    let second = within(one.lock("free").try_acquire()).await.expect("an answer");
    assert!(second.is_none() && free.is_held());
    // What was asked for without an answer is let go of.
    queued(&server, "skipped", 0).await;
    let token = held.token();
    within(held.release()).await.expect("it was held all the time");
    assert!(within(contender).await.expect("no panic").expect("granted").token() > token);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_counts_from_the_question_not_from_the_answer() {
    const PAUSE: Duration = Duration::from_secs(1);
    let server = server();
    let locks = locker(&server).await;
    // So that the next one finds the connection open, and the scripts there.
    drop(within(locks.lock("b").acquire()).await.expect("granted"));
    locks.close().await;

    ask::<()>(&server, &format!("CLIENT PAUSE {} WRITE", PAUSE.as_millis())).await;
    let start = Instant::now();
    let guard = within(locks.lock("a").acquire()).await.expect("granted");
    let (left, waited) = (guard.remaining(), start.elapsed());
    // A deadline is a margin of 2 % before the end of the lease.
    assert!(left + waited < LONG - LONG / 50 + PAUSE / 2, "{left:?} are left after {waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stood_still_goes_on_where_it_was() {
    let mut server = server();
    let locks = locker(&server).await;
    let held = within(locks.lock("a").acquire()).await.expect("granted");
    server.pause();
    let error = within(locks.lock("b").try_acquire()).await.expect_err("it stands still");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("in time"), "{error}");
    server.resume();
    let other = within(locks.lock("c").timeout(LIMIT).acquire()).await.expect("granted");
    within(other.release()).await.expect("it was held");
    within(held.release()).await.expect("it was held all the time");
    queued(&server, "b", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_memory_nothing_is_taken_but_what_is_held_can_be_kept_and_let_go() {
    let server = server();
    let store = crate::help::store(&server).await;
    let claim = std::sync::Arc::new(crate::help::claim("a", LONG));
    store.acquire(&claim).await.expect("granted");
    let locks = lock_core::Locker::new(store.clone());
    let held = within(locks.lock("held").hold_at_least(LONG).acquire()).await.expect("granted");

    ask::<()>(&server, "CONFIG SET maxmemory 1").await;
    let error = within(locks.lock("b").try_acquire()).await.expect_err("no memory");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("out of memory"), "{error}");
    let waiter = tokio::spawn(locks.lock("b").timeout(LIMIT).acquire());

    let renewed = store.renew(std::slice::from_ref(&claim)).await;
    assert!(matches!(renewed[..], [Ok(lock_core::Ownership::Held { .. })]), "{renewed:?}");
    let released = store.release(&claim, Duration::ZERO).await.expect("released");
    assert_eq!(released, lock_core::Ownership::held(Duration::ZERO));
    within(held.release()).await.expect("a remnant takes no more than the claim did");

    ask::<()>(&server, "CONFIG SET maxmemory 0").await;
    drop(within(waiter).await.expect("no panic").expect("granted"));
}

#[derive(Clone, Copy)]
enum Parked {
    Acquire,
    Wakeups,
}

#[rstest]
#[case::asks_and_begins_to_listen(Parked::Acquire, false)]
#[case::asks_and_connects(Parked::Acquire, true)]
#[case::hangs_a_bell_and_begins_to_listen(Parked::Wakeups, false)]
#[case::hangs_a_bell_and_connects(Parked::Wakeups, true)]
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_future_that_is_not_polled_and(#[case] parked: Parked, #[case] cut: bool) {
    let mut server = server();
    let store = store(&server).await;
    // It does not wait, and nobody listens yet.
    let held = Claim::new("a", Mode::Exclusive, LONG).expect("a valid claim");
    store.acquire(&held).await.expect("it is free");
    if cut {
        let mut bell = store.wakeups(&claim("x", LONG)).await.expect("it listens");
        within(bell.next()).await.expect("it has begun to listen");
        strike(&mut server, Blow::CutConnections).await;
        within(bell.next()).await.expect("it has noticed");
    }
    server.pause();
    let other = claim("b", LONG);
    let mut parked = match parked {
        Parked::Acquire => store.acquire(&other).map(|answer| answer.map(drop)).boxed(),
        Parked::Wakeups => store.wakeups(&other).map(|answer| answer.map(drop)).boxed(),
    };
    assert!(poll!(&mut parked).is_pending());
    server.resume();
    let released = within(store.release(&held, Duration::ZERO)).await.expect("an answer");
    assert_eq!(released, Ownership::held(Duration::ZERO));
    within(store.acquire(&claim("c", LONG))).await.expect("an answer");
    within(parked).await.expect("an answer");
}
