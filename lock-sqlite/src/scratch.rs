//! For unit tests: a lock file in a directory of its own.

use std::path::PathBuf;
use std::time::Duration;

use lock_core::{Claim, Mode};
use rusqlite::Connection;
use tempfile::TempDir;

pub(crate) struct Scratch {
    pub(crate) path: PathBuf,
    _directory: TempDir,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self { path: directory.path().join("locks.db"), _directory: directory }
    }

    /// A connection that knows nothing of locks.
    pub(crate) fn plain(&self) -> Connection {
        Connection::open(&self.path).expect("a connection")
    }
}

/// An exclusive claim that outlasts the test.
pub(crate) fn claim(key: &str) -> Claim {
    Claim::new(key, Mode::Exclusive, Duration::from_secs(600)).expect("valid")
}
