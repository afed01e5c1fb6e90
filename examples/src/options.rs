//! What all workflows are asked in the same words.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use humantime::{format_duration, parse_duration};
use lock_core::Locker;
use tempfile::TempDir;

use crate::backend;

/// Options that every workflow has.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where the locks live: sqlite:PATH [default: a file beside the data]
    #[arg(long, value_name = "URL")]
    pub backend: Option<String>,
    /// Run the same workers bare, and see the damage
    #[arg(long)]
    pub no_locks: bool,
    /// How long a lock outlives a worker that died
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub ttl: Duration,
    /// Keep the data in this directory [default: a temporary one, removed at the end]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

impl Options {
    /// The directory that the data is in, made if it is not there.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn home(&self) -> Result<Home> {
        match &self.data {
            None => Ok(Home::Temporary(
                TempDir::with_prefix("lock-examples-").context("cannot make a temporary directory")?,
            )),
            Some(path) => {
                std::fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
                Ok(Home::Kept(path.clone()))
            }
        }
    }

    /// The URL of the store.
    pub fn url(&self, home: &Path) -> String {
        self.backend.clone().unwrap_or_else(|| format!("sqlite:{}", home.join("locks.db").display()))
    }

    /// Takes a lock and gives it back, so that what is wrong with the store is known before anything is begun.
    ///
    /// # Errors
    ///
    /// The store's, or the ttl is none.
    pub async fn probe(&self, home: &Path) -> Result<()> {
        if let Some(locks) = self.locks(home, "probe").await? {
            locks.lock("probe").shared().acquire().await?.release().await?;
        }
        Ok(())
    }

    /// Connects to the store, unless it is to be done without.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn locks(&self, home: &Path, label: &str) -> Result<Option<Locker>> {
        if self.no_locks {
            return Ok(None);
        }
        let backend = backend::connect(&self.url(home)).await?;
        Ok(Some(Locker::new(backend).with_ttl(self.ttl).with_label(label)))
    }

    /// What passes them on to a worker.
    pub fn to_args(&self, home: &Path) -> Vec<String> {
        let mut args =
            ["--data", &home.display().to_string(), "--backend", &self.url(home)].map(String::from).to_vec();
        args.extend(["--ttl".to_owned(), format_duration(self.ttl).to_string()]);
        args.extend(self.no_locks.then(|| "--no-locks".to_owned()));
        args
    }
}

/// The directory that a run's data is in.
#[derive(Debug)]
pub enum Home {
    /// Removed at the end.
    Temporary(TempDir),
    /// Somebody's own.
    Kept(PathBuf),
}

impl Home {
    /// Where it is.
    pub fn path(&self) -> &Path {
        match self {
            Self::Temporary(dir) => dir.path(),
            Self::Kept(path) => path,
        }
    }
}
