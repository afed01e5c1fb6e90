//! Where one test has its input, its data and its locks.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

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
    /// A schema, where the data is in one.
    schema: Option<Url>,
    /// A server for the locks, instead of the one that all tests share.
    server: Option<String>,
    /// What the data is called in a directory.
    file: &'static str,
}

impl Stage {
    pub(crate) fn new(store: Store, file: &'static str) -> Self {
        let schema = store.has_schema().then(|| schema(&drawn("test-")));
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self { store, dir, schema, server: None, file }
    }

    /// With the data on this PostgreSQL instead of the one that all tests share.
    pub(crate) fn on(server: &str, store: Store, file: &'static str) -> Self {
        let mut stage = Self::new(store, file);
        stage.schema = Some(Url::from(server.to_owned()).in_schema(&drawn("test-")));
        stage
    }

    /// With the locks on this server instead of the one that all tests share.
    pub(crate) fn with_locks(server: &str, store: Store, file: &'static str) -> Self {
        let mut stage = Self::new(store, file);
        stage.server = Some(server.to_owned());
        stage
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
        match &self.schema {
            Some(schema) => schema.as_arg().to_owned(),
            None => self.path("data").display().to_string(),
        }
    }

    pub(crate) fn place(&self) -> Place {
        Place::from(self.data())
    }

    /// What `--backend` has to say to a worker.
    pub(crate) fn url(&self) -> String {
        match (&self.server, self.store.server()) {
            (Some(server), _) => server.clone(),
            (None, Some(server)) if !self.store.is_one() => server.to_owned(),
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
    pub(crate) fn worker(&self, program: Command) -> Worker {
        self.worker_by(&self.url(), &self.data(), program)
    }

    /// The same, which comes to its locks and its data in another way.
    pub(crate) fn worker_by(&self, backend: &str, data: &str, mut program: Command) -> Worker {
        program.args(["--backend", backend, "--data", data]);
        let mut worker = Worker::start(program);
        worker.hears("ready");
        worker
    }

    /// Removes the data. A transaction that was dropped ends on the runtime of its test, which has to be one that goes on while
    /// this waits for it.
    pub(crate) fn clear(&self) {
        if let Some(schema) = &self.schema {
            let name = schema.schema().expect("it has one");
            let remove = format!("DROP SCHEMA IF EXISTS \"{name}\" CASCADE");
            run(schema.server(), &format!("SET lock_timeout = '60s'; {remove}"));
        } else {
            let _ = std::fs::remove_dir_all(self.data());
        }
    }

    /// Takes a lock, as a worker would.
    pub(crate) async fn lock(&self, key: &str) -> Guard {
        self.locks().await.lock(key).timeout(LIMIT).acquire().await.expect("nobody else's")
    }

    /// Whether nobody has a lock.
    pub(crate) async fn is_free(&self, key: &str) -> bool {
        match self.locks().await.lock(key).try_acquire().await.expect("an answer") {
            Some(guard) => guard.release().await.is_ok(),
            None => false,
        }
    }

    /// A client of its own.
    pub(crate) async fn locks(&self) -> Locker {
        Locker::new(Url::from(self.url()).connect().await.expect("a store"))
    }

    /// What a query of one number answers.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        if self.schema.is_some() {
            return number(&self.data(), sql);
        }
        self.open().query_row(sql, [], |row| row.get(0)).expect("an answer")
    }

    /// Changes what is in the data.
    pub(crate) fn change(&self, sql: &str) {
        match self.schema.is_some() {
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
            std::thread::sleep(Duration::from_millis(10));
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
