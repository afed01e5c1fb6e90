//! What tasks ask at the same time goes together, and is answered to each of them.

use std::time::Duration;

use conformance_tests::{Server, etcd_metric};
use etcd_client::Client;
use futures::future::BoxFuture;
use futures::{FutureExt, poll};
use lock_core::{Attempt, Backend, Claim, Mode, Ownership, Result};
use lock_etcd::Etcd;
use rstest::rstest;

use crate::help::{LONG, claim, queue, raw, server, store, within};

const NO: Duration = Duration::ZERO;

async fn writes(server: &Server) -> u64 {
    etcd_metric(server.url(), "etcd_server_proposals_committed_total").await.expect("it tells of itself")
}

fn claims(count: usize) -> Vec<Claim> {
    (0..count).map(|n| claim(&format!("{n}"), LONG)).collect()
}

type Asking<'a, T> = Vec<BoxFuture<'a, Result<T>>>;

/// Has all of them asked before the first is answered.
async fn ask_all<T>(server: &mut Server, asking: &mut Asking<'_, T>) {
    server.pause();
    for future in asking {
        assert!(poll!(future).is_pending());
    }
    server.resume();
}

/// In their order, because a task hears only so many answers at once.
async fn hear_all<T>(asking: Asking<'_, T>) -> Vec<T> {
    let mut answers = Vec::new();
    for future in asking {
        answers.push(within(future).await.expect("an answer"));
    }
    answers
}

fn acquires<'a>(store: &'a Etcd, claims: &'a [Claim]) -> Asking<'a, Attempt> {
    claims.iter().map(|claim| store.acquire(claim).boxed()).collect()
}

async fn acquire(server: &mut Server, store: &Etcd, claims: &[Claim]) -> Vec<Attempt> {
    let mut asking = acquires(store, claims);
    ask_all(server, &mut asking).await;
    hear_all(asking).await
}

fn releases<'a>(store: &'a Etcd, claims: &'a [Claim]) -> Asking<'a, Ownership> {
    claims.iter().map(|claim| store.release(claim, NO).boxed()).collect()
}

async fn release(server: &mut Server, store: &Etcd, claims: &[Claim]) -> Vec<Ownership> {
    let mut asking = releases(store, claims);
    ask_all(server, &mut asking).await;
    hear_all(asking).await
}

fn granted(attempt: &Attempt) -> bool {
    matches!(attempt, Attempt::Granted(_))
}

