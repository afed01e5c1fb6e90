//! What may be wrong with a file, and what one learns about it from the connection itself.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use lock_core::{Attempt, Claim, ErrorKind, Mode, Ownership, Result, Token};
use rusqlite::Connection;
use rusqlite::trace::{TraceEvent, TraceEventCodes};

use super::{File, Stage};
use crate::clock::{monotonic, wall_micros};
use crate::connection::Patience;
use crate::scratch::{Scratch, claim};

/// A connection for good: to a new file, the first is not.
fn open(place: &Scratch) -> File {
    drop(File::open(&place.path, false).expect("it is made"));
    File::open(&place.path, false).expect("it opens")
}

fn acquire(file: &mut File, claim: &Claim) -> Result<Attempt> {
    file.transaction("here", Patience::Some, |steps| steps.acquire(claim)).map_err(|failure| failure.error)
}

fn release(file: &mut File, claim: &Claim) -> Result<Ownership> {
    let released = file.transaction("here", Patience::Some, |steps| steps.release(claim, Duration::ZERO));
    released.map(|(ownership, _)| ownership).map_err(|failure| failure.error)
}

fn renew(file: &mut File, claim: &Claim) -> Result<Ownership> {
    file.transaction("here", Patience::Some, |steps| steps.renew(claim)).map_err(|failure| failure.error)
}

fn token(file: &mut File, claim: &Claim) -> Token {
    match acquire(file, claim).expect("a look") {
        Attempt::Granted(grant) => grant.token,
        other => panic!("{claim:?}: {other:?}"),
    }
}

fn count(db: &Connection, table: &str) -> i64 {
    db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("a count")
}

#[test]
fn a_full_disk_is_unavailable_and_leaves_nothing_half_done() {
    let place = Scratch::new();
    let (mut file, plain) = (open(&place), place.plain());
    let no_room = |file: &File| {
        let pages: i64 =
            file.connection().pragma_query_value(None, "page_count", |row| row.get(0)).expect("a count");
        file.connection()
            .pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, i64>(0))
            .expect("a limit");
    };
    no_room(&file);
    let mut held = Vec::new();
    let (refused, error) = loop {
        let next = claim(&format!("{:0>400}", held.len()));
        match acquire(&mut file, &next) {
            Ok(_) => held.push(next),
            Err(error) => break (next, error),
        }
        assert!(held.len() < 1_000, "the limit is not felt");
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let message = error.to_string();
    assert!(message.contains("full") && message.contains("locks.db"), "{message}");
    let claims = i64::try_from(held.len()).expect("few");
    assert_eq!((count(&plain, "lock_claims"), count(&plain, "lock_queue")), (claims, claims));

    // Who has a lock can renew and release it, and the room is used again.
    assert_eq!(renew(&mut file, &refused).expect("an answer"), Ownership::Lost);
    for claim in &held {
        assert!(matches!(renew(&mut file, claim), Ok(Ownership::Held { .. })));
        assert!(matches!(release(&mut file, claim), Ok(Ownership::Held { .. })));
    }
    token(&mut file, &refused);
    assert!(!file.is_quick(), "the log goes into the database as soon as the thread has its turn");
}

#[test]
fn lock_tables_of_a_newer_version_are_refused() {
    let place = Scratch::new();
    drop(open(&place));
    place.plain().execute("UPDATE lock_meta SET version = 2", []).expect("an update");
    let error = File::open(&place.path, false).expect_err("a newer version");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let message = error.to_string();
    assert!(["locks.db", "version 2", "newer"].iter().all(|part| message.contains(part)), "{message}");
}

#[test]
fn a_damaged_file_is_an_error_that_says_so() {
    let place = Scratch::new();
    drop(open(&place));
    let mut bytes = std::fs::read(&place.path).expect("closed, all of it is there");
    bytes[4096..].fill(0xa5);
    std::fs::write(&place.path, bytes).expect("written");
    let error = File::open(&place.path, false).and_then(|mut file| acquire(&mut file, &claim("a")));
    let error = error.expect_err("damaged");
    assert_eq!(error.kind(), ErrorKind::Backend);
    let message = error.to_string();
    assert!(message.contains("locks.db is damaged") && message.contains("restore"), "{message}");
}

