//! Who is rung, and that no ring is missed.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use rstest::rstest;
use tokio::task::coop::unconstrained;

use super::room::{has_room, modes, sequences};
use super::*;
use crate::{Bells, Wakeups};

/// What the stream has to say right now: a ring, nothing yet, or that it has ended.
fn hears(wakeups: &mut Wakeups) -> Poll<Option<()>> {
    // Without this, tokio has a task that polls a great many channels pause for the others.
    let mut hears = pin!(unconstrained(wakeups.next()));
    hears.as_mut().poll(&mut Context::from_waker(Waker::noop())).map(|ring| ring.map(drop))
}

const RING: Poll<Option<()>> = Poll::Ready(Some(()));
const END: Poll<Option<()>> = Poll::Ready(None);

fn claim() -> Claim {
    Claim::new("a", Mode::Exclusive, TTL).unwrap().queued()
}

#[derive(Clone, Debug)]
struct Wish {
    keys: &'static [&'static str],
    mode: Mode,
}

/// Whether the claim at `at` has room on all its keys, if `without` were not there.
fn fits(queue: &[Wish], at: usize, without: Option<usize>) -> bool {
    queue[at].keys.iter().all(|key| {
        let ahead = queue[..at].iter().enumerate();
        let ahead = ahead.filter(|(other, wish)| Some(*other) != without && wish.keys.contains(key));
        has_room(&ahead.map(|(_, wish)| wish.mode).collect::<Vec<_>>(), queue[at].mode)
    })
}

/// Queues these claims, releases each in turn, and compares who is rung with who has a turn because of it.
async fn rings_are_due(queue: &[Wish], keep: Duration) {
    for released in 0..queue.len() {
        let store = Memory::new();
        let (mut claims, mut bells) = (Vec::new(), Vec::new());
        for wish in queue {
            let claim = Claim::new(wish.keys, wish.mode, TTL).unwrap().queued();
            store.acquire(&claim).await.unwrap();
            bells.push(store.wakeups(&claim).await.unwrap());
            claims.push(claim);
        }
        assert!(bells.iter_mut().all(|bell| hears(bell).is_pending()), "rung for nothing: {queue:?}");
        store.release(&claims[released], keep).await.unwrap();
        for (at, bell) in bells.iter_mut().enumerate() {
            let due = at > released && !fits(queue, at, None) && fits(queue, at, Some(released));
            let expected = if due { RING } else { Poll::Pending };
            assert_eq!(
                hears(bell),
                expected,
                "the bell of {at} after the release of {released} in {queue:?}"
            );
        }
    }
}

#[rstest]
#[tokio::test(start_paused = true)]
async fn those_whose_turn_it_is_are_rung_and_nobody_else(#[values(Duration::ZERO, secs(60))] keep: Duration) {
    for queue in sequences(&modes(), 4) {
        let queue: Vec<_> = queue.into_iter().map(|mode| Wish { keys: &["a"], mode }).collect();
        rings_are_due(&queue, keep).await;
    }
}

