//! The conformance run of the store in a SQLite file.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use conformance_tests::Subject;
use lock_core::{Backend, Result};
use lock_sqlite::Sqlite;

struct InFile {
    path: String,
    /// Owned by the process that made it: gone with the run.
    _directory: Option<tempfile::TempDir>,
}

#[async_trait]
impl Subject for InFile {
    fn name(&self) -> &str {
        "sqlite"
    }

    fn ttl(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn client(&self) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(Sqlite::open(&self.path).await?))
    }

    fn address(&self) -> Option<String> {
        Some(self.path.clone())
    }
}

fn start(address: Option<String>) -> InFile {
    if let Some(path) = address {
        return InFile { path, _directory: None };
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("locks.db").to_str().expect("a path in UTF-8").to_owned();
    InFile { path, _directory: Some(directory) }
}

fn main() -> ExitCode {
    conformance_tests::main(start)
}
