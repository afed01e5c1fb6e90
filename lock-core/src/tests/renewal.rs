//! Keeping what is held: when it is renewed, and when it is given up.

use rstest::rstest;
use tokio::time::{sleep, sleep_until};

use super::*;

/// How long a grant of [`TTL`] may be used without a renewal.
pub(super) const USABLE: Duration = Duration::from_millis(29_400);

fn times(calls: &[Call], start: Instant) -> Vec<u128> {
    calls.iter().map(|call| (call.at - start).as_millis()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_grant_is_renewed_at_every_third_of_its_ttl_by_the_keepers_own_client() {
    let (store, locks) = gated();
    let start = Instant::now();
    let guard = locks.lock("a").acquire().await.unwrap();
    sleep(secs(101)).await;
    let renewals = store.calls(Method::Renew);
    assert_eq!(renewals.len(), 10);
    for (n, call) in renewals.iter().enumerate() {
        let due = start + TTL / 3 * (u32::try_from(n).unwrap() + 1);
        assert!((due..due + TICK * 3).contains(&call.at), "{:?}", times(&renewals, start));
        assert_eq!(call.client, 1);
    }
    assert!(guard.is_held());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_rides_out_errors_until_the_deadline_and_no_longer() {
    let (store, locks) = gated();
    store.set(Method::Renew, Gate::Error);
    let start = Instant::now();
    let guard = locks.lock("a").acquire().await.unwrap();
    sleep_until(start + USABLE - millis(1)).await;
    assert!(guard.is_held());
    guard.lost().await;
    assert!(took(start, USABLE));
    assert!(!guard.is_held());
    assert_eq!(guard.remaining(), Duration::ZERO);

    let tries = store.count(Method::Renew);
    assert!((18..30).contains(&tries), "{tries} renewals were tried");
    store.set(Method::Renew, Gate::Ok);
    sleep(secs(60)).await;
    assert_eq!(store.count(Method::Renew), tries, "what is lost is not renewed");
    assert!(!guard.is_held());
    assert_eq!(kind(guard.release().await), Some(ErrorKind::Lost));
}

#[rstest]
#[case::error(Gate::Error, secs(18))]
#[case::reply_lost(Gate::ReplyLost, secs(18))]
#[case::broken(Gate::Broken, secs(18))]
#[case::never(Gate::Never, secs(9))]
#[case::silent(Gate::Silent, secs(9))]
#[tokio::test(start_paused = true)]
async fn renewals_that_fail_for_a_while_cost_nothing(#[case] gate: Gate, #[case] outage: Duration) {
    let (store, locks) = gated();
    let guard = locks.lock("a").acquire().await.unwrap();
    for _ in 0..10 {
        store.set(Method::Renew, gate);
        sleep(outage).await;
        store.set(Method::Renew, Gate::Ok);
        sleep(secs(11)).await;
    }
    assert!(guard.is_held());
    guard.release().await.unwrap();
}

#[rstest]
#[case::renew_error(Method::Renew, Gate::Error)]
#[case::renew_never(Method::Renew, Gate::Never)]
#[case::fork_error(Method::Fork, Gate::Error)]
#[case::fork_never(Method::Fork, Gate::Never)]
#[case::fork_slow(Method::Fork, Gate::Slow(secs(29)))]
#[tokio::test(start_paused = true)]
async fn whatever_keeps_it_from_being_renewed_it_is_lost_at_its_deadline(
    #[case] method: Method,
    #[case] gate: Gate,
) {
    let (store, locks) = gated();
    store.set(method, gate);
    let start = Instant::now();
    let guard = locks.lock("a").acquire().await.unwrap();
    guard.lost().await;
    assert!(took(start, USABLE));
}

#[tokio::test(start_paused = true)]
async fn a_fork_that_takes_its_time_is_waited_for() {
    let (store, locks) = gated();
    store.next(Method::Fork, [Gate::Error, Gate::Never, Gate::Slow(secs(5))]);
    let guard = locks.lock("a").acquire().await.unwrap();
    sleep(secs(100)).await;
    assert!(guard.is_held());
    assert_eq!(store.count(Method::Fork), 3);
}

#[tokio::test(start_paused = true)]
async fn a_held_after_the_deadline_changes_nothing() {
    let (store, locks) = gated();
    store.set(Method::Renew, Gate::Late(secs(25)));
    let start = Instant::now();
    let guard = locks.lock("a").acquire().await.unwrap();
    guard.lost().await;
    assert!(took(start, USABLE));
    sleep(secs(30)).await;
    assert!(!guard.is_held());
    assert!(store.is_empty(), "the keeper releases what a late renewal kept");
    assert_eq!(store.count(Method::Renew), 2);
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_is_gone_is_lost_at_once() {
    let (store, locks) = gated();
    store.set(Method::Renew, Gate::No);
    let start = Instant::now();
    let guard = locks.lock("a").acquire().await.unwrap();
    guard.lost().await;
    assert!(start.elapsed() < TTL / 3 + TICK * 3);
    assert!(!guard.is_held());
    locks.close().await;
    assert!(store.is_empty(), "the keeper releases what may be left");
    assert_eq!(kind(guard.release().await), Some(ErrorKind::Lost));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_never_answers_is_asked_again() {
    let (store, locks) = gated();
    store.next(Method::Renew, [Gate::Never]);
    let start = Instant::now();
    let guard = locks.lock("a").acquire().await.unwrap();
    sleep(secs(21)).await;
    let asked = times(&store.calls(Method::Renew), start);
    assert_eq!(asked.len(), 2, "{asked:?}");
    sleep(secs(100)).await;
    assert!(guard.is_held());
}

#[rstest]
#[case::all(1_000, 1)]
#[case::split(2_500, 3)]
#[tokio::test(start_paused = true)]
async fn what_falls_due_together_is_renewed_in_few_calls(#[case] locks_held: usize, #[case] calls: usize) {
    let (store, locks) = gated();
    let mut guards = Vec::new();
    for n in 0..locks_held {
        guards.push(locks.lock(format!("lock/{n}")).acquire().await.unwrap());
    }
    sleep(secs(95)).await;
    let renewals = store.calls(Method::Renew);
    assert_eq!(renewals.len(), 9 * calls);
    assert!(renewals.iter().all(|call| call.claims.len() <= 1024));
    assert_eq!(renewals.iter().map(|call| call.claims.len()).sum::<usize>(), 9 * locks_held);
    assert!(guards.iter().all(Guard::is_held));
}

#[tokio::test(start_paused = true)]
async fn what_falls_due_close_together_shares_a_call_from_then_on() {
    let (store, locks) = gated();
    let mut guards = Vec::new();
    for n in 0..100 {
        guards.push(locks.lock(format!("lock/{n}")).acquire().await.unwrap());
        sleep(millis(24)).await;
    }
    sleep(secs(93)).await;
    assert_eq!(store.count(Method::Renew), 9);
    assert!(guards.iter().all(Guard::is_held));
}

#[rstest]
#[case::just_enough(secs(20), Duration::from_micros(6_666_666))]
#[case::too_little(millis(19_999), Duration::ZERO)]
#[tokio::test(start_paused = true)]
async fn a_grant_with_less_than_two_thirds_of_its_ttl_is_renewed_at_once(
    #[case] lease: Duration,
    #[case] due: Duration,
) {
    let (store, locks) = gated();
    store.grant_for(lease);
    let start = Instant::now();
    let guard = locks.lock("a").acquire().await.unwrap();
    sleep(secs(9)).await;
    let renewals = store.calls(Method::Renew);
    assert_eq!(renewals.len(), 1);
    assert!((due..due + TICK).contains(&(renewals[0].at - start)), "{:?}", times(&renewals, start));
    assert!(guard.remaining() > secs(20));
}

#[rstest]
#[case::request(true)]
#[case::locker(false)]
#[tokio::test(start_paused = true)]
async fn without_renewal_it_ends_at_its_deadline_and_the_store_is_free(#[case] per_request: bool) {
    let (store, locks) = gated();
    let lock = if per_request { locks.lock("a").renewal(false) } else { locks.with_renewal(false).lock("a") };
    let start = Instant::now();
    let guard = lock.acquire().await.unwrap();
    sleep_until(start + USABLE - millis(1)).await;
    assert!(guard.is_held());
    guard.lost().await;
    assert!(took(start, USABLE));
    assert_eq!(store.count(Method::Renew), 0);
    sleep_until(start + TTL).await;
    assert!(store.is_empty());
}

#[rstest]
#[case::acts_after_the_release(Gate::Slow(secs(5)))]
#[case::answers_after_the_release(Gate::Late(secs(5)))]
#[tokio::test(start_paused = true)]
async fn a_renewal_under_way_brings_back_nothing_that_was_released(#[case] gate: Gate) {
    let (store, locks) = gated();
    store.set(Method::Renew, gate);
    let guard = locks.lock("a").acquire().await.unwrap();
    sleep(secs(12)).await;
    assert_eq!(store.count(Method::Renew), 1);
    guard.release().await.unwrap();
    assert!(store.is_empty());
    sleep(secs(60)).await;
    assert!(store.is_empty());
    assert_eq!(store.count(Method::Renew), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_lost_takes_none_of_its_batch_with_it() {
    let (store, locks) = gated();
    let one = locks.lock("a").acquire().await.unwrap();
    let two = locks.lock("b").acquire().await.unwrap();
    let claim = &store.calls(Method::Acquire)[0].claims[0];
    store.memory().release(claim, Duration::ZERO).await.unwrap();
    sleep(secs(40)).await;
    assert!(!one.is_held());
    assert!(two.is_held());
}

#[tokio::test(start_paused = true)]
async fn what_was_released_is_not_renewed_and_the_keeper_comes_to_rest() {
    let (store, locks) = gated();
    locks.lock("a").acquire().await.unwrap().release().await.unwrap();
    sleep(secs(5)).await;
    let polls = tokio::runtime::Handle::current().metrics().worker_park_count(0);
    sleep(secs(100)).await;
    assert!(tokio::runtime::Handle::current().metrics().worker_park_count(0) < polls + 5);
    assert_eq!(store.count(Method::Renew), 0);
    let guard = locks.lock("a").acquire().await.unwrap();
    sleep(secs(100)).await;
    assert!(guard.is_held(), "and wakes for the next");
}