#[test]
fn another_boot_frees_everything_and_its_tokens_outgrow_the_old_ones() {
    let place = Scratch::new();
    let mut file = open(&place);
    let (old, elsewhere) = (claim("a"), claim("b"));
    let before = token(&mut file, &old);
    token(&mut file, &elsewhere);
    let floor = wall_micros();
    place.plain().execute("UPDATE lock_meta SET boot = 'another', last = 5", []).expect("an update");
    assert_eq!(renew(&mut file, &old).expect("an answer"), Ownership::Lost);
    assert_eq!((count(file.connection(), "lock_claims"), count(file.connection(), "lock_queue")), (0, 0));
    let after = token(&mut file, &claim("a"));
    assert!(after > before && after.get() >= floor.unsigned_abs(), "{after} after {before}, at {floor}");
    assert!(matches!(acquire(&mut file, &claim("a")), Ok(Attempt::Busy(_))), "that happens once");
}

#[test]
fn tokens_grow_after_another_boot_whose_clock_is_behind() {
    let place = Scratch::new();
    let mut file = open(&place);
    let ahead = wall_micros() + 3_600_000_000;
    place.plain().execute("UPDATE lock_meta SET boot = 'another', last = ?1", [ahead]).expect("an update");
    assert_eq!(token(&mut file, &claim("a")).get(), ahead.unsigned_abs() + 1);
}

#[test]
fn opening_raises_the_counter_to_the_clock() {
    let place = Scratch::new();
    let issued = token(&mut open(&place), &claim("a"));
    let older = "UPDATE lock_meta SET last = 7; DELETE FROM lock_claims; DELETE FROM lock_queue";
    place.plain().execute_batch(older).expect("an older copy");
    assert!(token(&mut open(&place), &claim("a")) > issued);
}

#[test]
fn a_refused_skip_writes_nothing() {
    let place = Scratch::new();
    let (mut file, plain) = (open(&place), place.plain());
    token(&mut file, &claim("a"));
    let version =
        || plain.pragma_query_value(None, "data_version", |row| row.get::<_, i64>(0)).expect("a number");
    let before = version();
    assert!(matches!(acquire(&mut file, &claim("a")), Ok(Attempt::Busy(_))));
    assert_eq!(version(), before);
    token(&mut file, &claim("b"));
    assert_ne!(version(), before, "and a grant does");
}

#[test]
fn what_lapsed_and_nobody_asks_for_is_swept_by_the_way() {
    let place = Scratch::new();
    let mut file = open(&place);
    token(&mut file, &claim("dead"));
    // As if it had lapsed, and the last sweep were long ago.
    file.connection().execute("UPDATE lock_claims SET expires = 1", []).expect("an update");
    file.swept = 0;
    token(&mut file, &claim("alive"));
    assert_eq!((count(file.connection(), "lock_claims"), count(file.connection(), "lock_queue")), (1, 1));
}

#[test]
fn a_released_claim_leaves_no_row() {
    let place = Scratch::new();
    let mut file = open(&place);
    let claims = ["a", "b", "a"].map(|key| claim(key).queued());
    for claim in &claims {
        acquire(&mut file, claim).expect("held or queued");
    }
    for claim in &claims {
        assert!(matches!(release(&mut file, claim), Ok(Ownership::Held { .. })));
    }
    assert_eq!((count(file.connection(), "lock_claims"), count(file.connection(), "lock_queue")), (0, 0));
}

#[test]
fn a_failure_says_where() {
    let place = Scratch::new();
    let (mut file, plain) = (open(&place), place.plain());
    let stage = |file: &mut File, patience| {
        let failed = file.transaction("here", patience, |steps| steps.acquire(&claim("a")));
        failed.map_err(|failure| (failure.at, failure.error.kind())).expect_err("a failure")
    };
    plain.execute_batch("BEGIN IMMEDIATE").expect("the write lock");
    assert_eq!(stage(&mut file, Patience::None), (Stage::Start, ErrorKind::Unavailable));
    plain.execute_batch("ROLLBACK").expect("no write lock");
    file.connection().commit_hook(Some(|| true)).expect("a hook that refuses");
    assert_eq!(stage(&mut file, Patience::None), (Stage::Commit, ErrorKind::Unavailable));
    // The connection was discarded; somebody in a hurry does not wait for another one.
    assert_eq!(stage(&mut file, Patience::None), (Stage::Start, ErrorKind::Unavailable));
    let trigger = "CREATE TRIGGER no BEFORE INSERT ON lock_queue BEGIN SELECT RAISE(ABORT, 'no'); END";
    plain.execute_batch(trigger).expect("a trigger");
    assert_eq!(stage(&mut file, Patience::Some), (Stage::Step, ErrorKind::Backend));
}

#[test]
fn a_file_that_comes_to_be_while_it_is_opened_is_opened_once_more() {
    let place = Scratch::new();
    let mut file = File::open(&place.path, false).expect("it is made");
    assert!(!file.is_current(), "there was no file to compare with");
    token(&mut file, &claim("a"));
    assert!(file.is_current());
}

