//! Where one test has its input, its data and its locks.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use examples::backend::Url;
use examples::data::Sqlite;
use examples::place::{Place, drawn};
use lock_core::{Guard, Locker};
use rusqlite::Connection;
use tempfile::TempDir;

use super::servers::{number, run, schema};
use super::{LIMIT, Store, Worker};

/// A directory for the input, and a place for the data. Dropped, it leaves nothing behind, unless the test has failed.
pub(crate) struct Stage {
    /// Where the locks live.
    pub(crate) store: Store,
    dir: TempDir,
    schema: String,
    /// What the data is called in a directory.
    file: &'static str,
}

impl Stage {
    pub(crate) fn new(store: Store, file: &'static str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self { store, dir, schema: drawn("test-"), file }
    }

    /// A file of this test's own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes one that has a line for each of these.
    pub(crate) fn write<L: AsRef<str>>(&self, name: &str, lines: impl IntoIterator<Item = L>) {
        let text: String = lines.into_iter().map(|line| format!("{}\n", line.as_ref())).collect();
        std::fs::write(self.path(name), text).expect("it is written");
    }

    /// What `--data` says.
    pub(crate) fn data(&self) -> String {
        if self.store.has_schema() {
            schema(&self.schema).as_arg().to_owned()
        } else {
            self.path("data").display().to_string()
        }
    }

    pub(crate) fn place(&self) -> Place {
        Place::from(self.data())
    }

    /// What `--backend` has to say to a worker.
    pub(crate) fn url(&self) -> String {
        match self.store.server() {
            Some(server) if !self.store.is_one() => server.to_owned(),
            _ => self.place().locks().as_arg().to_owned(),
        }
    }

    /// A run of the whole program in fresh data, not yet started.
    pub(crate) fn command(&self, mut program: Command, args: &str) -> Command {
        self.clear();
        program.arg("--data").arg(self.data()).args(args.split_whitespace()).args(self.store.backend());
        program
    }

    /// Starts one worker, which logs everything.
    pub(crate) fn worker(&self, mut program: Command) -> Worker {
        program.args(["--backend", &self.url(), "--data", &self.data()]);
        let mut worker = Worker::start(program);
        worker.hears("ready");
        worker
    }

    /// Removes the data.
    pub(crate) fn clear(&self) {
        if self.store.has_schema() {
            let remove = format!("DROP SCHEMA IF EXISTS \"{}\" CASCADE", self.schema);
            run(schema(&self.schema).server(), &format!("SET lock_timeout = '60s'; {remove}"));
        } else {
            let _ = std::fs::remove_dir_all(self.data());
        }
    }

    /// Takes a lock, as a worker would.
    pub(crate) async fn lock(&self, key: &str) -> Guard {
        let store = Url::from(self.url()).connect().await.expect("a store");
        Locker::new(store).lock(key).acquire().await.expect("nobody else's")
    }

    /// What a query of one number answers.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        if self.store.has_schema() {
            return number(&self.data(), sql);
        }
        self.open().query_row(sql, [], |row| row.get(0)).expect("an answer")
    }

    /// Changes what is in the data.
    pub(crate) fn change(&self, sql: &str) {
        match self.store.has_schema() {
            true => run(&self.data(), sql),
            false => self.open().execute_batch(sql).expect("it is changed"),
        }
    }

    fn open(&self) -> Connection {
        let db = Connection::open(Sqlite::path(self.data().as_ref(), self.file)).expect("the data");
        db.busy_timeout(LIMIT).expect("a timeout");
        db
    }

    /// Waits until a query of one number answers this.
    pub(crate) fn wait_for(&self, sql: &str, number: i64) {
        let begun = Instant::now();
        while self.number(sql) != number {
            assert!(begun.elapsed() < LIMIT, "{sql} is {} and not {number}", self.number(sql));
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.clear();
        }
    }
}
