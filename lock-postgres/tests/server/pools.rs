//! Connections that are not the client's alone: the application's pool, and PgBouncer's.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use conformance_tests::Server;
use lock_core::{Attempt, Backend, Locker};
use lock_postgres::{Options, Postgres};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Executor, PgPool};

use crate::help::{LONG, claim, database, locker, number, raw, server, within};

/// So many tasks that all want one lock; never two at once.
async fn contend(lockers: &[Locker], key: &'static str, tasks: usize) {
    let inside = Arc::new(AtomicUsize::new(0));
    let contend = |n: usize| {
        let (locks, inside) = (lockers[n % lockers.len()].clone(), inside.clone());
        tokio::spawn(async move {
            let guard = within(locks.lock(key).acquire()).await.expect("granted");
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at once");
            tokio::task::yield_now().await;
            inside.fetch_sub(1, Ordering::SeqCst);
            within(guard.release()).await.expect("it was held");
        })
    };
    for task in (0..tasks).map(contend).collect::<Vec<_>>() {
        task.await.expect("no error");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_wait_by_way_of_a_pool_of_one() {
    let url = database().await;
    let pool = PgPoolOptions::new().max_connections(1).connect(&url).await.expect("a pool");
    let locks = Locker::new(within(Postgres::from_pool(&pool)).await.expect("connected")).with_ttl(LONG);
    let held = within(locks.lock("held").ttl(Duration::from_secs(6)).acquire()).await.expect("granted");
    contend(std::slice::from_ref(&locks), "a", 200).await;
    within(held.release()).await.expect("it was renewed");
    // A connection for each waiter is not what they took.
    let connections = number(
        &url,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name <> 'test'",
    );
    assert!(connections.await <= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_future_that_is_not_polled_keeps_no_connection_of_a_pool() {
    let url = database().await;
    let pool = PgPoolOptions::new().max_connections(1).connect(&url).await.expect("a pool");
    let store = within(Postgres::from_pool(&pool)).await.expect("connected");
    let one = claim("a", LONG);
    let attempt = left_with_a_connection(&pool, store.acquire(&one)).await;
    assert!(matches!(attempt, Ok(Attempt::Granted(_))), "{attempt:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_connects_and_is_not_polled_keeps_no_connection_of_a_pool() {
    let url = database().await;
    let pool = PgPoolOptions::new().max_connections(1).connect(&url).await.expect("a pool");
    left_with_a_connection(&pool, Postgres::from_pool(&pool)).await.expect("connected");
}

/// Polls a future until it has the one connection of a pool, or has had it, and leaves it so until somebody else has had that.
/// Its answer.
async fn left_with_a_connection<F: Future>(pool: &PgPool, future: F) -> F::Output {
    let mut future = Box::pin(future);
    drop(within(pool.acquire()).await.expect("given back by whoever connected"));
    within(async {
        while pool.num_idle() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut answer = None;
    while answer.is_none() && pool.num_idle() > 0 {
        let once = |context: &mut Context<'_>| match future.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => Poll::Ready(None),
        };
        answer = poll_fn(once).await;
        tokio::task::yield_now().await;
    }
    drop(within(pool.acquire()).await.expect("the pool's one connection"));
    if let Some(answer) = answer { answer } else { within(future).await }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pools_connections_are_given_back_as_they_were() {
    let url = database().await;
    let pool = PgPoolOptions::new().max_connections(1).connect(&url).await.expect("a pool");
    let settings = async || -> String {
        let sql = "SELECT string_agg(name || '=' || setting, '; ' ORDER BY name) FROM pg_settings
            WHERE name NOT LIKE 'plpgsql.%'";
        let settings = sqlx::query_scalar(sql).fetch_one(&pool).await.expect("settings");
        let statements: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_prepared_statements WHERE statement ~ 'claims' AND statement !~ 'pg_prepared'")
            .fetch_one(&pool)
            .await
            .expect("statements");
        assert_eq!(statements, 0);
        settings
    };
    let before = settings().await;
    let store = within(Postgres::from_pool(&pool)).await.expect("connected");
    let locks = Locker::new(store).with_ttl(LONG);
    contend(&[locks], "a", 10).await;
    let after = settings().await;
    let changed: Vec<_> = after.split("; ").filter(|setting| !before.contains(setting)).collect();
    assert!(changed.is_empty(), "{changed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_work_behind_a_transaction_pooler() {
    let behind = server();
    let pooler = Server::pgbouncer(&behind, &[]);
    // Two clients with other statements by the same names: what one prepares, the other must not run.
    let one = within(Postgres::connect(pooler.url())).await.expect("connected");
    let two = within(Options::default().schema("other").connect(pooler.url())).await.expect("connected");
    assert!(!one.profile().pushed && !two.profile().pushed);
    let pooled = [Locker::new(one).with_ttl(LONG), Locker::new(two).with_ttl(LONG)];
    let direct = locker(behind.url()).await;
    let [first, second] = &pooled;
    let beside = [first.clone(), direct.clone()];
    tokio::join!(contend(&beside, "a", 20), contend(std::slice::from_ref(second), "a", 20));

    let held = within(first.lock("held").ttl(Duration::from_secs(6)).acquire()).await.expect("granted");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(within(direct.lock("held").try_acquire()).await.expect("an answer").is_none());
    assert!(within(second.lock("held").try_acquire()).await.expect("an answer").is_some());
    within(held.release()).await.expect("it was renewed");
}

/// Each connection of the client could always meet the same of two.
#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_gives_its_sessions_in_turn_is_noticed() {
    let behind = server();
    let settings = ["server_round_robin = 1", "ignore_startup_parameters = extra_float_digits"];
    let pooler = Server::pgbouncer(&behind, &settings);
    let (mut one, mut two) = (raw(pooler.url()).await, raw(pooler.url()).await);
    for sql in ["BEGIN; SELECT 1", "COMMIT"] {
        within(one.execute(sql)).await.expect("a session");
        within(two.execute(sql)).await.expect("another one");
    }
    assert!(!within(Postgres::connect(pooler.url())).await.expect("connected").profile().pushed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_connection_is_pushed() {
    let url = database().await;
    assert!(crate::help::store(&url).await.profile().pushed);
    let pool = PgPoolOptions::new().max_connections(1).connect(&url).await.expect("a pool");
    assert!(within(Postgres::from_pool(&pool)).await.expect("connected").profile().pushed);
}
