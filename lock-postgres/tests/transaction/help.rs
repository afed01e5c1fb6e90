//! What the tests say often.

use std::sync::LazyLock;
use std::time::Duration;

use conformance_tests::{Server, Software};
use lock_core::Locker;
use lock_postgres::Postgres;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool, Transaction};

/// How long anything may take that has to come.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

static SERVER: LazyLock<Server> = LazyLock::new(|| Server::with(Software::Postgres, &[]));

/// A database of the test's own: its pool, and a client of the locks in it.
pub(crate) async fn database() -> (PgPool, Postgres) {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let server = tokio::task::spawn_blocking(|| SERVER.url().to_owned()).await.expect("a server");
    let name = format!("test{}", NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    run(&pool(&server).await, &format!("CREATE DATABASE {name}")).await;
    let (place, _) = server.rsplit_once('/').expect("an address with a database");
    let url = format!("{place}/{name}");
    (pool(&url).await, within(Postgres::connect(&url)).await.expect("the server is there"))
}

async fn pool(url: &str) -> PgPool {
    PgPoolOptions::new().max_connections(8).connect(url).await.expect("the server is there")
}

pub(crate) fn locker(store: &Postgres) -> Locker {
    Locker::new(store.clone())
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("it takes no minute")
}

/// Runs SQL of the test's own.
pub(crate) async fn run(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await.expect("good SQL");
}

pub(crate) async fn number(pool: &PgPool, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(pool).await.expect("good SQL")
}

/// Waits until a question has this answer.
pub(crate) async fn until(pool: &PgPool, sql: &str, expected: i64) {
    within(async {
        while number(pool, sql).await != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// The server process behind a transaction.
pub(crate) async fn process(tx: &mut Transaction<'_, sqlx::Postgres>) -> i32 {
    sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut **tx).await.expect("the server is there")
}

/// Waits until a server process waits for another one.
pub(crate) async fn blocked(pool: &PgPool, process: i32) {
    until(pool, &format!("SELECT cardinality(pg_blocking_pids({process}))::bigint"), 1).await;
}