thread_local! {
    static READER: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

fn begin_reading(reader: &Connection) {
    reader.execute_batch("BEGIN").expect("a transaction");
    count(reader, "lock_meta");
}

fn end_reading() {
    READER.with_borrow(|reader| {
        let reader = reader.as_ref().expect("a reader");
        if !reader.is_autocommit() {
            reader.execute_batch("ROLLBACK").expect("its end");
        }
    });
}

fn pairs(file: &mut File, pairs: usize) {
    let claim = claim("a");
    for _ in 0..pairs {
        token(file, &claim);
        release(file, &claim).expect("released");
    }
}

#[test]
fn a_log_that_is_never_copied_to_its_end_begins_anew_all_the_same() {
    let place = Scratch::new();
    let mut file = open(&place);
    READER.set(Some(place.plain()));
    // There is a reader whenever the log is copied, as if others wrote meanwhile; it ends while it is waited for.
    let note = |event: TraceEvent<'_>| {
        if matches!(event, TraceEvent::Stmt(statement, _) if statement.sql().contains("RESTART")) {
            end_reading();
        }
    };
    file.connection().trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(note));
    for _ in 0..20 {
        READER.with_borrow(|reader| begin_reading(reader.as_ref().expect("a reader")));
        pairs(&mut file, 200);
        file.checkpoint();
        end_reading();
    }
    READER.take();
    let log = place.path.with_extension("db-wal").metadata().expect("a log").len();
    // What 20 rounds write is 80 MB and more.
    assert!((1 << 20..32 << 20).contains(&log), "{log} bytes");
}

#[test]
fn who_reads_for_long_does_not_hold_up_the_others_for_long() {
    let place = Scratch::new();
    let (mut file, reader) = (open(&place), place.plain());
    begin_reading(&reader);
    pairs(&mut file, 1_000);
    let start = monotonic();
    file.checkpoint();
    assert!(monotonic() - start < 4_000_000_000, "the usual patience is five seconds");
    token(&mut file, &claim("b"));
}

#[test]
fn the_first_write_after_a_checkpoint_is_not_quick() {
    let place = Scratch::new();
    let mut file = open(&place);
    pairs(&mut file, 1);
    assert!(file.is_quick());
    file.checkpoint();
    assert!(!file.is_quick(), "it begins the log anew");
    pairs(&mut file, 1);
    assert!(file.is_quick());
}

thread_local! {
    static SEEN: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

#[test]
fn no_statement_of_a_call_reads_a_whole_table() {
    let place = Scratch::new();
    let mut file = open(&place);
    token(&mut file, &claim("warm"));
    // What ANALYZE makes of nearly empty tables must not mislead the planner later.
    file.connection().execute_batch("ANALYZE").expect("statistics");
    drop(file);
    let mut file = open(&place);
    file.swept = i64::MAX / 2;
    let note = |event: TraceEvent<'_>| {
        if let TraceEvent::Stmt(statement, _) = event {
            SEEN.with_borrow_mut(|seen| seen.insert(statement.sql().into_owned()));
        }
    };
    file.connection().trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(note));
    let mut claims = Vec::new();
    for mode in [Mode::Exclusive, Mode::Shared, Mode::permit_of(2).expect("two")] {
        for keys in [&["a", "b"][..], &["a"], &["b"]] {
            claims.push(Claim::new(keys, mode, Duration::from_secs(600)).expect("valid").queued());
        }
    }
    for claim in &claims {
        acquire(&mut file, claim).expect("a look");
        acquire(&mut file, claim).expect("another");
        renew(&mut file, claim).expect("a renewal");
    }
    for (n, claim) in claims.iter().enumerate() {
        let keep = Duration::from_secs(if n % 2 == 0 { 60 } else { 0 });
        file.transaction("here", Patience::Some, |steps| steps.release(claim, keep)).expect("a release");
    }
    let seen = SEEN.take();
    assert!(seen.len() > 10, "{seen:?}");
    for sql in seen
        .iter()
        .filter(|sql| ["SELECT", "UPDATE", "DELETE", "INSERT"].iter().any(|verb| sql.starts_with(verb)))
    {
        let mut plan = file.connection().prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a plan");
        let nothing = vec![rusqlite::types::Null; plan.parameter_count()];
        let steps = plan
            .query_map(rusqlite::params_from_iter(nothing), |row| row.get::<_, String>("detail"))
            .expect("its steps");
        for step in steps.map(|step| step.expect("text")) {
            // That one has a single row.
            assert!(!step.contains("SCAN") || step == "SCAN lock_meta", "{step}: {sql}");
        }
    }
}
