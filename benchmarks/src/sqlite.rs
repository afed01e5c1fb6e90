//! SQLite, and who is compared on it.

mod bare;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use lock_sqlite::Options;
use tempfile::TempDir;

use crate::measure::Measure;
use crate::ours::Ours;
use crate::rival::{Failure, Rival};
use crate::store::Store;

pub(crate) struct Sqlite {
    url: String,
    path: PathBuf,
    full_sync: bool,
    /// Where the file is, if it is this run's own.
    _directory: Option<Arc<TempDir>>,
}

/// A file by path, or one of its own; synchronous as the library has it, and `FULL`.
pub(crate) fn all(url: &str) -> Result<Vec<Box<dyn Store>>, Failure> {
    let path = url.strip_prefix("sqlite:").unwrap_or_default();
    let directory = if path.is_empty() { Some(Arc::new(tempfile::tempdir()?)) } else { None };
    let path = directory.as_ref().map_or(PathBuf::from(path), |directory| directory.path().join("locks.db"));
    let path = std::path::absolute(path)?;
    let url = format!("sqlite:{}", path.display());
    let with = |full_sync| {
        let (url, path) = (url.clone(), path.clone());
        Box::new(Sqlite { url, path, full_sync, _directory: directory.clone() }) as Box<dyn Store>
    };
    Ok(vec![with(false), with(true)])
}

#[async_trait]
impl Store for Sqlite {
    fn name(&self) -> &str {
        if self.full_sync { "sqlite, FULL" } else { "sqlite" }
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn rivals(&self) -> Vec<Box<dyn Rival>> {
        let (path, full_sync) = (self.path.clone(), self.full_sync);
        let connect = move || {
            let path = path.clone();
            async move { Options::default().full_sync(full_sync).open(&path).await }
        };
        vec![
            Box::new(Ours::new("lock-sqlite", "told, by a pipe between processes", &[], connect)),
            Box::new(bare::Bare { path: self.path.clone(), full_sync }),
        ]
    }

    async fn version(&self) -> Result<String, Failure> {
        Ok(format!("SQLite {}", rusqlite::version()))
    }

    /// What is not written does not become slower by being written more safely.
    fn measures(&self, measure: Measure) -> bool {
        !self.full_sync || matches!(measure, Measure::Pair | Measure::Throughput)
    }

    fn file(&self) -> Option<&Path> {
        Some(&self.path)
    }
}
