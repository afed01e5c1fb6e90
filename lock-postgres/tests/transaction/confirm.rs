//! What a commit under a confirmed lock is worth, and what one without is not.

use std::time::Duration;

use lock_core::{ErrorKind, Guard, Locker, Memory};
use lock_postgres::Postgres;
use sqlx::{PgPool, Transaction};

use crate::help::{LIMIT, blocked, database, locker, number, process, run, until, within};

type Tx = Transaction<'static, sqlx::Postgres>;

/// Long enough for a few statements on a busy machine.
const BRIEF: Duration = Duration::from_secs(1);

/// A database with a table to write to.
async fn trades() -> (PgPool, Postgres) {
    let (pool, store) = database().await;
    run(&pool, "CREATE TABLE trades (token bigint)").await;
    (pool, store)
}

/// A lock that nobody renews. An answer that comes after its ttl is none, and it is asked for again.
async fn brief(locks: &Locker, ttl: Duration) -> Guard {
    locks.lock("bot").ttl(ttl).renewal(false).timeout(LIMIT).acquire().await.expect("it is free")
}

async fn lapsed(pool: &PgPool, guard: &Guard) {
    within(guard.lost()).await;
    let token = guard.token();
    let live =
        format!("SELECT count(*) FROM locks.claims WHERE number = {token} AND expires > clock_timestamp()");
    until(pool, &live, 0).await;
}

/// A transaction that has written, and not committed.
async fn written(pool: &PgPool, guard: &Guard) -> Tx {
    let mut tx = pool.begin().await.expect("the server is there");
    let token = i64::try_from(guard.token().get()).expect("a token is below 2^53");
    sqlx::query("INSERT INTO trades VALUES ($1)").bind(token).execute(&mut *tx).await.expect("good SQL");
    tx
}

async fn count(pool: &PgPool) -> i64 {
    number(pool, "SELECT count(*) FROM trades").await
}

