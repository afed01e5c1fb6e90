//! The bare driver: a lock as a row, taken with an INSERT and given back with a DELETE.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, params};
use tokio::task::spawn_blocking;
use tokio::time::interval;

use crate::rival::{Client, Contender, Failure, Held, Kind, Rival, TTL, Untold};

/// How often it looks, which nobody wakes.
const POLL: Duration = Duration::from_millis(1);

pub(crate) struct Bare {
    pub(crate) path: PathBuf,
    pub(crate) full_sync: bool,
}

#[async_trait]
impl Rival for Bare {
    fn name(&self) -> &'static str {
        "rusqlite"
    }

    fn kind(&self) -> Kind {
        Kind::Bare
    }

    fn waits(&self) -> &'static str {
        "looks each ms"
    }

    async fn client(&self, _: usize) -> Result<Arc<dyn Client>, Failure> {
        let rows = Rows(Arc::new(Mutex::new(open(&self.path, self.full_sync)?)));
        tokio::spawn(renew(Arc::downgrade(&rows.0)));
        Ok(Arc::new(rows))
    }
}

/// With the same settings as the backend's.
fn open(path: &Path, full_sync: bool) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    db.busy_timeout(Duration::from_secs(5))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", if full_sync { "FULL" } else { "NORMAL" })?;
    let sql =
        "CREATE TABLE IF NOT EXISTS bare (key TEXT PRIMARY KEY, owner BLOB, expires INTEGER) WITHOUT ROWID";
    db.execute(sql, [])?;
    Ok(db)
}

/// A connection behind a mutex, as a service without this library might have it.
#[derive(Clone)]
struct Rows(Arc<Mutex<Connection>>);

impl Rows {
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

/// Renews whatever is there, all in one statement: this process is the only one that keeps any.
async fn renew(db: Weak<Mutex<Connection>>) {
    let mut due = interval(TTL / 3);
    due.tick().await;
    loop {
        due.tick().await;
        let Some(db) = db.upgrade() else { return };
        let renew = "UPDATE bare SET expires = unixepoch() + 30 WHERE expires >= unixepoch()";
        let renewed = db.lock().unwrap_or_else(PoisonError::into_inner).execute(renew, params![]);
        renewed.expect("the bare driver writes");
    }
}

#[async_trait]
impl Client for Rows {
    async fn pair(&self, key: &str) {
        assert!(self.take(key), "nobody else takes it");
        self.give(key);
    }

    async fn hold(&self, key: &str) -> Box<dyn Held> {
        assert!(self.take(key), "nobody else takes it");
        Box::new(Untold(()))
    }

    async fn contender(&self, key: &str) -> Box<dyn Contender> {
        Box::new(Polling { rows: self.clone(), key: key.to_owned() })
    }

    async fn close(&self) {
        let db = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        db.execute("DELETE FROM bare", []).expect("the bare driver writes");
    }
}

struct Polling {
    rows: Rows,
    key: String,
}

#[async_trait]
impl Contender for Polling {
    async fn take(&mut self) {
        let (rows, key) = (self.rows.clone(), self.key.clone());
        // On a thread, whose sleeps are as long as they say.
        let poll = move || {
            while !rows.take(&key) {
                thread::sleep(POLL);
            }
        };
        spawn_blocking(poll).await.expect("no panic");
    }

    async fn give(&mut self) {
        self.rows.give(&self.key);
    }
}
