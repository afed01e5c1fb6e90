//! Several keys on a store that takes one at a time.

use rstest::rstest;
use tokio::time::{sleep, timeout};

use super::*;
use crate::Ownership;
use crate::acquire::GRACE;

fn one_by_one() -> (Gated, Locker) {
    gated_as(Profile::new("gated").one_by_one())
}

fn keys(calls: &[Call]) -> Vec<String> {
    calls
        .iter()
        .flat_map(|call| &call.claims)
        .flat_map(|claim| claim.keys())
        .map(ToString::to_string)
        .collect()
}

#[rstest]
#[case(&["a", "b", "c"])]
#[case(&["c", "b", "a"])]
#[case(&["b", "c", "a", "b"])]
#[tokio::test(start_paused = true)]
async fn keys_are_taken_in_their_order_and_given_back_in_the_other(#[case] request: &[&str]) {
    let (store, locks) = one_by_one();
    let guard = locks.lock(request).acquire().await.unwrap();
    assert_eq!(keys(&store.calls(Method::Acquire)), ["a", "b", "c"]);
    guard.release().await.unwrap();
    assert_eq!(keys(&store.calls(Method::Release)), ["c", "b", "a"]);
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_takes_several_is_asked_once() {
    let (store, locks) = gated();
    let guard = locks.lock(["c", "a", "b"]).acquire().await.unwrap();
    let asked = store.calls(Method::Acquire);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].claims[0].keys().len(), 3);
    assert_eq!(guard.token_of("c"), Some(guard.token()));
}

