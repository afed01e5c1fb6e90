//! The lock file among other files and tables, and what becomes of locks when it goes.

#![allow(clippy::disallowed_methods, reason = "a test watches what happens beside the locks")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lock_core::{Attempt, Backend, Claim, Grant, Locker, Mode, Ownership};
use lock_sqlite::{Options, Sqlite};
use rstest::rstest;
use rusqlite::Connection;
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(30);

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("locks.db");
    (directory, path)
}

fn claim(key: &str) -> Arc<Claim> {
    Arc::new(Claim::new(key, Mode::Exclusive, Duration::from_secs(600)).expect("valid"))
}

async fn granted(store: &Sqlite, claim: &Claim) -> Grant {
    match store.acquire(claim).await.expect("a look") {
        Attempt::Granted(grant) => grant,
        other => panic!("{other:?}"),
    }
}

async fn renewed(store: &Sqlite, claim: &Arc<Claim>) -> Ownership {
    store.renew(std::slice::from_ref(claim)).await.remove(0).expect("an answer")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn remove(path: &Path) {
    ["", "-wal", "-shm"].iter().for_each(|suffix| drop(fs::remove_file(beside(path, suffix))));
}

fn remove_the_database_alone(path: &Path) {
    fs::remove_file(path).expect("it is there");
}

/// By an older copy, in which another claim holds the key's neighbour and the counter is long behind.
fn replace(path: &Path) {
    let copy = beside(path, ".copy");
    let db = Connection::open(path).expect("it opens");
    db.execute("VACUUM INTO ?1", [copy.to_str().expect("UTF-8")]).expect("a copy");
    drop(db);
    let db = Connection::open(&copy).expect("it opens");
    let older = "DELETE FROM lock_claims; DELETE FROM lock_queue; UPDATE lock_meta SET last = 7";
    db.execute_batch(older).expect("as it was long ago");
    drop(db);
    remove(path);
    fs::rename(&copy, path).expect("it takes the place");
}

#[rstest]
#[case::removed(remove)]
#[case::removed_alone(remove_the_database_alone)]
#[case::replaced(replace)]
#[tokio::test]
async fn when_the_file_goes_its_locks_are_lost_and_tokens_still_grow(#[case] change: fn(&Path)) {
    let (_directory, path) = place();
    let (store, other) =
        (Sqlite::open(&path).await.expect("it opens"), Sqlite::open(&path).await.expect("it opens"));
    let old = claim("a");
    let token = granted(&store, &old).await.token;
    change(&path);
    assert_eq!(renewed(&store, &old).await, Ownership::Lost);
    let new = claim("a");
    assert!(granted(&store, &new).await.token > token);
    assert!(matches!(other.acquire(&old).await, Ok(Attempt::Busy(_))), "all see the new file");
    assert_eq!(renewed(&store, &new).await, Ownership::held(new.ttl()));
}

#[tokio::test]
async fn a_ring_arrives_also_after_the_file_was_replaced() {
    let (_directory, path) = place();
    let (here, there) =
        (Sqlite::open(&path).await.expect("it opens"), Sqlite::open(&path).await.expect("it opens"));
    granted(&here, &claim("a")).await;
    replace(&path);
    rings(&here, &there).await;
}

#[tokio::test]
async fn a_ring_arrives_at_another_client() {
    let (_directory, path) = place();
    let (here, there) =
        (Sqlite::open(&path).await.expect("it opens"), Sqlite::open(&path).await.expect("it opens"));
    rings(&here, &there).await;
}

async fn rings(here: &Sqlite, there: &Sqlite) {
    let (holder, waiter) = (claim("b"), (*claim("b")).clone().queued());
    granted(here, &holder).await;
    assert!(matches!(there.acquire(&waiter).await, Ok(Attempt::Busy(_))));
    let mut wakeups = there.wakeups(&waiter).await.expect("a bell");
    here.release(&holder, Duration::ZERO).await.expect("released");
    let ring = tokio::time::timeout(LONG, wakeups.next()).await;
    assert!(ring.expect("in time").is_some());
    granted(there, &waiter).await;
}

#[tokio::test]
async fn a_waiter_is_rung_where_it_asked_last() {
    let (_directory, path) = place();
    let (here, there) =
        (Sqlite::open(&path).await.expect("it opens"), Sqlite::open(&path).await.expect("it opens"));
    let (holder, waiter) = (claim("a"), (*claim("a")).clone().queued());
    granted(&here, &holder).await;
    for store in [&here, &there] {
        assert!(matches!(store.acquire(&waiter).await, Ok(Attempt::Busy(_))));
    }
    let mut wakeups = there.wakeups(&waiter).await.expect("a bell");
    here.release(&holder, Duration::ZERO).await.expect("released");
    assert!(tokio::time::timeout(LONG, wakeups.next()).await.expect("in time").is_some());
}

#[tokio::test]
async fn links_to_a_file_lead_to_the_same_locks_and_bells() {
    let (directory, path) = place();
    let here = Sqlite::open(&path).await.expect("it opens");
    let link = directory.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).expect("a link");
    let there = Sqlite::open(&link).await.expect("it opens");
    rings(&here, &there).await;
}

#[rstest]
#[case::fast(Options::default())]
#[case::flushed(Options::default().full_sync(true))]
#[tokio::test]
async fn locks_live_beside_a_users_own_tables(#[case] options: Options) {
    let (_directory, path) = place();
    let own = Connection::open(&path).expect("a database");
    own.execute_batch("CREATE TABLE trades (id INTEGER); INSERT INTO trades VALUES (1)").expect("a table");
    let locks = Locker::new(options.open(&path).await.expect("it opens"));
    let guard = locks.lock("a").acquire().await.expect("granted");

    // The user's transaction keeps the locks waiting, and then they go on.
    own.execute_batch("BEGIN IMMEDIATE; INSERT INTO trades VALUES (2)").expect("a transaction");
    let waiting = tokio::spawn({
        let locks = locks.clone();
        async move { locks.lock("b").acquire().await }
    });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished());
    own.execute_batch("COMMIT").expect("committed");
    let other = waiting.await.expect("no panic").expect("granted");
    other.release().await.expect("held");
    guard.release().await.expect("held");
    let trades = own.query_row("SELECT count(*) FROM trades", [], |row| row.get::<_, i64>(0));
    assert_eq!(trades, Ok(2));
    let left = "SELECT (SELECT count(*) FROM lock_claims) + (SELECT count(*) FROM lock_queue)";
    assert_eq!(own.query_row(left, [], |row| row.get::<_, i64>(0)), Ok(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_can_make_the_file_at_once() {
    for _ in 0..50 {
        let (_directory, path) = place();
        let opening: Vec<_> = (0..8).map(|_| tokio::spawn(Sqlite::open(path.clone()))).collect();
        let mut tokens = Vec::new();
        for (n, store) in opening.into_iter().enumerate() {
            let store = store.await.expect("no panic").expect("it opens");
            tokens.push(granted(&store, &claim(&n.to_string())).await.token);
        }
        assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
    }
}
