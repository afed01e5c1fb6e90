//! SQLite, and its bare driver: a lock as a row, taken with an INSERT and given back with a DELETE.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{Backend, Result};
use lock_sqlite::Options;
use rusqlite::Connection;

use crate::stats::now;
use crate::store::{Bare, Contender, Store};

/// How often the bare driver looks, which nobody wakes.
const POLL: Duration = Duration::from_millis(1);

pub(crate) struct Sqlite {
    url: String,
    path: PathBuf,
    full_sync: bool,
}

impl Sqlite {
    pub(crate) fn new(url: &str, path: PathBuf, full_sync: bool) -> Self {
        Self { url: url.to_owned(), path: std::path::absolute(&path).unwrap_or(path), full_sync }
    }
}

#[async_trait]
impl Store for Sqlite {
    fn name(&self) -> &str {
        if self.full_sync { "FULL" } else { "NORMAL" }
    }

    async fn client(&self) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(Options::default().full_sync(self.full_sync).open(&self.path).await?))
    }

    async fn bare(&self) -> Option<Arc<dyn Bare>> {
        Some(Arc::new(Rows::open(&self.path, self.full_sync)))
    }

    fn url(&self) -> Option<&str> {
        Some(&self.url)
    }

    fn file(&self) -> Option<&Path> {
        Some(&self.path)
    }
}

/// A connection with the same settings as the backend's, behind a mutex, as a service without this library might
/// have it.
#[derive(Clone)]
struct Rows(Arc<Mutex<Connection>>);

impl Rows {
    fn open(path: &Path, full_sync: bool) -> Self {
        let db = Connection::open(path).expect("the bare driver opens the file");
        let synchronous = if full_sync { "FULL" } else { "NORMAL" };
        db.pragma_update(None, "journal_mode", "WAL").expect("WAL");
        db.pragma_update(None, "synchronous", synchronous).expect("synchronous");
        db.busy_timeout(Duration::from_secs(5)).expect("a busy timeout");
        let sql = "CREATE TABLE IF NOT EXISTS bare (key TEXT PRIMARY KEY, owner BLOB, expires INTEGER) WITHOUT ROWID";
        db.execute(sql, []).expect("a table");
        Self(Arc::new(Mutex::new(db)))
    }

    /// Takes a lock if it is free, or its holder's time is over.
    fn take(&self, key: &str) -> bool {
        let take = "INSERT INTO bare VALUES (?1, randomblob(16), unixepoch() + 30)
                    ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, expires = excluded.expires
                    WHERE expires < unixepoch()";
        self.run(take, key) == 1
    }

    fn give(&self, key: &str) {
        self.run("DELETE FROM bare WHERE key = ?1", key);
    }

    fn run(&self, sql: &str, key: &str) -> usize {
        let db = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        db.prepare_cached(sql)
            .and_then(|mut statement| statement.execute([key]))
            .expect("the bare driver writes")
    }
}

#[async_trait]
impl Bare for Rows {
    async fn pair(&self, key: &str) {
        assert!(self.take(key), "nobody else takes it");
        self.give(key);
    }

    fn waits(&self) -> &str {
        "polling each ms"
    }

    async fn free(&self, key: &str) {
        self.give(key);
    }

    async fn contender(&self, key: &str) -> Box<dyn Contender> {
        Box::new(Polling { rows: self.clone(), key: key.to_owned() })
    }
}

struct Polling {
    rows: Rows,
    key: String,
}

#[async_trait]
impl Contender for Polling {
    async fn take(&mut self) -> (u64, u64) {
        let (rows, key) = (self.rows.clone(), self.key.clone());
        // On a thread, whose sleeps are as long as they say.
        let poll = move || {
            let mut looks = 1;
            while !rows.take(&key) {
                looks += 1;
                thread::sleep(POLL);
            }
            (now(), looks)
        };
        tokio::task::spawn_blocking(poll).await.expect("no panic")
    }

    async fn give(&mut self) {
        self.rows.give(&self.key);
        // Nothing else lets the others look first.
        tokio::time::sleep(2 * POLL).await;
    }
}
