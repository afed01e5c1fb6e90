//! Who does a call, and with whom it shares a transaction.

#![allow(clippy::disallowed_methods, reason = "a test measures how long a call blocks")]

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use lock_core::{Attempt, Bells, Claim, ErrorKind, Ownership, Result};
use rstest::rstest;
use tokio::sync::oneshot;

use super::{Answer, Call, Desk, Job};
use crate::file::File;
use crate::scratch::{Scratch, claim};
use crate::wakeups::Pipes;

/// A desk that has been used once, so that its file is open for good.
async fn desk(place: &Scratch, full_sync: bool) -> Desk {
    let (path, bells) = (place.path.clone(), Bells::default());
    let rings = bells.clone();
    let open = move || {
        let file = File::open(&path, full_sync)?;
        let listen = |path: &Path| Pipes::of(path)?.listen(path, "01".into(), rings);
        Ok((file, listen(&path).expect("a pipe")))
    };
    let desk = Desk::open(open, bells).await.expect("it opens");
    desk.call(renew(&claim("warm"))).await.expect("a renewal");
    desk
}

fn acquire(claim: &Claim) -> Call {
    Call::Acquire(claim.clone())
}

fn renew(claim: &Claim) -> Call {
    Call::Renew(vec![Arc::new(claim.clone())])
}

fn release(claim: &Claim) -> Call {
    Call::Release(claim.clone(), Duration::ZERO)
}

fn is_granted(answer: &Result<Answer>) -> bool {
    matches!(answer, Ok(Answer::Attempt(Attempt::Granted(_))))
}

type Calling<'a> = Pin<Box<dyn Future<Output = Result<Answer>> + Send + 'a>>;

fn poll(call: &mut Calling<'_>) -> Poll<Result<Answer>> {
    call.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Calls that all came while the file was in use, and how many transactions they took.
async fn together(desk: &Desk, calls: Vec<Call>) -> (Vec<Result<Answer>>, usize) {
    let mut calls: Vec<Calling<'_>> = calls.into_iter().map(|call| Box::pin(desk.call(call)) as _).collect();
    let before = {
        let file = desk.writer.file();
        for call in &mut calls {
            assert!(poll(call).is_pending(), "the file is in use");
        }
        file.written()
    };
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await);
    }
    (answers, desk.writer.file().written() - before)
}

/// The names of the threads that write from now on.
fn writers(desk: &Desk) -> Arc<Mutex<Vec<String>>> {
    let threads = Arc::new(Mutex::new(Vec::new()));
    let seen = threads.clone();
    let note = move || {
        let name = std::thread::current().name().unwrap_or("none").to_owned();
        seen.lock().expect("no panic").push(name);
        false
    };
    desk.writer.file().connection().commit_hook(Some(note)).expect("a hook");
    threads
}

#[tokio::test]
async fn calls_that_wait_for_the_file_share_a_transaction() {
    let place = Scratch::new();
    let desk = desk(&place, false).await;
    let claims: Vec<_> = (0..200).map(|n| claim(&n.to_string())).collect();
    let (answers, transactions) = together(&desk, claims.iter().map(acquire).collect()).await;
    assert!(answers.iter().all(is_granted));
    // The thread may have begun with what was there first.
    assert!(transactions <= 2, "{transactions} transactions");
}

#[tokio::test]
async fn a_call_that_fails_takes_none_with_it() {
    let place = Scratch::new();
    let desk = desk(&place, false).await;
    let poison = "CREATE TRIGGER poison BEFORE INSERT ON lock_queue WHEN new.key = 'poison'
                  BEGIN SELECT RAISE(ABORT, 'poisoned'); END";
    place.plain().execute_batch(poison).expect("a trigger");
    let keys = ["a", "b", "c", "poison", "d", "e"];
    let (answers, _) = together(&desk, keys.map(|key| acquire(&claim(key))).into()).await;
    for (key, answer) in keys.iter().zip(&answers) {
        match answer {
            Err(error) => {
                assert_eq!(*key, "poison", "{error}");
                assert_eq!(error.kind(), ErrorKind::Backend);
                assert!(error.to_string().contains("poisoned"), "{error}");
            }
            answer => assert!(is_granted(answer) && *key != "poison", "{key}"),
        }
    }
}

