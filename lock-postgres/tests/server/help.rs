//! What the tests say often.

use std::sync::OnceLock;
use std::time::Duration;

use conformance_tests::{Server, Software};
use lock_core::{Claim, Locker, Mode};
use lock_postgres::Postgres;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, PgConnection, Row};

/// How long anything may take that has to come.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A ttl that no test outlasts.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// Waits for something that has to come.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("it takes no minute")
}

/// A server of the test's own, to kill and start again.
pub(crate) fn server() -> Server {
    Server::with(Software::Postgres, &["-c", "shared_preload_libraries=pg_stat_statements"])
}

/// The server of those tests that do it no harm. It ends with the process.
pub(crate) fn shared() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(server)
}

/// The address of a new database on the shared server.
pub(crate) async fn database() -> String {
    let name = unique("db");
    run(shared().url(), &format!("CREATE DATABASE {name}")).await;
    let (server, _) = shared().url().rsplit_once('/').expect("an address has a database");
    format!("{server}/{name}")
}

/// Calls of the steps since this was asked last; house is kept by the clock.
pub(crate) async fn calls(url: &str) -> i64 {
    let calls = "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE toplevel AND query ~ '^SELECT [^ ]*claims_'
        AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())";
    number(url, calls).await
}

/// The address of a new database in which calls are counted.
pub(crate) async fn counted() -> String {
    let url = database().await;
    run(&url, "CREATE EXTENSION pg_stat_statements").await;
    url
}

/// The same address with another user.
pub(crate) fn as_user(url: &str, user: &str) -> String {
    url.replace("//postgres@", &format!("//{user}@"))
}

/// A name that nothing else on the server has.
pub(crate) fn unique(what: &str) -> String {
    format!("{what}_{:016x}", getrandom::u64().expect("random numbers"))
}

pub(crate) async fn store(url: &str) -> Postgres {
    within(Postgres::connect(url)).await.expect("the server is there")
}

pub(crate) async fn locker(url: &str) -> Locker {
    Locker::new(store(url).await).with_ttl(LONG)
}

/// A claim that waits.
pub(crate) fn claim(key: &str, ttl: Duration) -> Claim {
    Claim::new(key, Mode::Exclusive, ttl).expect("a valid claim").queued()
}

/// A connection beside the library's.
pub(crate) async fn raw(url: &str) -> PgConnection {
    let options = url.parse::<PgConnectOptions>().expect("an address").application_name("test");
    within(options.connect()).await.expect("the server is there")
}

/// Has the server do something.
pub(crate) async fn run(url: &str, sql: &str) {
    within(raw(url).await.execute(AssertSqlSafe(sql))).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Asks the server for a number.
pub(crate) async fn number(url: &str, sql: &str) -> i64 {
    let sql = format!("SELECT ({sql})::bigint");
    let row = within(sqlx::query(AssertSqlSafe(&*sql)).fetch_one(&mut raw(url).await)).await;
    row.and_then(|row| row.try_get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Asks the server for a text.
pub(crate) async fn text(url: &str, sql: &str) -> String {
    let sql = format!("SELECT ({sql})::text");
    let row = within(sqlx::query(AssertSqlSafe(&*sql)).fetch_one(&mut raw(url).await)).await;
    row.and_then(|row| row.try_get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Waits until the server answers a question with this number.
pub(crate) async fn becomes(url: &str, sql: &str, expected: i64) {
    within(async {
        while number(url, sql).await != expected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// Waits until that many claims are in a key's queue.
pub(crate) async fn queued(url: &str, key: &str, count: i64) {
    becomes(
        url,
        &format!("SELECT count(*) FROM locks.claims WHERE key = convert_to('{key}', 'UTF8')"),
        count,
    )
    .await;
}

/// Cuts every connection of the library.
pub(crate) async fn cut(url: &str) {
    let cut = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE application_name = 'lock-postgres' AND datname = current_database()";
    assert!(number(url, cut).await > 0);
}
