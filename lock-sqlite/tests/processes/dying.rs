//! Processes that are killed.

use std::collections::HashSet;
use std::path::Path;

use lock_core::Locker;
use lock_sqlite::Sqlite;
use rusqlite::Connection;

use crate::child::{Child, LONG};
use crate::roles::{TTL, block_on};

/// Two take and leave locks all the time; one of them is killed in the middle, twenty times.
pub(crate) fn a_killed_process_corrupts_and_blocks_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("locks.db");
    let (mut random, mut seen) = (fastrand::Rng::with_seed(7), HashSet::new());
    let survivor = Child::start("churn", &path);
    for round in 0..20 {
        let victim = Child::start("churn", &path);
        let lines: Vec<_> = (0..random.usize(1..100)).map(|_| victim.line()).collect();
        note(&mut seen, lines.into_iter().chain(victim.kill()));
        // The other goes on, also with what the dead one held.
        note(&mut seen, (0..50).map(|_| survivor.line()));
        assert!(is_intact(&path), "round {round}");
    }
    note(&mut seen, survivor.kill());
    block_on(async {
        let locks = Locker::new(Sqlite::open(&path).await.expect("it opens")).with_ttl(TTL * 100);
        let guard = locks.lock(["a", "b", "c"]).timeout(LONG).acquire().await.expect("granted");
        assert!(seen.iter().all(|token| *token < guard.token().get()));
        guard.release().await.expect("held");
    });
}

/// Remembers one process's tokens: greater and greater, and nobody else's.
fn note(seen: &mut HashSet<u64>, lines: impl IntoIterator<Item = String>) {
    let mut last = 0;
    for line in lines {
        // The last line of the dead may be cut short.
        let Some(token) = line.parse().ok().filter(|token: &u64| *token > 1 << 50) else { continue };
        assert!(token > last && seen.insert(token), "{token} after {last}");
        last = token;
    }
}

fn is_intact(path: &Path) -> bool {
    let db = Connection::open(path).expect("it opens");
    db.busy_timeout(LONG).expect("a timeout");
    db.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)).expect("a check") == "ok"
}

pub(crate) fn the_pipe_of_a_killed_process_is_swept() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("locks.db");
    let pipes = || std::fs::read_dir(directory.path().join("locks.db-bells")).expect("a directory").count();
    let child = Child::start("hold", &path);
    child.expect("open");
    assert_eq!(pipes(), 1);
    child.kill();
    assert_eq!(pipes(), 1, "the dead do not clean up");
    block_on(async {
        let store = Sqlite::open(&path).await.expect("it opens");
        assert_eq!(pipes(), 1);
        drop(store);
    });
    crate::counting::until(|| pipes() == 0);
}