/// A client with so many spare leases: who has none asks for one first.
async fn with_spares(url: &str, count: usize) -> Etcd {
    let store = store(url).await;
    let first = claims(count);
    for claim in &first {
        store.acquire(claim).await.expect("granted");
    }
    for claim in &first {
        store.release(claim, NO).await.expect("an answer");
    }
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_ask_together_share_writes() {
    let mut server = server();
    let store = with_spares(server.url(), 66).await;
    let claims = claims(66);
    let before = writes(&server).await;
    let mut tokens = Vec::new();
    for attempt in acquire(&mut server, &store, &claims).await {
        let Attempt::Granted(grant) = attempt else { panic!("it is free, but {attempt:?}") };
        tokens.push(grant.token);
    }
    // Two go at once, and then sixteen at a time.
    assert_eq!(writes(&server).await - before, 2 + 4);
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), 66, "each has its own");
    for answer in release(&mut server, &store, &claims).await {
        assert_eq!(answer, Ownership::held(NO));
    }
    // Two, and then 24 at a time.
    assert_eq!(writes(&server).await - before, 2 + 4 + 2 + 3);
    assert!(queue(&raw(&server).await, "3").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_together_for_one_key_comes_one_after_the_other() {
    let mut server = server();
    let store = with_spares(server.url(), 5).await;
    let claims: Vec<_> = ["b", "c", "a", "a", "a"].map(|key| claim(key, LONG)).into();
    let attempts = acquire(&mut server, &store, &claims).await;
    assert!(granted(&attempts[0]) && granted(&attempts[1]));
    let first: Vec<_> = (2..5).filter(|n| granted(&attempts[*n])).collect();
    assert_eq!(first.len(), 1, "{attempts:?}");
    let numbers: Vec<_> =
        queue(&raw(&server).await, "a").await.iter().map(|one| one.create_revision()).collect();
    assert!(numbers.len() == 3 && numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    // All that leave together leave, each once: which of two that ask for the same is the first is anybody's guess.
    let leaving: Vec<_> = [0, 1, first[0], first[0], 0].map(|n| claims[n].clone()).into();
    let answers = release(&mut server, &store, &leaving).await;
    let held = |at: &[usize]| at.iter().filter(|at| answers[**at] == Ownership::held(NO)).count();
    assert_eq!([held(&[0, 4]), held(&[1]), held(&[2, 3])], [1; 3], "{answers:?}");
    let left =
        acquire(&mut server, &store, &claims[2..]).await.iter().filter(|attempt| granted(attempt)).count();
    assert_eq!(left, 1, "of those that wait, the next, and one that comes anew behind it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_gone_is_one_claims_trouble() {
    let mut server = server();
    let raw = raw(&server).await;
    let store = with_spares(server.url(), 8).await;
    let leases = raw.lease_client().leases().await.expect("an answer");
    for lease in leases.leases().iter().step_by(3) {
        raw.lease_client().revoke(lease.id()).await.expect("there is such a lease");
    }
    let claims = claims(8);
    assert!(acquire(&mut server, &store, &claims).await.iter().all(granted));
    for (n, claim) in claims.iter().enumerate() {
        assert_eq!(queue(&raw, &format!("{n}")).await.len(), 1);
        assert_eq!(store.release(claim, NO).await.expect("an answer"), Ownership::held(NO));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_another_to_listen() {
    let mut server = server();
    let store = with_spares(server.url(), 65).await;
    let claims = claims(65);
    let mut acquiring = acquires(&store, &claims);
    ask_all(&mut server, &mut acquiring).await;
    // Those who asked first listen last.
    acquiring.reverse();
    assert!(hear_all(acquiring).await.iter().all(granted));
    let mut leaving = releases(&store, &claims);
    ask_all(&mut server, &mut leaving).await;
    leaving.reverse();
    assert_eq!(hear_all(leaving).await, vec![Ownership::held(NO); 65]);
}

#[rstest]
#[case::exclusive(Mode::Exclusive, 1)]
#[case::permits(Mode::permit_of(2).expect("not zero"), 1)]
#[case::shared_on_many_keys(Mode::Shared, 32)]
#[tokio::test(flavor = "multi_thread")]
async fn refused_skips_write_nothing_though_the_epoch_fell_behind(#[case] mode: Mode, #[case] keys: usize) {
    let mut server = server();
    let (raw, store) = (raw(&server).await, with_spares(server.url(), 10).await);
    let skip = |n: usize| {
        let keys: Vec<_> = (0..keys).map(|more| format!("{}", n + 100 * more)).collect();
        Claim::new(keys, mode, LONG).expect("a valid claim")
    };
    let held = acquire(&mut server, &store, &claims(5)).await;
    raw.kv_client().put("lock/n", format!("{:016}", 7), None).await.expect("put");
    let before = revision(&raw).await;
    // The first one finds out that it fell. Then one that is alone, and several, on different keys, that gather.
    for count in [1, 1, 5] {
        let skips: Vec<_> = (0..count).map(skip).collect();
        assert!(!acquire(&mut server, &store, &skips).await.iter().any(granted));
    }
    assert_eq!(revision(&raw).await, before);
    let Ok(Attempt::Granted(next)) = store.acquire(&skip(7)).await else { panic!("it is free") };
    assert!(held.iter().all(|one| matches!(one, Attempt::Granted(held) if held.token < next.token)));
}

async fn revision(raw: &Client) -> i64 {
    raw.kv_client().get("x", None).await.expect("an answer").header().expect("it has one").revision()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_does_not_wait_is_taken_back_whoever_put_it_there() {
    let server = server();
    let (here, there) = (store(server.url()).await, store(server.url()).await);
    let (holder, skips) = (claim("a", LONG), Claim::new("a", Mode::Exclusive, LONG).expect("a valid claim"));
    here.acquire(&holder).await.expect("granted");
    for store in [&there, &here] {
        // As permits are for a moment, of which too many come at once.
        here.acquire(&skips.clone().queued()).await.expect("queued");
        assert!(!granted(&within(store.acquire(&skips)).await.expect("an answer")));
        assert_eq!(queue(&raw(&server).await, "a").await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_does_not_wait_for_the_answer_holds_up_nobody() {
    let mut server = server();
    let store = with_spares(server.url(), 8).await;
    let claims = claims(8);
    let mut asking = acquires(&store, &claims);
    ask_all(&mut server, &mut asking).await;
    // Those under way, and one that waits.
    asking.drain(..3);
    assert!(hear_all(asking).await.iter().all(granted));
    let again = claim("7", LONG);
    assert!(!granted(&within(store.acquire(&again)).await.expect("an answer")));
}
