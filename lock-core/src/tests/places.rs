//! Places: how a wait is woken, and how often it looks.

use rstest::rstest;
use tokio::time::sleep;

use super::*;

/// Waits in the background.
fn wait(locks: &Locker) -> tokio::task::JoinHandle<Result<Guard>> {
    tokio::spawn(locks.lock("a").acquire())
}

#[tokio::test(start_paused = true)]
async fn a_place_is_kept_by_looking_and_by_the_waiting_task_alone() {
    let (store, locks) = gated();
    let other = rival(&store, "a").await;
    let wait = wait(&locks);
    sleep(secs(300)).await;
    let looks = store.calls(Method::Acquire);
    assert!((30..=39).contains(&looks.len()), "{} looks in ten ttls", looks.len());
    assert!(looks.windows(2).all(|two| two[1].at - two[0].at <= TTL / 3 + TICK));
    assert!(looks.iter().all(|look| look.owner() == looks[0].owner() && look.client == 0));
    assert_eq!(store.count(Method::Renew), 0);
    assert_eq!(store.count(Method::Wakeups), 1);
    other.release().await.unwrap();
    assert!(wait.await.unwrap().unwrap().is_held());
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_stalls_loses_its_place() {
    let (store, locks) = gated();
    let other = rival(&store, "a").await;
    let mut stalled = Box::pin(locks.lock("a").acquire());
    assert!(tokio::time::timeout(millis(1), &mut stalled).await.is_err());
    let stalled_claim = store.calls(Method::Acquire)[0].claims[0].clone();
    sleep(TTL).await;
    assert_eq!(store.memory().release(&stalled_claim, Duration::ZERO).await.unwrap(), crate::Ownership::Lost);

    let second = wait(&locks);
    sleep(secs(1)).await;
    other.release().await.unwrap();
    assert!(second.await.unwrap().unwrap().is_held());
    drop(stalled);
}

#[tokio::test(start_paused = true)]
async fn a_ring_wakes_at_once() {
    let (store, locks) = gated();
    let other = rival(&store, "a").await;
    let wait = wait(&locks);
    sleep(millis(5_500)).await;
    let start = Instant::now();
    other.release().await.unwrap();
    assert!(wait.await.unwrap().unwrap().is_held());
    assert!(took(start, Duration::ZERO));
    assert_eq!(store.count(Method::Acquire), 2);
}

#[tokio::test(start_paused = true)]
async fn a_ring_between_the_look_and_the_bell_wakes() {
    let (store, locks) = gated();
    store.set(Method::Wakeups, Gate::Slow(secs(2)));
    let other = rival(&store, "a").await;
    let wait = wait(&locks);
    sleep(secs(1)).await;
    other.release().await.unwrap();
    let start = Instant::now();
    assert!(wait.await.unwrap().unwrap().is_held());
    assert!(took(start, secs(1)));
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_died_is_found_when_it_lapses() {
    let (store, locks) = gated();
    abandoned(store.memory(), "a", Mode::Exclusive, secs(7)).await;
    let start = Instant::now();
    let guard = wait(&locks).await.unwrap().unwrap();
    assert!((secs(7)..secs(7) + millis(60)).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert!(guard.is_held());
    assert_eq!(store.count(Method::Acquire), 2);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_push_is_polled_and_not_into_the_ground() {
    let (store, locks) = gated_as(Profile::new("gated").polled());
    let other = rival(&store, "a").await;
    let wait = wait(&locks);
    sleep(secs(60)).await;
    let looks = store.calls(Method::Acquire);
    assert!((120..260).contains(&looks.len()), "{} looks in a minute", looks.len());
    assert!(looks.windows(2).all(|two| two[1].at - two[0].at <= millis(500) + TICK));
    assert_eq!(store.count(Method::Wakeups), 1);
    let start = Instant::now();
    other.release().await.unwrap();
    assert!(wait.await.unwrap().unwrap().is_held());
    assert!(start.elapsed() <= millis(500) + TICK);
}

#[rstest]
#[case::fail(Gate::Error, 120..260)]
#[case::end(Gate::No, 240..520)]
#[case::never_answer(Gate::Never, 5..260)]
#[tokio::test(start_paused = true)]
async fn where_wakeups_do_not_work_it_polls_and_asks_for_them_again(
    #[case] gate: Gate,
    #[case] looks: std::ops::Range<usize>,
) {
    let (store, locks) = gated();
    store.set(Method::Wakeups, gate);
    let other = rival(&store, "a").await;
    let wait = wait(&locks);
    sleep(secs(60)).await;
    let looked = store.count(Method::Acquire);
    assert!(looks.contains(&looked), "{looked} looks in a minute");
    assert!(store.count(Method::Wakeups) > 4);

    store.set(Method::Wakeups, Gate::Ok);
    sleep(secs(12)).await;
    let looked = store.count(Method::Acquire);
    sleep(secs(5)).await;
    assert!(store.count(Method::Acquire) <= looked + 1, "it listens, and still polls");
    let start = Instant::now();
    other.release().await.unwrap();
    assert!(wait.await.unwrap().unwrap().is_held());
    assert!(took(start, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_hand_over_costs_no_looks_of_those_behind() {
    let (store, locks) = gated();
    let mut guard = rival(&store, "a").await;
    let mut waits = Vec::new();
    for _ in 0..50 {
        waits.push(wait(&locks));
        sleep(millis(1)).await; // they arrive in this order
    }
    assert_eq!(store.count(Method::Acquire), 50);
    for (n, wait) in waits.into_iter().enumerate() {
        drop(guard);
        guard = wait.await.unwrap().unwrap();
        assert_eq!(store.count(Method::Acquire), 51 + n);
    }
}