#[rstest]
#[tokio::test(start_paused = true)]
async fn those_who_want_several_keys_are_rung_when_the_last_is_free(
    #[values(Duration::ZERO, secs(60))] keep: Duration,
) {
    let keys: [&'static [&'static str]; 3] = [&["a"], &["b"], &["a", "b"]];
    let modes = [Mode::Exclusive, Mode::Shared, Mode::permit_of(2).unwrap()];
    let wishes: Vec<_> = keys.iter().flat_map(|keys| modes.map(|mode| Wish { keys, mode })).collect();
    for queue in sequences(&wishes, 4) {
        rings_are_due(&queue, keep).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lapse_rings_nobody_and_retry_after_finds_it() {
    let store = Memory::new();
    abandoned(&store, "a", Mode::Exclusive, secs(7)).await;
    let waits = claim();
    let Attempt::Busy(busy) = store.acquire(&waits).await.unwrap() else { panic!("granted") };
    assert_eq!(busy.retry_after, secs(7));
    let mut bell = store.wakeups(&waits).await.unwrap();
    tokio::time::sleep(secs(7)).await;
    assert!(hears(&mut bell).is_pending());
    assert!(matches!(store.acquire(&waits).await.unwrap(), Attempt::Granted(_)));
}

/// One of forty ahead lapses before the others.
#[rstest]
#[case::one_who_holds_with_all(|_| Mode::permit_of(40).unwrap(), 0)]
#[case::the_one_who_holds(|_| Mode::Exclusive, 0)]
#[case::the_one_just_ahead(|_| Mode::Exclusive, 39)]
#[case::a_writer_among_readers(|at| if at == 10 { Mode::Exclusive } else { Mode::Shared }, 10)]
#[case::a_writer_among_permits(|at| if at == 10 { Mode::Exclusive } else { Mode::permit_of(99).unwrap() }, 10)]
#[tokio::test(start_paused = true)]
async fn however_many_are_ahead_the_first_lapse_that_gives_a_turn_is_told(
    #[case] mode: fn(usize) -> Mode,
    #[case] first: usize,
) {
    let store = Memory::new();
    for at in 0..40 {
        abandoned(&store, "a", mode(at), if at == first { secs(7) } else { TTL }).await;
    }
    let waits = Claim::new("a", mode(40), TTL).unwrap().queued();
    let Attempt::Busy(busy) = store.acquire(&waits).await.unwrap() else { panic!("granted") };
    assert_eq!(busy.retry_after, secs(7));
}

#[tokio::test(start_paused = true)]
async fn a_remnant_of_a_claim_does_not_take_the_same_claim_with_it() {
    let store = Memory::new();
    let again = claim();
    store.acquire(&again).await.unwrap();
    store.release(&again, secs(5)).await.unwrap();
    assert!(matches!(store.acquire(&again).await.unwrap(), Attempt::Busy(_)));
    tokio::time::sleep(secs(6)).await;
    assert!(matches!(store.acquire(&again).await.unwrap(), Attempt::Granted(_)));
    assert_ne!(store.release(&again, Duration::ZERO).await.unwrap(), crate::Ownership::Lost);
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_ring_before_the_bell_hangs_is_kept() {
    let (bells, one, two) = (Bells::default(), claim(), claim());
    bells.ring(one.tag());
    assert!(hears(&mut bells.hang(&two)).is_pending());
    let mut bell = bells.hang(&one);
    assert_eq!(hears(&mut bell), RING);
    assert!(hears(&mut bell).is_pending(), "once");
    drop(bell);
    assert!(hears(&mut bells.hang(&one)).is_pending(), "heard is heard");
}

#[tokio::test(start_paused = true)]
async fn rings_that_are_not_heard_count_once() {
    let (bells, one) = (Bells::default(), claim());
    let mut bell = bells.hang(&one);
    (0..5).for_each(|_| bells.ring(one.tag()));
    assert_eq!(hears(&mut bell), RING);
    assert!(hears(&mut bell).is_pending());
    bells.ring(one.tag());
    assert_eq!(hears(&mut bell), RING);
}

#[tokio::test(start_paused = true)]
async fn when_too_many_rings_are_kept_older_claims_begin_with_one() {
    let (bells, older, rung) = (Bells::default(), claim(), claim());
    tokio::time::advance(millis(1)).await;
    bells.ring(rung.tag());
    (0..1024).for_each(|tag| bells.ring(tag));
    tokio::time::advance(millis(1)).await;
    let newer = claim();
    assert_eq!(hears(&mut bells.hang(&rung)), RING, "its ring was forgotten, and it is not missed");
    assert_eq!(hears(&mut bells.hang(&older)), RING);
    assert!(hears(&mut bells.hang(&newer)).is_pending());
    bells.ring(newer.tag());
    assert_eq!(hears(&mut bells.hang(&newer)), RING);
}

#[tokio::test(start_paused = true)]
async fn ring_all_rings_all_there_are_and_those_yet_to_hang() {
    let (bells, hung, to_hang) = (Bells::default(), claim(), claim());
    let mut bell = bells.hang(&hung);
    tokio::time::advance(millis(1)).await;
    bells.ring_all();
    tokio::time::advance(millis(1)).await;
    assert_eq!(hears(&mut bell), RING);
    assert_eq!(hears(&mut bells.hang(&to_hang)), RING);
    assert!(hears(&mut bells.hang(&claim())).is_pending());
}

#[tokio::test(start_paused = true)]
async fn a_bell_that_hangs_again_takes_over_and_the_first_ends() {
    let (bells, one) = (Bells::default(), claim());
    let mut first = bells.hang(&one);
    let mut second = bells.hang(&one);
    assert_eq!(hears(&mut first), END);
    bells.ring(one.tag());
    drop(first);
    assert_eq!(hears(&mut second), RING);
    bells.ring(one.tag());
    assert_eq!(hears(&mut second), RING, "the first took nothing with it");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_bell_leaves_the_board_and_rings_after_it_are_kept() {
    let (bells, one) = (Bells::default(), claim());
    let mut bell = bells.hang(&one);
    assert_eq!(format!("{bells:?}"), "Bells { hung: 1, .. }");
    drop(bell);
    assert_eq!(format!("{bells:?}"), "Bells { hung: 0, .. }");
    bells.ring(one.tag());
    bell = bells.hang(&one);
    assert_eq!(hears(&mut bell), RING);
}

#[tokio::test(start_paused = true)]
async fn a_board_that_is_gone_ends_its_bells() {
    let (bells, one) = (Bells::default(), claim());
    let mut bell = bells.clone().hang(&one);
    assert!(hears(&mut bell).is_pending());
    drop(bells);
    assert_eq!(hears(&mut bell), END);
}
