//! Limits: how long a wait takes, and what its answer means.

use rstest::rstest;
use tokio::time::{sleep, timeout};

use super::*;
use crate::acquire::GRACE;

const LIMIT: Duration = Duration::from_secs(5);

#[rstest]
#[case::wait(None)]
#[case::in_time(Some(secs(60)))]
#[tokio::test(start_paused = true)]
async fn a_reply_later_than_its_own_deadline_is_no_grant(#[case] limit: Option<Duration>) {
    let (store, locks) = gated();
    store.next(Method::Acquire, [Gate::Late(millis(29_500))]);
    let mut lock = locks.lock("a");
    if let Some(limit) = limit {
        lock = lock.timeout(limit);
    }
    let guard = lock.acquire().await.unwrap();
    assert!(guard.is_held());

    let asked = store.calls(Method::Acquire);
    let (first, last) = (asked[0].owner(), asked.last().unwrap().owner());
    assert_ne!(first, last, "a fresh claim asks again");
    let released = store.calls(Method::Release);
    assert_eq!(released.iter().map(Call::owner).collect::<Vec<_>>(), [first]);
    guard.release().await.unwrap();
    assert!(store.is_empty());
    locks.close().await;
    assert_eq!(store.count(Method::Release), 2, "of each claim once");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_reaches_its_limit_is_taken_back_once() {
    let (store, locks) = gated();
    let _held = locks.lock("a").acquire().await.unwrap();
    assert_eq!(kind(locks.lock("a").timeout(secs(1)).acquire().await), Some(ErrorKind::Timeout));
    locks.close().await;
    assert_eq!(store.count(Method::Release), 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_grant_to_one_that_skips_is_unknown_and_released() {
    let (store, locks) = gated();
    store.set(Method::Acquire, Gate::Late(millis(29_500)));
    assert_eq!(kind(locks.lock("a").try_acquire().await), Some(ErrorKind::Unavailable));
    locks.close().await;
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_late_grant_at_the_limit_is_a_timeout() {
    let (store, locks) = gated();
    store.set(Method::Acquire, Gate::Late(millis(985)));
    let wait = locks.lock("a").ttl(secs(1)).timeout(millis(900)).acquire();
    assert_eq!(kind(wait.await), Some(ErrorKind::Timeout));
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_only_answers_late_ends_a_wait_without_limit() {
    let (store, locks) = gated();
    store.set(Method::Acquire, Gate::Late(millis(29_500)));
    let start = Instant::now();
    assert_eq!(kind(locks.lock("a").acquire().await), Some(ErrorKind::Unavailable));
    assert!(start.elapsed() < TTL * 3);
    locks.close().await;
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_timeout_means_that_the_place_is_gone() {
    let (store, locks) = gated();
    let other = rival(&store, "a").await;
    let start = Instant::now();
    let error = locks.lock("a").timeout(LIMIT).acquire().await.unwrap_err();
    assert!(took(start, LIMIT));
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.to_string(), r#"acquire "a" on gated: timed out after 5s"#);
    other.release().await.unwrap();
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn there_is_one_last_look_at_the_limit() {
    let (store, locks) = gated();
    store.set(Method::Wakeups, Gate::Never);
    let other = rival(&store, "a").await;
    tokio::spawn(async {
        sleep(LIMIT - millis(1)).await;
        other.release().await
    });
    assert!(locks.lock("a").timeout(LIMIT).acquire().await.unwrap().is_held());
}

/// Whatever the store does, the answer comes in time, and it is a `Timeout` only if the store said so.
#[rstest]
#[tokio::test(start_paused = true)]
async fn the_answer_comes_within_a_second_of_the_limit(
    #[values(
        Gate::No,
        Gate::Error,
        Gate::ReplyLost,
        Gate::Slow(millis(900)),
        Gate::Late(millis(900)),
        Gate::Never,
        Gate::Silent
    )]
    acquire: Gate,
    #[values(Gate::Ok, Gate::Error, Gate::Slow(millis(900)), Gate::Never, Gate::Silent)] release: Gate,
    #[values(Duration::ZERO, Duration::from_nanos(1), millis(1), LIMIT)] limit: Duration,
) {
    let (store, locks) = gated();
    let other = rival(&store, "a").await;
    store.set(Method::Acquire, acquire);
    store.set(Method::Release, release);
    let start = Instant::now();
    let answer = locks.lock("a").timeout(limit).acquire().await;
    let elapsed = start.elapsed();
    assert!(elapsed <= limit + GRACE + TICK, "answered after {elapsed:?}: {answer:?}");

    let error = answer.unwrap_err();
    match error.kind() {
        ErrorKind::Timeout => {
            assert!(elapsed >= limit, "timed out after {elapsed:?}");
            other.release().await.unwrap();
            assert!(store.is_empty(), "a timeout, but its place is still there");
        }
        ErrorKind::Unavailable => assert!(
            matches!(acquire, Gate::Never | Gate::Silent)
                || release != Gate::Ok
                || (limit < millis(1) && acquire != Gate::No),
            "{error}"
        ),
        _ => panic!("{error}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_may_still_queue_it_is_no_timeout() {
    let (store, locks) = gated();
    let other = rival(&store, "a").await;
    store.set(Method::Acquire, Gate::Slow(millis(1500)));
    let wait = locks.lock("a").ttl(secs(1)).timeout(millis(900)).acquire();
    assert_eq!(kind(wait.await), Some(ErrorKind::Unavailable));
    locks.close().await;
    assert_eq!(store.count(Method::Release), 1, "its request ran to its end and was taken back");
    other.release().await.unwrap();
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn after_nothing_but_errors_a_removal_that_is_confirmed_is_a_timeout() {
    let (store, locks) = gated();
    store.set(Method::Acquire, Gate::ReplyLost);
    let _other = rival(&store, "a").await;
    assert_eq!(kind(locks.lock("a").timeout(LIMIT).acquire().await), Some(ErrorKind::Timeout));
    store.set(Method::Release, Gate::Error);
    let error = locks.lock("a").timeout(LIMIT).acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.to_string(), r#"acquire "a" on gated: the gate is shut"#);
}

#[rstest]
#[case::error(Gate::Error)]
#[case::reply_lost(Gate::ReplyLost)]
#[tokio::test(start_paused = true)]
async fn without_a_limit_a_ttl_of_nothing_but_errors_ends_the_wait(#[case] gate: Gate) {
    let (store, locks) = gated();
    let _other = rival(&store, "a").await;
    store.set(Method::Acquire, gate);
    let start = Instant::now();
    assert_eq!(kind(locks.lock("a").acquire().await), Some(ErrorKind::Unavailable));
    assert!((TTL..TTL + secs(1)).contains(&start.elapsed()), "{:?}", start.elapsed());
    let looks = store.count(Method::Acquire);
    assert!((60..150).contains(&looks), "{looks} looks");
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_a_store_that_never_answers_ends_the_wait() {
    let (store, locks) = gated();
    store.set(Method::Acquire, Gate::Never);
    let start = Instant::now();
    assert_eq!(kind(locks.lock("a").acquire().await), Some(ErrorKind::Unavailable));
    assert!(start.elapsed() <= TTL * 2 + secs(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_a_pause_of_the_process_outlived_does_not_end_the_wait() {
    let (store, locks) = gated();
    let _other = rival(&store, "a").await;
    let wait = tokio::spawn(locks.lock("a").acquire());
    sleep(secs(1)).await;
    store.next(Method::Acquire, [Gate::Silent]);
    // The look is on its way when everything stops for longer than it may take.
    sleep(TTL / 3).await;
    tokio::time::advance(TTL * 2).await;
    sleep(secs(1)).await;
    let guard = wait.await.unwrap().unwrap();
    assert!(guard.is_held());
}

#[rstest]
#[case::one_key(Profile::new("gated"), &["a"], Gate::Ok, ErrorKind::Timeout)]
#[case::one_key_after_another(Profile::new("gated").one_by_one(), &["0", "a"], Gate::Ok, ErrorKind::Timeout)]
#[case::no_answer(Profile::new("gated"), &["a"], Gate::Never, ErrorKind::Unavailable)]
#[tokio::test(start_paused = true)]
async fn a_pause_of_the_process_at_the_limit_is_not_the_stores(
    #[case] profile: Profile,
    #[case] keys: &[&str],
    #[case] last: Gate,
    #[case] answer: ErrorKind,
) {
    let (store, locks) = gated_as(profile);
    let other = rival(&store, "a").await;
    let wait = tokio::spawn(locks.lock(keys).timeout(LIMIT).acquire());
    sleep(LIMIT - millis(1)).await;
    // It waits for its last look when everything stops.
    store.set(Method::Acquire, last);
    tokio::time::advance(GRACE * 3).await;
    let start = Instant::now();
    assert_eq!(kind(wait.await.unwrap()), Some(answer));
    assert!(start.elapsed() <= GRACE + TICK, "{:?}", start.elapsed());
    locks.close().await;
    other.release().await.unwrap();
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_good_answer_among_errors_keeps_the_wait_going() {
    let (store, locks) = gated();
    let other = rival(&store, "a").await;
    let wait = tokio::spawn(locks.lock("a").acquire());
    for _ in 0..4 {
        store.set(Method::Acquire, Gate::Error);
        sleep(secs(25)).await;
        store.set(Method::Acquire, Gate::Ok);
        sleep(secs(1)).await;
    }
    other.release().await.unwrap();
    assert!(wait.await.unwrap().unwrap().is_held());
}

#[rstest]
#[case::wait(false)]
#[case::skip(true)]
#[tokio::test(start_paused = true)]
async fn an_error_that_asking_again_does_not_mend_ends_it_at_once(#[case] skip: bool) {
    let (store, locks) = gated();
    store.set(Method::Acquire, Gate::Broken);
    let start = Instant::now();
    let kind = match skip {
        true => kind(locks.lock("a").try_acquire().await),
        false => kind(locks.lock("a").acquire().await),
    };
    assert_eq!(kind, Some(ErrorKind::Backend));
    assert!(took(start, Duration::ZERO));
    assert_eq!(store.count(Method::Acquire), 1);
    locks.close().await;
    assert_eq!(store.count(Method::Release), 1, "it may have been taken all the same");
}

#[rstest]
#[case::error(Gate::Error, Duration::ZERO)]
#[case::reply_lost(Gate::ReplyLost, Duration::ZERO)]
#[case::never(Gate::Never, TTL)]
#[case::silent(Gate::Silent, TTL)]
#[tokio::test(start_paused = true)]
async fn a_skip_without_an_answer_is_unavailable_within_the_ttl(#[case] gate: Gate, #[case] after: Duration) {
    let (store, locks) = gated();
    store.set(Method::Acquire, gate);
    let start = Instant::now();
    assert_eq!(kind(locks.lock("a").try_acquire().await), Some(ErrorKind::Unavailable));
    assert!(took(start, after));
    locks.close().await;
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_skip_that_is_refused_costs_one_call() {
    let (store, locks) = gated();
    let _other = rival(&store, "a").await;
    assert!(locks.lock("a").timeout(secs(5)).try_acquire().await.unwrap().is_none());
    locks.close().await;
    assert_eq!(store.all_calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_zero_looks_once_and_does_not_queue() {
    let (store, locks) = gated();
    let _other = rival(&store, "a").await;
    let start = Instant::now();
    assert_eq!(kind(locks.lock("a").timeout(Duration::ZERO).acquire().await), Some(ErrorKind::Timeout));
    locks.close().await;
    assert!(took(start, Duration::ZERO));
    assert_eq!(store.all_calls(), 1);
    assert!(!store.calls(Method::Acquire)[0].claims[0].waits());
    let free = locks.lock("b").timeout(Duration::ZERO).acquire().await;
    assert!(free.unwrap().is_held());
}

#[rstest]
#[case(Duration::MAX)]
#[case(secs(u64::MAX / 4))]
#[case(secs(1 << 62))]
#[tokio::test(start_paused = true)]
async fn an_enormous_limit_waits(#[case] limit: Duration) {
    let (store, locks) = gated();
    let other = rival(&store, "a").await;
    let mut wait = Box::pin(locks.lock("a").timeout(limit).acquire());
    assert!(timeout(secs(600), &mut wait).await.is_err());
    other.release().await.unwrap();
    assert!(wait.await.unwrap().is_held());
}

#[tokio::test(start_paused = true)]
async fn an_enormous_lease_or_pause_is_survived() {
    let (store, locks) = gated();
    store.grant_for(Duration::MAX);
    let guard = locks.lock("a").acquire().await.unwrap();
    assert!(guard.remaining() > secs(1 << 32));
    guard.release().await.unwrap();
}