/// Each of them would have waited for seconds, one after the other.
#[tokio::test]
async fn calls_that_find_the_file_busy_fail_together() {
    let place = Scratch::new();
    let desk = desk(&place, false).await;
    let plain = place.plain();
    plain.execute_batch("BEGIN IMMEDIATE").expect("the write lock");
    let before = desk.writer.file().written();
    let (replies, answers): (Vec<_>, Vec<_>) = (0..20).map(|_| oneshot::channel()).unzip();
    let batch = replies.into_iter().map(|reply| Job { call: acquire(&claim("a")), reply }).collect();
    desk.writer.work(batch);
    for answer in answers {
        let error = answer.await.expect("an answer").err().expect("busy");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("locks.db is busy"), "{error}");
    }
    assert_eq!(desk.writer.file().written() - before, 1);
    plain.execute_batch("ROLLBACK").expect("no write lock");
    assert!(is_granted(&desk.call(acquire(&claim("a"))).await));
}

#[tokio::test]
async fn what_failed_to_commit_is_not_known_and_not_done_again() {
    let place = Scratch::new();
    let desk = desk(&place, false).await;
    let held = claim("a");
    assert!(is_granted(&desk.call(acquire(&held)).await));
    let before = {
        let file = desk.writer.file();
        file.connection().commit_hook(Some(|| true)).expect("a hook that refuses");
        file.written()
    };
    let (replies, answers): (Vec<_>, Vec<_>) = (0..2).map(|_| oneshot::channel()).unzip();
    let calls = [release(&held), acquire(&claim("b"))].into_iter().zip(replies);
    desk.writer.work(calls.map(|(call, reply)| Job { call, reply }).collect());
    for answer in answers {
        let error = answer.await.expect("an answer").err().expect("a failure");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("not known"), "{error}");
    }
    assert_eq!(desk.writer.file().written() - before, 1);
    let again = desk.call(release(&held)).await.expect("an answer");
    assert!(matches!(again, Answer::Ownership(Ownership::Held { .. })));
}

#[tokio::test]
async fn a_lone_call_that_fails_to_commit_is_not_done_again_either() {
    let place = Scratch::new();
    let desk = desk(&place, false).await;
    desk.writer.file().connection().commit_hook(Some(|| true)).expect("a hook that refuses");
    desk.writer.last.lock().expect("no panic").1 = 0;
    let error = desk.call(acquire(&claim("a"))).await.err().expect("a failure");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(place.plain().query_row("SELECT count(*) FROM lock_claims", [], |row| row.get(0)), Ok(0));
}

#[tokio::test]
async fn a_lone_caller_is_done_at_once() {
    let place = Scratch::new();
    let desk = desk(&place, false).await;
    let threads = writers(&desk);
    let claim = claim("a");
    for call in [acquire(&claim), release(&claim)] {
        assert!(poll(&mut (Box::pin(desk.call(call)) as _)).is_ready());
    }
    let own = std::thread::current().name().map(str::to_owned);
    assert_eq!(*threads.lock().expect("no panic"), [own.clone(), own].map(|name| name.expect("a test's")));
}

#[rstest]
#[case::with_a_flush(true, acquire(&claim("a")))]
#[case::a_renewal(false, renew(&claim("a")))]
#[tokio::test]
async fn what_may_take_long_is_left_to_the_thread(#[case] full_sync: bool, #[case] call: Call) {
    let place = Scratch::new();
    let desk = desk(&place, full_sync).await;
    let threads = writers(&desk);
    desk.call(call).await.expect("an answer");
    assert_eq!(*threads.lock().expect("no panic"), ["lock-sqlite"]);
}

#[tokio::test]
async fn a_lone_caller_does_not_block_its_executor_while_the_file_is_busy() {
    let place = Scratch::new();
    let desk = desk(&place, false).await;
    let plain = place.plain();
    plain.execute_batch("BEGIN IMMEDIATE").expect("the write lock");
    let start = std::time::Instant::now();
    let claim = claim("a");
    let mut call: Calling<'_> = Box::pin(desk.call(acquire(&claim)));
    assert!(poll(&mut call).is_pending());
    assert!(start.elapsed() < Duration::from_secs(4), "SQLite's patience is five seconds");
    plain.execute_batch("ROLLBACK").expect("no write lock");
    assert!(is_granted(&call.await));
}

#[tokio::test]
async fn the_log_does_not_grow_for_ever_under_a_lone_caller() {
    let place = Scratch::new();
    let desk = desk(&place, false).await;
    let mut log = place.path.clone().into_os_string();
    log.push("-wal");
    let size = || std::fs::metadata(&log).map_or(0, |log| log.len());
    let claims = [claim("a"), claim("b")];
    let mut largest = 0;
    for n in 0..4_000 {
        let claim = &claims[n % 2];
        assert!(is_granted(&desk.call(acquire(claim)).await));
        desk.call(release(claim)).await.expect("released");
        largest = largest.max(size());
    }
    assert!((1..8 << 20).contains(&largest), "{largest} bytes");
}
