//! Advisory locks by key.

use lock_core::ErrorKind;
use lock_postgres::{lock_in, try_lock_in};

use crate::help::{blocked, database, locker, process, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_transaction_waits_for_the_end_of_the_first() {
    let (pool, _) = database().await;
    let mut first = pool.begin().await.unwrap();
    lock_in(&mut first, "a").await.unwrap();

    let mut second = pool.begin().await.unwrap();
    let waiting = process(&mut second).await;
    let second = tokio::spawn(async move { lock_in(&mut second, ["b", "a"]).await });
    blocked(&pool, waiting).await;
    assert!(!second.is_finished());
    first.commit().await.unwrap();
    within(second).await.unwrap().unwrap();
}

#[tokio::test]
async fn who_tries_gets_all_of_the_keys_or_none() {
    let (pool, _) = database().await;
    let mut first = pool.begin().await.unwrap();
    assert!(try_lock_in(&mut first, ["c", "d"]).await.unwrap());

    let mut second = pool.begin().await.unwrap();
    assert!(!try_lock_in(&mut second, ["a", "b", "c"]).await.unwrap());
    let mut third = pool.begin().await.unwrap();
    assert!(try_lock_in(&mut third, ["a", "b"]).await.unwrap());

    drop(first);
    third.rollback().await.unwrap();
    within(async { while !try_lock_in(&mut second, ["a", "b", "c"]).await.unwrap() {} }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_want_the_same_keys_in_another_order_all_finish() {
    let (pool, _) = database().await;
    let all = (0..8).map(|n| {
        let pool = pool.clone();
        tokio::spawn(async move {
            for _ in 0..25 {
                let mut tx = pool.begin().await.unwrap();
                let keys = if n % 2 == 0 { ["a", "b", "c"] } else { ["c", "b", "a"] };
                lock_in(&mut tx, keys).await.unwrap();
                tx.commit().await.unwrap();
            }
        })
    });
    for one in all.collect::<Vec<_>>() {
        within(one).await.unwrap();
    }
}

#[tokio::test]
async fn a_lock_with_a_lease_of_the_same_name_is_another() {
    let (pool, store) = database().await;
    let guard = locker(&store).lock("a").try_acquire().await.unwrap();
    assert!(guard.is_some());
    let mut tx = pool.begin().await.unwrap();
    assert!(try_lock_in(&mut tx, "a").await.unwrap());
}

#[tokio::test]
async fn what_no_key_can_be_is_refused_before_anything_is_sent() {
    let (pool, _) = database().await;
    let mut tx = pool.begin().await.unwrap();
    assert_eq!(lock_in(&mut tx, "").await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(try_lock_in(&mut tx, ["a", "b\0"]).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert!(try_lock_in(&mut tx, "a").await.unwrap());
}
