//! Roles whose defaults are against us.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{Attempt, Backend, Claim, Locker, Mode};
use lock_postgres::Postgres;
use rstest::rstest;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Executor, PgPool};

use crate::help::{LONG, as_user, becomes, claim, database, number, run, store, text, unique, within};
use crate::order::{midway, somebody_waits};

#[derive(Clone, Copy, Debug)]
enum By {
    Address,
    Pool,
}

async fn stores(url: &str, by: By) -> (Vec<Postgres>, Option<PgPool>) {
    let mut stores = Vec::new();
    let pool = match by {
        By::Address => None,
        By::Pool => Some(PgPoolOptions::new().max_connections(4).connect(url).await.expect("a pool")),
    };
    for _ in 0..2 {
        let store = match &pool {
            None => within(Postgres::connect(url)).await,
            Some(pool) => within(Postgres::from_pool(pool)).await,
        };
        stores.push(store.expect("connected"));
    }
    (stores, pool)
}

#[rstest]
#[case::statement_timeout("statement_timeout = '100ms'")]
#[case::lock_timeout("lock_timeout = '100ms'")]
#[case::serializable("default_transaction_isolation = 'serializable'")]
#[case::repeatable_read("default_transaction_isolation = 'repeatable read'")]
#[case::read_only("default_transaction_read_only = on")]
#[case::idle_session_timeout("idle_session_timeout = '1s'")]
#[case::idle_in_transaction_session_timeout("idle_in_transaction_session_timeout = '1ms'")]
#[case::search_path("search_path = evil, pg_catalog")]
#[tokio::test(flavor = "multi_thread")]
async fn locks_work_under(#[case] setting: &str, #[values(By::Address, By::Pool)] by: By) {
    let url = database().await;
    let user = unique("hostile");
    let evil = "CREATE SCHEMA evil;
        CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT ''-infinity''::timestamptz';
        CREATE FUNCTION evil.pg_notify(text, text) RETURNS void LANGUAGE plpgsql AS 'BEGIN RAISE ''evil''; END';
        GRANT ALL ON SCHEMA evil TO public";
    run(&url, evil).await;
    run(&url, &format!("CREATE ROLE {user} LOGIN SUPERUSER; ALTER ROLE {user} SET {setting}")).await;
    let (stores, _pool) = stores(&as_user(&url, &user), by).await;
    let lockers: Vec<_> = stores.iter().map(|store| Locker::new(store.clone()).with_ttl(LONG)).collect();

    let pairs = async |round: u32| {
        let tasks: Vec<_> = (0..8_usize)
            .map(|n| {
                let locks = lockers[n % 2].clone();
                tokio::spawn(async move {
                    for _ in 0..round {
                        let guard = within(locks.lock("a").acquire()).await.expect("granted");
                        within(guard.release()).await.expect("it was held");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no error");
        }
    };
    pairs(10).await;
    let held = within(lockers[0].lock("held").ttl(Duration::from_secs(3)).acquire()).await.expect("granted");
    let processes = async || {
        let list = "SELECT coalesce(string_agg(pid::text, ' '), '') FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'lock-postgres'";
        text(&url, list).await
    };
    let before = processes().await;
    // Long enough for what the role has set.
    let mut transaction = midway(&url).await;
    let store = stores[0].clone();
    let waiter = tokio::spawn(async move { store.acquire(&claim("midway", LONG)).await });
    somebody_waits(&url).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!waiter.is_finished());
    within(transaction.execute("COMMIT")).await.expect("a commit");
    let attempt = within(waiter).await.expect("no panic");
    assert!(matches!(attempt, Ok(Attempt::Busy(_))), "{attempt:?}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = processes().await;
    assert!(before.split(' ').all(|process| after.contains(process)), "{before} became {after}");
    pairs(2).await;
    assert!(within(lockers[1].lock("held").try_acquire()).await.expect("an answer").is_none());
    within(held.release()).await.expect("it was renewed");
}

/// Plans are made while the table is empty, when to read all of it is cheapest, and used when it is not.
#[rstest]
#[case::nothing_of_the_kind("work_mem = '4MB'")]
#[case::no_index_scans("enable_indexscan = off")]
#[tokio::test(flavor = "multi_thread")]
async fn no_step_reads_the_whole_table_under(#[case] setting: &str, #[values(By::Address, By::Pool)] by: By) {
    let url = database().await;
    let user = unique("hostile");
    run(&url, &format!("CREATE ROLE {user} LOGIN SUPERUSER; ALTER ROLE {user} SET {setting}")).await;
    // What a session has read is known when it has ended.
    let scans = async |of: &str| {
        let sessions = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name <> 'test' AND backend_type = 'client backend'";
        becomes(&url, sessions, 0).await;
        number(&url, &format!("SELECT {of} FROM pg_stat_user_tables WHERE relid = 'locks.claims'::regclass"))
            .await
    };
    drop(store(&url).await);
    let before = (scans("seq_scan").await, scans("idx_scan").await);

    let (stores, pool) = stores(&as_user(&url, &user), by).await;
    let held = Arc::new(Claim::new(["a", "b"], Mode::Exclusive, LONG).expect("a valid claim").queued());
    let (next, brief) = (claim("b", LONG), claim("brief", Duration::from_millis(10)));
    let after_it = claim("brief", LONG);
    for (claim, granted) in [(&*held, true), (&next, false), (&next, false), (&brief, true)] {
        let attempt = within(stores[0].acquire(claim)).await.expect("an answer");
        assert_eq!(matches!(attempt, Attempt::Granted(_)), granted, "{attempt:?}");
    }
    within(async { while !matches!(stores[1].acquire(&after_it).await, Ok(Attempt::Granted(_))) {} }).await;
    for answer in within(stores[0].renew(std::slice::from_ref(&held))).await {
        answer.expect("it is held");
    }
    within(stores[0].release(&held, Duration::ZERO)).await.expect("it was held");
    within(stores[1].release(&next, LONG)).await.expect("it was the next");
    drop(stores);
    if let Some(pool) = pool {
        within(pool.close()).await;
    }
    assert!(scans("idx_scan").await > before.1 + 10, "it tells");
    assert_eq!(scans("seq_scan").await, before.0);
}
