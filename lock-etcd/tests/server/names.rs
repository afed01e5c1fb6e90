//! Claims whose short names are the same.

use std::sync::Arc;
use std::time::Duration;

use conformance_tests::{Server, etcd_metric};
use futures::FutureExt;
use lock_core::{Attempt, Backend, Claim, Mode, Ownership};
use lock_etcd::Etcd;
use rstest::rstest;

use crate::help::{LONG, claim, queue, raw, renew, server, store, transactions, until, within};

const NO: Duration = Duration::ZERO;

/// So many claims that would all have one short name.
fn namesakes<const N: usize>(keys: &[&str], mode: Mode, waits: bool) -> [Arc<Claim>; N] {
    let one = || {
        let claim = Claim::new(keys, mode, LONG).expect("a valid claim");
        Arc::new(if waits { claim.queued() } else { claim })
    };
    let first = one();
    let same = std::iter::repeat_with(one)
        .filter(|other| other.owner().to_hex()[..2] == first.owner().to_hex()[..2]);
    let all: Vec<_> = std::iter::once(first.clone()).chain(same).take(N).collect();
    all.try_into().expect("as many")
}

async fn acquire(store: &Etcd, claim: &Claim) -> Attempt {
    within(store.acquire(claim)).await.expect("an answer")
}

async fn clients(server: &Server) -> (Etcd, Etcd) {
    (store(server.url()).await, store(server.url()).await)
}

#[rstest]
#[case::one_key(&["a"])]
#[case::two_keys(&["a", "b"])]
#[tokio::test(flavor = "multi_thread")]
async fn namesakes_stand_in_line_whoever_asks_for_them(#[case] keys: &[&str]) {
    let server = server();
    let (here, there) = clients(&server).await;
    let [one, two, three] = namesakes(keys, Mode::Exclusive, true);
    let Attempt::Granted(first) = acquire(&here, &one).await else { panic!("it is free") };
    for claim in [&two, &three, &two] {
        // Both ask for each.
        assert!(matches!(acquire(&here, claim).await, Attempt::Busy(_)));
        assert!(matches!(acquire(&there, claim).await, Attempt::Busy(_)));
    }
    assert_eq!(queue(&raw(&server).await, "a").await.len(), 3);
    let mut rings = there.wakeups(&two).await.expect("a bell");
    // One who has not asked for it renews it, and lets it go.
    let far = store(server.url()).await;
    for claim in [&one, &two] {
        assert_eq!(renew(&far, claim).await, Ownership::held(LONG));
    }
    assert_eq!(far.release(&one, NO).await.expect("an answer"), Ownership::held(NO));
    assert!(within(rings.next()).await.is_some(), "the stream ended instead of ringing");
    let Attempt::Granted(second) = acquire(&there, &two).await else { panic!("it is its turn") };
    let Attempt::Granted(again) = acquire(&far, &two).await else { panic!("it holds") };
    assert!(second.token > first.token && again.token == second.token);
    assert_eq!(renew(&here, &one).await, Ownership::Lost);
    assert_eq!(there.release(&two, NO).await.expect("an answer"), Ownership::held(NO));
    assert_eq!(far.release(&three, LONG).await.expect("an answer"), Ownership::held(LONG));
    assert_eq!(here.release(&three, NO).await.expect("an answer"), Ownership::Lost);
}

