//! Opening the database, and waiting for its one writer.

use std::cell::Cell;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Result, TransactionBehavior};

use crate::clock::{monotonic, wall_micros};

/// The schema this version reads and writes.
pub(crate) const VERSION: i64 = 1;

/// About how long somebody with patience waits, in nanoseconds.
const PATIENT: i64 = 5_000_000_000;

/// How long to wait for another process's transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Not at all: the caller has better things to do.
    None,
    /// About 50 ms: the others wait meanwhile.
    Little,
    /// About five seconds.
    Some,
}

thread_local! {
    /// For [`wait_for_writer`], which SQLite calls with nothing but a number.
    pub(crate) static PATIENCE: Cell<Patience> = const { Cell::new(Patience::Some) };
}

/// A connection, and the version of its lock tables. Of several who make a file at once, SQLite tells some that it is
/// busy without having them wait: each would wait for the other.
pub(crate) fn open(path: &Path, full_sync: bool) -> Result<(Connection, i64)> {
    let until = monotonic() + PATIENT;
    let mut tries = 0;
    loop {
        let opened =
            connect(path, full_sync).and_then(|mut db| migrate(&mut db).map(|version| (db, version)));
        let busy = |error: &rusqlite::Error| error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy);
        if !opened.as_ref().is_err_and(busy) || monotonic() >= until || !wait_for_writer(tries) {
            return opened;
        }
        tries += 1;
    }
}

fn connect(path: &Path, full_sync: bool) -> Result<Connection> {
    // No SQLITE_OPEN_URI: a path is a path, whatever it looks like.
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    if db.is_readonly(rusqlite::MAIN_DB)? {
        // Now, before there is a log that a reader cannot remove.
        let read_only = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY);
        return Err(rusqlite::Error::SqliteFailure(read_only, None));
    }
    db.busy_handler(Some(wait_for_writer))?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    db.pragma_update(None, "synchronous", if full_sync { "FULL" } else { "NORMAL" })?;
    db.set_prepared_statement_cache_capacity(32);
    Ok(db)
}

/// Waits for another process's transaction: they take microseconds, so look again soon, and never less often than those
/// who came later.
#[expect(
    clippy::disallowed_methods,
    reason = "the one wait of this crate, on its own thread: SQLite has no queue"
)]
fn wait_for_writer(tries: i32) -> bool {
    let most = match PATIENCE.get() {
        Patience::None => 0,
        Patience::Little => 140,
        Patience::Some => 9_000,
    };
    if tries >= most {
        return false;
    }
    match tries {
        0..4 => thread::yield_now(),
        4..40 => thread::sleep(Duration::from_micros(50)),
        _ => thread::sleep(Duration::from_micros(500)),
    }
    true
}

/// Makes the tables if there are none; answers their version.
fn migrate(db: &mut Connection) -> Result<i64> {
    let found = |db: &Connection| -> Result<Option<i64>> {
        let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'lock_meta'";
        match db.query_row(sql, [], |_| Ok(())).optional()? {
            Some(()) => db.query_row("SELECT version FROM lock_meta", [], |row| row.get(0)).map(Some),
            None => Ok(None),
        }
    };
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version = match found(&tx)? {
        Some(version) => version,
        None => {
            tx.execute_batch(include_str!("schema.sql"))?;
            VERSION
        }
    };
    if version != VERSION {
        return Ok(version);
    }
    // The counter starts again with every client, at the wall clock: so it outgrows what a restored file forgot.
    tx.execute("UPDATE lock_meta SET last = max(last, ?1)", [wall_micros()])?;
    tx.commit()?;
    Ok(version)
}
