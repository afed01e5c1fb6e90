//! The end of a lock: release, drop, `run`, and what a cooldown leaves.

use std::panic::AssertUnwindSafe;

use rstest::rstest;
use tokio::time::{sleep, sleep_until};

use super::*;
use crate::Error;
use crate::acquire::GRACE;

#[tokio::test(start_paused = true)]
async fn lost_after_an_unclear_release_is_success() {
    let (store, locks) = gated();
    let guard = locks.lock("a").acquire().await.unwrap();
    store.next(Method::Release, [Gate::ReplyLost]);
    guard.release().await.unwrap();
    assert_eq!(store.count(Method::Release), 2);
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn lost_at_first_is_lost() {
    let (store, locks) = gated();
    let guard = locks.lock("a").acquire().await.unwrap();
    store.set(Method::Release, Gate::No);
    let error = guard.release().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost);
    assert!(error.to_string().starts_with(r#"release "a" on gated: the lock was lost"#), "{error}");
}

#[tokio::test(start_paused = true)]
async fn lost_after_an_unclear_release_is_lost_once_the_deadline_has_passed() {
    let (store, locks) = gated();
    let start = Instant::now();
    let guard = locks.lock("a").renewal(false).acquire().await.unwrap();
    sleep_until(start + millis(29_200)).await;
    store.next(Method::Release, [Gate::ReplyLost, Gate::Late(millis(500))]);
    assert_eq!(kind(guard.release().await), Some(ErrorKind::Lost));
}

#[tokio::test(start_paused = true)]
async fn a_release_after_the_deadline_is_lost() {
    let (store, locks) = gated();
    let guard = locks.lock("a").renewal(false).acquire().await.unwrap();
    tokio::time::advance(millis(29_500)).await;
    assert_eq!(kind(guard.release().await), Some(ErrorKind::Lost));
    locks.close().await;
    assert!(store.is_empty());
}

#[rstest]
#[case::error(Gate::Error)]
#[case::broken(Gate::Broken)]
#[case::never(Gate::Never)]
#[tokio::test(start_paused = true)]
async fn a_release_that_is_not_confirmed_goes_on_in_the_background(#[case] gate: Gate) {
    let (store, locks) = gated();
    let guard = locks.lock("a").acquire().await.unwrap();
    store.set(Method::Release, gate);
    let start = Instant::now();
    let error = guard.release().await.unwrap_err();
    assert!(start.elapsed() <= GRACE + TICK);
    assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Backend));
    assert!(error.to_string().starts_with(r#"release "a" on gated: "#), "{error}");

    store.set(Method::Release, Gate::Ok);
    locks.close().await;
    assert!(store.is_empty());
    assert!(start.elapsed() < secs(2));
    assert_eq!(store.calls(Method::Release).last().unwrap().client, 1);
}

#[tokio::test(start_paused = true)]
async fn a_background_release_that_is_never_answered_is_sent_again() {
    let (store, locks) = gated();
    let start = Instant::now();
    drop(locks.lock("a").acquire().await.unwrap());
    store.next(Method::Release, [Gate::Never]);
    locks.close().await;
    assert!(start.elapsed() < TTL / 2);
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn close_waits_for_releases_and_not_for_guards() {
    let (store, locks) = gated();
    let (one, two) = (locks.lock("a").acquire().await.unwrap(), locks.lock("b").acquire().await.unwrap());
    store.set(Method::Release, Gate::Slow(secs(5)));
    let start = Instant::now();
    drop(one);
    locks.close().await;
    assert!(took(start, secs(5)));
    assert!(is_free(store.memory(), "a").await);
    assert!(two.is_held());
}

/// How a guard ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Release,
    Drop,
    Ok,
    Err,
    Panic,
    Cancel,
}

async fn end(guard: Guard, end: End) {
    match end {
        End::Release => guard.release().await.unwrap(),
        End::Drop => drop(guard),
        End::Ok => guard.run(async |_| Ok::<_, Error>(())).await.unwrap(),
        End::Err => {
            let failed = guard.run(async |_| Err::<(), _>(Error::new(ErrorKind::Backend, "no funds"))).await;
            assert_eq!(failed.unwrap_err().to_string(), "no funds");
        }
        End::Panic => {
            let panicked = std::panic::catch_unwind(AssertUnwindSafe(move || {
                let _guard = guard;
                std::panic::resume_unwind(Box::new("a bug"));
            }));
            assert!(panicked.is_err());
        }
        End::Cancel => {
            let work = guard.run(async |_| std::future::pending::<Result<()>>().await);
            assert!(tokio::time::timeout(millis(1), work).await.is_err());
        }
    }
}

#[rstest]
#[tokio::test(start_paused = true)]
async fn every_end_frees_the_key_at_once_or_after_its_cooldown(
    #[values(End::Release, End::Drop, End::Ok, End::Err, End::Panic, End::Cancel)] how: End,
    #[values(Duration::ZERO, secs(10), secs(60), secs(3600))] cooldown: Duration,
) {
    let (store, locks) = gated();
    store.set(Method::Acquire, Gate::Late(secs(2)));
    let guard = locks.lock("a").hold_at_least(cooldown).acquire().await.unwrap();
    let granted = Instant::now();
    sleep(secs(20)).await;
    end(guard, how).await;
    locks.close().await;
    if cooldown > secs(20) {
        sleep_until(granted + cooldown - millis(10)).await;
        assert!(!is_free(store.memory(), "a").await, "the cooldown is cut short");
        sleep_until(granted + cooldown + millis(10)).await;
    }
    assert!(is_free(store.memory(), "a").await);
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_cooldown_is_not_lengthened_by_a_release_that_is_tried_again() {
    let (store, locks) = gated();
    let guard = locks.lock("a").hold_at_least(secs(60)).acquire().await.unwrap();
    let granted = Instant::now();
    store.set(Method::Release, Gate::Error);
    assert!(guard.release().await.is_err());
    sleep(secs(5)).await;
    store.set(Method::Release, Gate::Ok);
    locks.close().await;
    let kept = store.calls(Method::Release).last().unwrap().clone();
    let until = kept.at + kept.keep - granted;
    assert!((secs(60)..secs(60) + TICK).contains(&until), "kept until {until:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_has_no_cooldown() {
    let (store, locks) = gated();
    store.set(Method::Renew, Gate::Error);
    let guard = locks.lock("a").hold_at_least(secs(3600)).acquire().await.unwrap();
    guard.lost().await;
    locks.close().await;
    assert!(store.is_empty());
    drop(guard);

    let late = locks.lock("b").hold_at_least(secs(3600)).renewal(false).acquire().await.unwrap();
    tokio::time::advance(millis(29_500)).await;
    drop(late);
    locks.close().await;
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn work_is_stopped_when_its_lock_is_lost() {
    let (store, locks) = gated();
    store.set(Method::Renew, Gate::No);
    let start = Instant::now();
    let work = locks.lock("a").run(async |_| {
        sleep(secs(3600)).await;
        Ok::<_, Error>(())
    });
    assert_eq!(kind(work.await), Some(ErrorKind::Lost));
    assert!(start.elapsed() < secs(11));
}

#[tokio::test(start_paused = true)]
async fn work_whose_lock_was_lost_at_its_end_is_lost() {
    let (store, locks) = gated();
    let guard = locks.lock("a").acquire().await.unwrap();
    store.set(Method::Release, Gate::No);
    assert_eq!(kind(guard.run(async |_| Ok::<_, Error>(())).await), Some(ErrorKind::Lost));
}

#[tokio::test(start_paused = true)]
async fn work_that_is_done_is_done_though_the_release_is_not_confirmed() {
    let (store, locks) = gated();
    let guard = locks.lock("a").acquire().await.unwrap();
    store.set(Method::Release, Gate::Error);
    assert_eq!(guard.run(async |_| Ok::<_, Error>(7)).await.unwrap(), 7);
    store.set(Method::Release, Gate::Ok);
    locks.close().await;
    assert!(store.is_empty());
}
