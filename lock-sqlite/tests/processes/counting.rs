//! Processes that work side by side.

use std::time::Duration;

use lock_core::{Claim, Locker};
use lock_sqlite::Sqlite;

use crate::child::{Child, LONG};
use crate::roles::{ROUNDS, block_on};

pub(crate) fn no_update_is_lost_between_processes() {
    const PROCESSES: usize = 4;
    let directory = tempfile::tempdir().expect("a directory");
    let (path, counter) = (directory.path().join("locks.db"), directory.path().join("counter"));
    std::fs::write(&counter, "0").expect("written");
    let children: Vec<_> = (0..PROCESSES).map(|_| Child::start("count", &path)).collect();
    let mut tokens = Vec::new();
    for child in &children {
        let own: Vec<u64> = (0..ROUNDS).map(|_| child.line().parse().expect("a token")).collect();
        assert!(own.is_sorted_by(|one, next| one < next), "{own:?}");
        tokens.extend(own);
    }
    assert_eq!(std::fs::read_to_string(&counter).expect("a counter"), (PROCESSES * ROUNDS).to_string());
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), PROCESSES * ROUNDS, "no token twice");
}

pub(crate) fn a_ring_arrives_at_another_process() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("locks.db");
    block_on(async {
        let store = Sqlite::open(&path).await.expect("it opens");
        let locks = Locker::new(store).with_ttl(Claim::MAX_TTL);
        let guard = locks.lock("a").acquire().await.expect("granted");
        let child = Child::start("wait", &path);
        child.expect("waiting");
        let plain = rusqlite::Connection::open(&path).expect("it opens");
        until(|| plain.query_row("SELECT count(*) FROM lock_claims", [], |row| row.get(0)) == Ok(2));
        guard.release().await.expect("held");
        child.expect("granted");
    });
}

pub(crate) fn until(mut done: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !done() {
        assert!(start.elapsed() < LONG, "it does not happen");
        std::thread::sleep(Duration::from_millis(1));
    }
}
