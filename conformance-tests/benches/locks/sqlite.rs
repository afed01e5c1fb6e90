//! The bare driver: a lock as a row, taken with an INSERT and given back with a DELETE.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

/// A connection with the same settings as the backend's, behind a mutex, as a service without this library might
/// have it.
#[derive(Clone)]
pub(crate) struct Bare(Arc<Mutex<Connection>>);

impl Bare {
    pub(crate) fn open(path: &Path, full_sync: bool) -> Self {
        let db = Connection::open(path).expect("the bare driver opens the file");
        let synchronous = if full_sync { "FULL" } else { "NORMAL" };
        db.pragma_update(None, "journal_mode", "WAL").expect("WAL");
        db.pragma_update(None, "synchronous", synchronous).expect("synchronous");
        db.busy_timeout(std::time::Duration::from_secs(5)).expect("a busy timeout");
        let sql = "CREATE TABLE IF NOT EXISTS bare (key TEXT PRIMARY KEY, owner BLOB, expires INTEGER) WITHOUT ROWID";
        db.execute(sql, []).expect("a table");
        Self(Arc::new(Mutex::new(db)))
    }

    pub(crate) fn pair(&self, key: &str) {
        assert!(self.take(key), "nobody else takes it");
        self.give(key);
    }

    /// Takes a lock if it is free, or its holder's time is over.
    pub(crate) fn take(&self, key: &str) -> bool {
        let take = "INSERT INTO bare VALUES (?1, randomblob(16), unixepoch() + 30)
                    ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, expires = excluded.expires
                    WHERE expires < unixepoch()";
        self.run(take, key) == 1
    }

    pub(crate) fn give(&self, key: &str) {
        self.run("DELETE FROM bare WHERE key = ?1", key);
    }

    fn run(&self, sql: &str, key: &str) -> usize {
        let db = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        db.prepare_cached(sql)
            .and_then(|mut statement| statement.execute([key]))
            .expect("the bare driver writes")
    }
}
