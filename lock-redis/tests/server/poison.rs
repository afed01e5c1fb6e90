//! What others leave under the names of the locks, and what they take away.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{Attempt, Backend, Claim, ErrorKind, Mode, Ownership, Result, Token};
use rstest::rstest;

use crate::help::{LONG, ask, claim, locker, server, store, within};

fn granted(attempt: Result<Attempt>) -> Token {
    match attempt {
        Ok(Attempt::Granted(grant)) => grant.token,
        other => panic!("it is free, but {other:?}"),
    }
}

#[rstest]
#[case::a_queue("SET lock:q:b x")]
#[case::the_counter("RPUSH lock:n x")]
#[case::no_number("SET lock:n x")]
#[case::not_a_number("SET lock:n nan")]
#[case::a_number_that_cannot_grow("SET lock:n 9007199254740992")]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_lock_is_an_error_and_nothing_is_half_done(#[case] poison: &str) {
    let server = server();
    let locks = locker(&server).await;
    ask::<redis::Value>(&server, poison).await;

    let skipped = within(locks.lock(["a", "b"]).try_acquire()).await.expect_err("poisoned");
    let waited = within(locks.lock(["a", "b"]).acquire()).await.expect_err("poisoned");
    for error in [skipped, waited] {
        assert_eq!(error.kind(), ErrorKind::Backend);
        let said = error.to_string();
        assert!(said.contains(r#""a", "b" on redis: "#) && said.contains("prefix"), "{said}");
    }
    locks.close().await;
    assert_eq!(ask::<u64>(&server, "DBSIZE").await, 1, "the poison, and nothing else");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_something_else_is_lost_and_takes_no_other_with_it() {
    let server = server();
    let store = store(&server).await;
    let claims: Vec<_> = ["a", "b", "c"].into_iter().map(|key| Arc::new(claim(key, LONG))).collect();
    for held in &claims {
        store.acquire(held).await.expect("granted");
        store.acquire(&claim(held.keys()[0].as_str(), LONG)).await.expect("a place behind it");
    }
    let (poisoned, queue) = (format!("lock:c:{}", claims[0].owner().to_hex()), "lock:q:b");
    for name in [&poisoned, queue] {
        ask::<u64>(&server, &format!("DEL {name}")).await;
        ask::<u64>(&server, &format!("RPUSH {name} x")).await;
    }
    let renewed: Vec<_> = store.renew(&claims).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(renewed, [Ownership::Lost, Ownership::Lost, Ownership::held(LONG)]);

    for claim in &claims[..2] {
        for error in [
            store.release(claim, Duration::ZERO).await.expect_err("poisoned"),
            store.acquire(claim).await.expect_err("poisoned"),
        ] {
            assert_eq!(error.kind(), ErrorKind::Backend, "{error}");
            let said = format!("{error:?}");
            assert!(said.contains("prefix") && !said.contains(&claim.owner().to_hex()), "{said}");
        }
    }
    assert_eq!(store.release(&claims[2], Duration::ZERO).await.unwrap(), Ownership::held(Duration::ZERO));
}

#[rstest]
#[case::a_text("SET lock:q:a x")]
#[case::a_list("RPUSH lock:q:a x")]
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_nobody_waits_for_and_is_something_else_is_lost(#[case] poison: &str) {
    let server = server();
    let store = store(&server).await;
    let held = Arc::new(claim("a", LONG));
    store.acquire(&held).await.expect("granted");
    ask::<u64>(&server, "DEL lock:q:a").await;
    ask::<redis::Value>(&server, poison).await;

    assert!(matches!(store.renew(std::slice::from_ref(&held)).await[..], [Ok(Ownership::Lost)]));
    for keep in [LONG, Duration::ZERO] {
        assert_eq!(store.release(&held, keep).await.unwrap(), Ownership::Lost);
    }
    let error = store.acquire(&held).await.expect_err("poisoned");
    assert_eq!(error.kind(), ErrorKind::Backend);
    assert!(error.to_string().contains("prefix"), "{error}");
}

/// Deletes a queue while two are in it, and has another claim take the key alone.
#[rstest]
#[case::of_one_key(&["a"])]
#[case::of_two(&["a", "b"])]
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_a_deleted_queue_alone_is_no_business_of_those_who_were_in_it(#[case] keys: &[&str]) {
    let server = server();
    let store = store(&server).await;
    let several = || Arc::new(Claim::new(keys, Mode::Exclusive, LONG).expect("a valid claim").queued());
    let (held, waiter, next) = (several(), several(), Arc::new(claim("a", LONG)));
    for claim in [&held, &waiter] {
        store.acquire(claim).await.expect("an answer");
    }
    ask::<u64>(&server, "DEL lock:q:a").await;
    let token = granted(store.acquire(&next).await);

    let renewed: Vec<_> =
        store.renew(&[held.clone(), next.clone()]).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(renewed, [Ownership::Lost, Ownership::held(LONG)]);
    assert_eq!(store.release(&held, Duration::ZERO).await.unwrap(), Ownership::Lost);
    assert!(matches!(store.acquire(&waiter).await, Ok(Attempt::Busy(_))), "whom that may have rung");
    assert_eq!(granted(store.acquire(&next).await), token);
    assert_eq!(store.release(&next, Duration::ZERO).await.unwrap(), Ownership::held(Duration::ZERO));
    granted(store.acquire(&waiter).await);
    store.release(&waiter, Duration::ZERO).await.expect("released");
    assert_eq!(ask::<u64>(&server, "DBSIZE").await, 1, "the counter");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_somebody_deleted_is_lost_and_one_waiter_gets_the_key() {
    let server = server();
    let store = store(&server).await;
    let [held, first, second] = [(); 3].map(|()| Arc::new(claim("a", LONG)));
    for claim in [&held, &first, &second] {
        store.acquire(claim).await.expect("an answer");
    }
    ask::<u64>(&server, "DEL lock:q:a").await;

    assert!(matches!(store.acquire(&second).await, Ok(Attempt::Granted(_))));
    assert!(matches!(store.acquire(&first).await, Ok(Attempt::Busy(_))));
    let renewed: Vec<_> =
        store.renew(&[held.clone(), second.clone()]).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(renewed, [Ownership::Lost, Ownership::held(LONG)]);
    for keep in [LONG, Duration::ZERO] {
        assert_eq!(store.release(&held, keep).await.unwrap(), Ownership::Lost);
    }
    assert_eq!(store.release(&second, Duration::ZERO).await.unwrap(), Ownership::held(Duration::ZERO));
    assert!(matches!(store.acquire(&first).await, Ok(Attempt::Granted(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_its_deleted_queue_again_leaves_nothing_of_before() {
    let server = server();
    let store = store(&server).await;
    let [held, waiter] = [(); 2].map(|()| claim("a", LONG));
    for claim in [&held, &waiter] {
        store.acquire(claim).await.expect("an answer");
    }
    ask::<u64>(&server, "DEL lock:q:a").await;
    granted(store.acquire(&held).await);
    assert_eq!(store.release(&waiter, Duration::ZERO).await.unwrap(), Ownership::Lost);
    assert_eq!(store.release(&held, Duration::ZERO).await.unwrap(), Ownership::held(Duration::ZERO));
    assert_eq!(ask::<u64>(&server, "DBSIZE").await, 1, "the counter");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_is_a_claims_name_makes_nothing_that_claims() {
    let server = server();
    let store = store(&server).await;
    let other = Arc::new(claim("a", LONG));
    let label = format!("lock:c:{}", other.owner().to_hex());
    let held = claim("a", LONG).labelled(label).expect("a valid label");
    granted(store.acquire(&held).await);
    assert!(matches!(store.renew(std::slice::from_ref(&other)).await[..], [Ok(Ownership::Lost)]));
    assert_eq!(store.release(&other, Duration::ZERO).await.unwrap(), Ownership::Lost);
    assert_eq!(store.release(&held, Duration::ZERO).await.unwrap(), Ownership::held(Duration::ZERO));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_second_lengthens_nobodys_claim() {
    let server = server();
    let store = store(&server).await;
    let held = claim("a", LONG);
    store.acquire(&held).await.expect("granted");
    ask::<u64>(&server, "PEXPIRE lock:q:a 60000").await;
    assert!(matches!(store.acquire(&claim("a", LONG)).await, Ok(Attempt::Busy(_))));
    let left: i64 = ask(&server, &format!("PTTL lock:c:{}", held.owner().to_hex())).await;
    assert!((1..=60_000).contains(&left), "{left}");
}

/// A server's clock that is set back makes what was written before lie far ahead.
#[rstest]
#[case::alone(0)]
#[case::with_one_behind_it(1)]
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_set_back_by_an_hour_keeps_a_lock_no_longer_than_its_ttl(#[case] behind: usize) {
    const TTL: Duration = Duration::from_secs(3);
    const HOUR: Duration = Duration::from_secs(3600);
    let server = server();
    let store = store(&server).await;
    let dead = claim("a", TTL);
    store.acquire(&dead).await.expect("granted");
    for _ in 0..behind {
        store.acquire(&claim("a", TTL)).await.expect("a place");
    }
    let name = format!("lock:c:{}", dead.owner().to_hex());
    for name in [&name, "lock:q:a"] {
        ask::<u64>(&server, &format!("PEXPIRE {name} {}", HOUR.as_millis())).await;
    }

    let waiter = claim("a", LONG);
    match store.acquire(&waiter).await.expect("an answer") {
        Attempt::Busy(busy) => assert!(busy.retry_after <= TTL, "{busy:?}"),
        other => panic!("it has just been taken, but {other:?}"),
    }
    assert!(ask::<i64>(&server, &format!("PTTL {name}")).await <= 3_000);
    let locks = lock_core::Locker::new(store.clone());
    store.release(&waiter, Duration::ZERO).await.expect("released");
    drop(within(locks.lock("a").acquire()).await.expect("granted after the ttl"));
}