#[rstest]
#[case::before_the_one_ahead(false)]
#[case::after_the_one_ahead(true)]
#[tokio::test(flavor = "multi_thread")]
async fn a_namesake_joins_the_queue_by_one_write_if_its_owner_sorts(#[case] after: bool) {
    let server = server();
    let (raw, store) = (raw(&server).await, store(server.url()).await);
    let spare = claim("b", LONG);
    assert!(matches!(acquire(&store, &spare).await, Attempt::Granted(_)));
    let mut both: [_; 2] = namesakes(&["a"], Mode::Exclusive, true);
    both.sort_by_key(|claim| claim.owner().to_bytes());
    if !after {
        both.reverse();
    }
    let [one, two] = both;
    assert!(matches!(acquire(&store, &one).await, Attempt::Granted(_)));
    // So that others are expected there.
    let other = claim("a", LONG);
    assert!(matches!(acquire(&store, &other).await, Attempt::Busy(_)));
    for gone in [&other, &spare] {
        store.release(gone, NO).await.expect("it was there");
    }
    let proposals = async || {
        etcd_metric(server.url(), "etcd_server_proposals_committed_total").await.expect("it tells of itself")
    };
    let before = proposals().await;
    assert!(matches!(acquire(&store, &two).await, Attempt::Busy(_)));
    assert_eq!(proposals().await - before, 1);
    // However often it is asked for, and by whom, it is there once; the one ahead, too.
    let other = Etcd::connect(server.url()).await.expect("the server is there");
    assert!(matches!(acquire(&other, &two).await, Attempt::Busy(_)));
    assert!(matches!(acquire(&other, &one).await, Attempt::Granted(_)));
    let lengths: Vec<_> = queue(&raw, "a").await.iter().map(|one| one.key().len()).collect();
    assert_eq!(lengths, ["lock/q/a/e/xx".len(), "lock/q/a/e/".len() + 32]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_comes_anew_under_the_name_it_waited_for_is_rung() {
    let server = server();
    let (raw, (here, there)) = (raw(&server).await, clients(&server).await);
    let [first, waiter] = namesakes(&["a"], Mode::Exclusive, true);
    let next = claim("a", LONG);
    assert!(matches!(acquire(&there, &first).await, Attempt::Granted(_)));
    assert!(matches!(acquire(&here, &waiter).await, Attempt::Busy(_)));
    assert!(matches!(acquire(&there, &next).await, Attempt::Busy(_)));
    let before = transactions(&server).await;
    raw.kv_client().put("x", "x", None).await.expect("put");
    let mut rings = here.wakeups(&waiter).await.expect("a bell");
    // It looks when its watches are there, as somebody has written since; when it has lost its place; and when the one ahead
    // leaves, which is one more.
    let looked = async |count| until(|| async { transactions(&server).await >= before + count }).await;
    looked(1).await;
    let place = queue(&raw, "a").await.remove(1);
    raw.kv_client().delete(place.key(), None).await.expect("it is there");
    looked(2).await;
    there.release(&first, NO).await.expect("an answer");
    looked(4).await;
    assert!(matches!(acquire(&there, &waiter).await, Attempt::Busy(_)));
    looked(6).await;
    // All rings so far are of before.
    while let Some(Some(_)) = rings.next().now_or_never() {}
    there.release(&next, NO).await.expect("an answer");
    assert!(within(rings.next()).await.is_some(), "the stream ended instead of ringing");
}

#[rstest]
#[case::shared(Mode::Shared)]
#[case::few_permits(Mode::permit_of(4).expect("not zero"))]
#[case::many_permits(Mode::permit_of(40).expect("not zero"))]
#[tokio::test(flavor = "multi_thread")]
async fn namesakes_hold_together(#[case] mode: Mode) {
    let server = server();
    let (here, there) = clients(&server).await;
    let [one, two, three] = namesakes(&["a"], mode, false);
    for claim in [&one, &two, &three] {
        let Attempt::Granted(first) = acquire(&here, claim).await else { panic!("there is room") };
        let Attempt::Granted(again) = acquire(&there, claim).await else { panic!("it holds") };
        assert_eq!(first.token, again.token);
    }
    assert_eq!(queue(&raw(&server).await, "a").await.len(), 3);
    for claim in [&one, &two, &three] {
        assert_eq!(renew(&there, claim).await, Ownership::held(LONG));
        assert_eq!(there.release(claim, NO).await.expect("an answer"), Ownership::held(NO));
        assert_eq!(renew(&here, claim).await, Ownership::Lost);
    }
    assert!(queue(&raw(&server).await, "a").await.is_empty());
}