#[tokio::test]
async fn the_successor_waits_for_a_transaction_that_confirmed() {
    let (pool, store) = trades().await;
    let (one, two) = (locker(&store), locker(&store));
    let guard = brief(&one, BRIEF).await;
    let mut tx = written(&pool, &guard).await;
    store.confirm(&mut tx, &guard).await.unwrap();

    lapsed(&pool, &guard).await;
    assert!(two.lock("bot").try_acquire().await.unwrap().is_none());
    tx.commit().await.unwrap();
    let successor = within(two.lock("bot").acquire()).await.unwrap();
    assert!(successor.token() > guard.token());
    assert_eq!(count(&pool).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_that_waits_is_served_after_the_commit() {
    let (pool, store) = trades().await;
    let (one, two) = (locker(&store), locker(&store));
    let guard = brief(&one, BRIEF).await;
    let mut tx = written(&pool, &guard).await;
    store.confirm(&mut tx, &guard).await.unwrap();
    let seen = pool.clone();
    let successor = tokio::spawn(async move {
        let _guard = two.lock("bot").acquire().await.unwrap();
        count(&seen).await
    });
    lapsed(&pool, &guard).await;
    until(&pool, "SELECT count(*) FROM locks.claims", 2).await;
    tx.commit().await.unwrap();
    assert_eq!(within(successor).await.unwrap(), 1, "it sees what was written before it");
}

#[tokio::test]
async fn a_lock_that_somebody_else_has_by_now_cannot_be_confirmed() {
    let (pool, store) = trades().await;
    let (one, two) = (locker(&store), locker(&store));
    let guard = brief(&one, BRIEF).await;
    let mut tx = written(&pool, &guard).await;
    lapsed(&pool, &guard).await;
    let _successor = two.lock("bot").try_acquire().await.unwrap().expect("it has lapsed");

    let error = store.confirm(&mut tx, &guard).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost);
    assert_eq!(error.to_string(), r#"confirm "bot" on postgres: the lock is not held any more"#);
    tx.rollback().await.unwrap();
    assert_eq!(count(&pool).await, 0);
}

#[tokio::test]
async fn a_lock_that_lapsed_cannot_be_confirmed_though_nobody_took_it() {
    let (pool, store) = trades().await;
    let guard = brief(&locker(&store), BRIEF).await;
    let mut tx = written(&pool, &guard).await;
    lapsed(&pool, &guard).await;
    assert_eq!(store.confirm(&mut tx, &guard).await.unwrap_err().kind(), ErrorKind::Lost);
}

#[tokio::test]
async fn without_confirm_both_write() {
    let (pool, store) = trades().await;
    let (one, two) = (locker(&store), locker(&store));
    let guard = brief(&one, BRIEF).await;
    let tx = written(&pool, &guard).await;
    lapsed(&pool, &guard).await;
    let successor = two.lock("bot").try_acquire().await.unwrap().expect("it has lapsed");
    written(&pool, &successor).await.commit().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(count(&pool).await, 2);
}

/// The successor is at the lock at the moment that the holder confirms: one of them is first.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_first_the_two_never_cross() {
    let (pool, store) = trades().await;
    let mut confirmed = 0;
    for _ in 0..30 {
        let (one, two) = (locker(&store), locker(&store));
        let guard = brief(&one, Duration::from_millis(60)).await;
        let mut tx = written(&pool, &guard).await;
        let seen = pool.clone();
        let before = count(&pool).await;
        let successor = tokio::spawn(async move {
            let _guard = two.lock("bot").acquire().await.unwrap();
            count(&seen).await
        });
        // The later in its lease, the closer the two.
        while guard.remaining() > Duration::from_millis(3) {
            tokio::task::yield_now().await;
        }
        let commits = store.confirm(&mut tx, &guard).await.is_ok();
        match commits {
            true => tx.commit().await.unwrap(),
            false => tx.rollback().await.unwrap(),
        }
        confirmed += i64::from(commits);
        assert_eq!(within(successor).await.unwrap(), before + i64::from(commits));
    }
    assert_eq!(count(&pool).await, confirmed);
}

#[tokio::test]
async fn a_transaction_that_takes_its_time_holds_up_no_renewal() {
    let (pool, store) = trades().await;
    let locks = locker(&store).with_ttl(Duration::from_secs(1));
    let mut guards = Vec::new();
    for name in ["bot", "a", "b"] {
        guards.push(locks.lock(name).acquire().await.unwrap());
    }
    let mut tx = written(&pool, &guards[0]).await;
    store.confirm(&mut tx, &guards[0]).await.unwrap();
    // Three ttls later it is as if nothing had been.
    let first = "SELECT (extract(epoch FROM min(expires)) * 1000)::bigint FROM locks.claims";
    let then = number(&pool, first).await + 3000;
    within(async {
        while number(&pool, first).await < then {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(guards.iter().all(Guard::is_held));
    tx.commit().await.unwrap();
    for guard in guards {
        guard.release().await.unwrap();
    }
}

#[tokio::test]
async fn a_release_under_an_open_transaction_waits_for_nobody_and_is_seen_through() {
    let (pool, store) = trades().await;
    let (one, two) = (locker(&store), locker(&store));
    let guard = one.lock("bot").acquire().await.unwrap();
    let mut tx = written(&pool, &guard).await;
    store.confirm(&mut tx, &guard).await.unwrap();
    assert_eq!(within(guard.release()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(two.lock("bot").try_acquire().await.unwrap().is_none());
    tx.commit().await.unwrap();
    within(two.lock("bot").acquire()).await.unwrap().release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirm_waits_for_whoever_removes_the_lock_and_is_refused() {
    let (pool, store) = trades().await;
    let guard = brief(&locker(&store), BRIEF).await;
    let mut remover = pool.begin().await.unwrap();
    sqlx::query("DELETE FROM locks.claims").execute(&mut *remover).await.unwrap();
    let mut tx = written(&pool, &guard).await;
    let waiting = process(&mut tx).await;
    let confirm = tokio::spawn(async move { store.confirm(&mut tx, &guard).await });
    blocked(&pool, waiting).await;
    remover.commit().await.unwrap();
    assert_eq!(within(confirm).await.unwrap().unwrap_err().kind(), ErrorKind::Lost);
}

#[tokio::test]
async fn several_keys_are_confirmed_together() {
    let (pool, store) = trades().await;
    let (one, two) = (locker(&store), locker(&store));
    let lock = one.lock(["a", "b"]).ttl(BRIEF).renewal(false);
    let guard = lock.acquire().await.unwrap();
    let mut tx = pool.begin().await.unwrap();
    store.confirm(&mut tx, &guard).await.unwrap();
    lapsed(&pool, &guard).await;
    for key in ["a", "b"] {
        assert!(two.lock(key).try_acquire().await.unwrap().is_none(), "{key}");
    }
}

#[tokio::test]
async fn a_guard_of_another_store_is_refused() {
    let (pool, store) = trades().await;
    let guard = Locker::new(Memory::new()).lock("bot").acquire().await.unwrap();
    let mut tx = pool.begin().await.unwrap();
    let error = store.confirm(&mut tx, &guard).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("the guard is of memory"), "{error}");
}
