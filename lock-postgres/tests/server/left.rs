//! What stays in the database, and for how long.

use std::io;
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use lock_core::{Attempt, Backend, ErrorKind, Ownership};
use sqlx::Executor;

use crate::help::{becomes, claim, database, locker, number, queued, raw, run, store, within};

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Write;

impl io::Write for Write {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().expect("no writer panics").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn listen() {
    static LISTEN: Once = Once::new();
    LISTEN.call_once(|| {
        let log = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_ansi(false);
        log.with_writer(|| Write).init();
    });
}

fn log() -> String {
    String::from_utf8(LOG.lock().expect("no writer panics").clone()).expect("logs are text")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_stays_but_of_those_who_hold_or_wait() {
    let url = database().await;
    let (one, two) = (locker(&url).await, locker(&url).await);
    for locks in [&one, &two] {
        drop(within(locks.lock(["a", "b"]).acquire()).await.expect("granted"));
        locks.close().await;
    }
    let held = within(one.lock("a").acquire()).await.expect("granted");
    assert!(within(two.lock("a").try_acquire()).await.expect("an answer").is_none());
    within(two.lock("a").timeout(Duration::from_millis(1)).acquire()).await.expect_err("it is held");
    let given_up = tokio::spawn(two.lock("a").shared().acquire());
    let waiter = tokio::spawn(two.lock("a").permit_of(3).acquire());
    queued(&url, "a", 3).await;
    given_up.abort();
    queued(&url, "a", 2).await;
    within(held.release()).await.expect("it was held");
    within(within(waiter).await.expect("no panic").expect("granted").release()).await.expect("it was held");
    two.close().await;
    assert_eq!(number(&url, "SELECT count(*) FROM locks.claims").await, 0);
}

/// Its row is still there.
#[tokio::test(flavor = "multi_thread")]
async fn who_releases_what_has_lapsed_hears_that_it_was_lost() {
    let url = database().await;
    let store = store(&url).await;
    let lapsed = claim("a", Duration::from_millis(10));
    assert!(matches!(within(store.acquire(&lapsed)).await, Ok(Attempt::Granted(_))));
    becomes(&url, "SELECT count(*) FROM locks.claims WHERE expires <= clock_timestamp()", 1).await;
    assert_eq!(within(store.release(&lapsed, Duration::ZERO)).await.expect("an answer"), Ownership::Lost);
    assert_eq!(number(&url, "SELECT count(*) FROM locks.claims").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_skip_writes_nothing() {
    let url = database().await;
    run(&url, "CREATE EXTENSION pg_stat_statements").await;
    let locks = locker(&url).await;
    let _held = within(locks.lock("a").acquire()).await.expect("granted");
    let _waiter = tokio::spawn(locks.lock("a").acquire());
    queued(&url, "a", 2).await;
    let told = async |what: &str| {
        let sql =
            "SELECT sum(WHAT) FROM pg_stat_statements WHERE toplevel AND query ~ '^SELECT .*claims_(acquire|take)'
            AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())";
        number(&url, &sql.replace("WHAT", what)).await
    };
    let (calls, written) = (told("calls").await, told("wal_records").await);
    assert!(written > 0, "it tells");
    for _ in 0..10 {
        assert!(within(locks.lock("a").try_acquire()).await.expect("an answer").is_none());
        assert!(within(locks.lock("a").shared().try_acquire()).await.expect("an answer").is_none());
        assert!(
            within(locks.lock(["a", "b"]).permit_of(2).try_acquire()).await.expect("an answer").is_none()
        );
    }
    assert_eq!(told("calls").await, calls + 30);
    assert_eq!(told("wal_records").await, written);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lapsed_and_nobody_asks_for_is_removed() {
    let url = database().await;
    let dying = store(&url).await;
    for n in 0..20 {
        let left = claim(&format!("left/{n}"), Duration::from_millis(100));
        assert!(matches!(within(dying.acquire(&left)).await, Ok(Attempt::Granted(_))));
    }
    let locks = locker(&url).await;
    within(async {
        while number(&url, "SELECT count(*) FROM locks.claims").await > 0 {
            within(within(locks.lock("other").acquire()).await.expect("granted").release())
                .await
                .expect("held");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_snapshot_is_named_and_what_it_kept_is_gone_after_it() {
    listen();
    let url = database().await;
    run(&url, "CREATE TABLE theirs (n int)").await;
    let locks = locker(&url).await;
    let dead = "SELECT pg_stat_get_dead_tuples('locks.claims'::regclass)";
    let mut reader = raw(&url).await;
    reader.execute("SET application_name = 'the old reader'; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM theirs").await.expect("a snapshot");
    // The server would do it, too, but not as soon.
    run(&url, "ALTER TABLE locks.claims SET (autovacuum_enabled = off)").await;
    let mut writes = 0;
    let mut pairs = async || {
        let keys = (0..50).map(|n| {
            let locks = locks.clone();
            tokio::spawn(async move {
                let guard = within(locks.lock(format!("key/{n}")).acquire()).await.expect("granted");
                // A busy machine may take longer than a release waits for: then it goes on in the background.
                if let Err(error) = within(guard.release()).await {
                    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                }
            })
        });
        for pair in keys.collect::<Vec<_>>() {
            pair.await.expect("no panic");
        }
        writes += 100;
        tokio::time::sleep(Duration::from_millis(100)).await;
        writes
    };
    let start = Instant::now();
    while !log().contains("the old reader") {
        let writes = pairs().await;
        assert!(number(&url, dead).await <= writes, "more than was written");
        assert!(start.elapsed() < Duration::from_secs(90), "nobody said whose snapshot it is: {}", log());
    }
    assert!(number(&url, dead).await > 1000);
    reader.execute("COMMIT").await.expect("it ends");
    let start = Instant::now();
    while number(&url, dead).await > 1000 {
        pairs().await;
        assert!(start.elapsed() < Duration::from_secs(60), "what is dead stays");
    }
}