#[tokio::test(start_paused = true)]
async fn every_key_has_its_own_token_and_the_greatest_is_the_guards() {
    let (_store, locks) = one_by_one();
    let guard = locks.lock(["b", "a", "c"]).acquire().await.unwrap();
    let tokens: Vec<_> = ["a", "b", "c"].iter().map(|key| guard.token_of(key).unwrap()).collect();
    assert!(tokens.is_sorted_by(|one, two| one < two));
    assert_eq!(guard.token(), tokens[2]);
    assert_eq!(guard.token_of("d"), None);
    assert_eq!(guard.keys().map(ToString::to_string).collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[rstest]
#[case::taken_at_once(gated(), 1)]
#[case::taken_one_by_one(one_by_one(), 3)]
#[tokio::test(start_paused = true)]
async fn a_guard_hands_out_the_claims_that_the_store_was_asked_for(
    #[case] (store, locks): (Gated, Locker),
    #[case] claims: usize,
) {
    let guard = locks.lock(["b", "a", "c"]).acquire().await.unwrap();
    let owners: Vec<_> = guard.claims().map(Claim::owner).collect();
    assert_eq!(owners, store.calls(Method::Acquire).iter().map(Call::owner).collect::<Vec<_>>());
    assert_eq!(owners.len(), claims);
    assert_eq!(guard.profile(), locks.profile());
}

/// How a request for `a`, `b` and `c` fails while somebody else holds `b`.
#[derive(Clone, Copy, Debug)]
enum Fail {
    Skip,
    Zero,
    Timeout,
    Dropped,
    Broken,
}

#[rstest]
#[tokio::test(start_paused = true)]
async fn what_was_taken_on_the_way_is_given_back_without_a_cooldown(
    #[values(Fail::Skip, Fail::Zero, Fail::Timeout, Fail::Dropped, Fail::Broken)] fail: Fail,
    #[values(Duration::ZERO, secs(3600))] cooldown: Duration,
) {
    let (store, locks) = one_by_one();
    let other = rival(&store, "b").await;
    let lock = || locks.lock(["c", "b", "a"]).hold_at_least(cooldown);
    match fail {
        Fail::Skip => assert!(lock().try_acquire().await.unwrap().is_none()),
        Fail::Zero => {
            assert_eq!(kind(lock().timeout(Duration::ZERO).acquire().await), Some(ErrorKind::Timeout));
        }
        Fail::Timeout => assert_eq!(kind(lock().timeout(secs(5)).acquire().await), Some(ErrorKind::Timeout)),
        Fail::Dropped => assert!(timeout(secs(5), lock().acquire()).await.is_err()),
        Fail::Broken => {
            store.next(Method::Acquire, [Gate::Ok, Gate::Broken]);
            assert_eq!(kind(lock().acquire().await), Some(ErrorKind::Backend));
        }
    }
    locks.close().await;
    assert_eq!(keys(&store.calls(Method::Acquire)).first().unwrap(), "a");
    assert!(store.calls(Method::Release).iter().all(|call| call.keep.is_zero()));
    other.release().await.unwrap();
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_answer_for_many_keys_comes_in_time_too() {
    let (store, locks) = one_by_one();
    let names: Vec<_> = (0..20).map(|n| format!("key/{n:02}")).collect();
    let _other = rival(&store, &names[19]).await;
    store.set(Method::Release, Gate::Never);
    let start = Instant::now();
    assert_eq!(kind(locks.lock(&names).timeout(secs(5)).acquire().await), Some(ErrorKind::Unavailable));
    assert!(start.elapsed() <= secs(5) + GRACE + TICK * 4, "{:?}", start.elapsed());

    let guard = locks.lock(&names[..19]).ttl(secs(60)).acquire().await.unwrap();
    let start = Instant::now();
    assert_eq!(kind(guard.release().await), Some(ErrorKind::Unavailable));
    assert!(start.elapsed() <= GRACE + TICK * 4, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn opposite_requests_do_not_deadlock() {
    let (store, locks) = one_by_one();
    let work = |keys: [&'static str; 3]| {
        let locks = locks.clone();
        tokio::spawn(async move {
            for _ in 0..50 {
                let guard = locks.lock(keys).acquire().await.unwrap();
                sleep(millis(3)).await;
                guard.release().await.unwrap();
            }
        })
    };
    let tasks = [work(["a", "b", "c"]), work(["c", "b", "a"]), work(["b", "a", "d"]), work(["d", "c", "a"])];
    for task in tasks {
        timeout(secs(600), task).await.expect("a deadlock").unwrap();
    }
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_that_is_lost_loses_them_all() {
    let (store, locks) = one_by_one();
    let guard = locks.lock(["a", "b", "c"]).acquire().await.unwrap();
    let middle = store.calls(Method::Acquire)[1].claims[0].clone();
    assert_ne!(store.memory().release(&middle, Duration::ZERO).await.unwrap(), Ownership::Lost);
    guard.lost().await;
    assert!(!guard.is_held());
    assert_eq!(guard.remaining(), Duration::ZERO);
    assert_eq!(kind(guard.release().await), Some(ErrorKind::Lost));
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_not_hidden_by_a_release_that_is_not_confirmed() {
    let (store, locks) = one_by_one();
    let guard = locks.lock(["a", "b"]).acquire().await.unwrap();
    let first = store.calls(Method::Acquire)[0].claims[0].clone();
    store.memory().release(&first, Duration::ZERO).await.unwrap();
    store.next(Method::Release, [Gate::Broken]);
    assert_eq!(kind(guard.run(async |_| Ok::<_, crate::Error>(())).await), Some(ErrorKind::Lost));
}

#[tokio::test(start_paused = true)]
async fn one_lost_on_the_way_is_no_reason_to_fail_a_refusal() {
    let (store, locks) = one_by_one();
    let _other = rival(&store, "b").await;
    let wait = tokio::spawn(locks.lock(["a", "b"]).timeout(secs(5)).acquire());
    sleep(secs(1)).await;
    // Taken away in the store: its release learns of it.
    let first = &store.calls(Method::Acquire)[0].claims[0];
    store.memory().release(first, Duration::ZERO).await.unwrap();
    assert_eq!(
        kind(wait.await.unwrap()),
        Some(ErrorKind::Timeout),
        "neither is held, and that is what a timeout says"
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_lost_while_another_is_waited_for_is_no_grant() {
    let (store, locks) = one_by_one();
    let other = locks.lock("b").acquire().await.unwrap();
    let wait = tokio::spawn(locks.lock(["a", "b"]).acquire());
    sleep(secs(1)).await;
    let first = store
        .calls(Method::Acquire)
        .into_iter()
        .rfind(|call| keys(std::slice::from_ref(call)) == ["a"])
        .unwrap();
    // Taken away in the store: the next renewal learns of it.
    store.memory().release(&first.claims[0], Duration::ZERO).await.unwrap();
    sleep(TTL).await;
    let asked = store.calls(Method::Acquire);
    let again = asked.iter().rfind(|call| keys(std::slice::from_ref(*call)) == ["a"]).unwrap();
    assert_ne!(again.owner(), first.owner(), "asked for again");
    other.release().await.unwrap();
    let guard = wait.await.unwrap().unwrap();
    assert!(guard.is_held());
    guard.release().await.unwrap();
    assert!(store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_key_lost_while_another_is_asked_for_makes_a_skip_unavailable() {
    let (store, locks) = one_by_one();
    store.next(Method::Acquire, [Gate::Ok, Gate::Late(TTL / 2)]);
    store.next(Method::Renew, [Gate::No]);
    assert_eq!(kind(locks.lock(["a", "b"]).try_acquire().await), Some(ErrorKind::Unavailable));
    locks.close().await;
    assert!(store.is_empty());
}

/// The place that the other one has is removed in the background.
#[tokio::test(start_paused = true)]
async fn a_key_lost_during_the_last_look_at_another_is_no_timeout() {
    let (store, locks) = one_by_one();
    let other = rival(&store, "b").await;
    // The renewal finds it lost, and the look is under way.
    let limit = TTL / 3 - millis(100);
    store.set(Method::Renew, Gate::No);
    let wait = tokio::spawn(locks.lock(["a", "b"]).timeout(limit).acquire());
    sleep(limit - millis(1)).await;
    store.set(Method::Acquire, Gate::Late(millis(500)));
    assert_eq!(kind(wait.await.unwrap()), Some(ErrorKind::Unavailable));
    locks.close().await;
    other.release().await.unwrap();
    assert!(store.is_empty());
}
