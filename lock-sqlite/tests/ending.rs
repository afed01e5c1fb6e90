//! What is left of a client when it has gone: nothing. One test, alone in its process, so that it can count threads.

#![allow(clippy::disallowed_methods, reason = "a test looks again until it sees the end of threads")]

use std::fs;
use std::time::{Duration, Instant};

use lock_core::Locker;
use lock_sqlite::Sqlite;

fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux has it");
    // A thread that ends between the two has no name any more.
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("lock-sqlite")).count()
}

fn until_no_thread_is_left() {
    let start = Instant::now();
    while threads() > 0 {
        assert!(start.elapsed() < Duration::from_secs(30), "{} threads are left", threads());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_client_that_has_gone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("locks.db");

    let failing = directory.path().join("words.db");
    fs::write(&failing, "no database ".repeat(1_000)).expect("written");
    Sqlite::open(&failing).await.expect_err("no database");
    until_no_thread_is_left();

    // Nor of one whose opening was given up.
    let mut opening = Box::pin(Sqlite::open(path.clone()));
    let waker = std::task::Waker::noop();
    assert!(opening.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    drop(opening);
    tokio::task::yield_now().await;

    let mut lockers = Vec::new();
    for key in ["a", "b", "c"] {
        let locks = Locker::new(Sqlite::open(&path).await.expect("it opens"));
        drop(locks.lock(key).acquire().await.expect("granted"));
        locks.close().await;
        lockers.push(locks);
    }
    assert!(threads() >= 6);
    drop(lockers);
    until_no_thread_is_left();

    let log = fs::metadata(directory.path().join("locks.db-wal")).map_or(0, |log| log.len());
    assert_eq!(log, 0, "the log is in the database");
    let bells = fs::read_dir(directory.path().join("locks.db-bells")).expect("the directory stays");
    assert_eq!(bells.count(), 0, "no pipe is left");
}
