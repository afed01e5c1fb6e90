//! What all workflows are asked in the same words.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use humantime::{format_duration, parse_duration};
use lock_core::Locker;
use tempfile::TempDir;

use crate::backend::{KNOWN, Url};

/// Options that every workflow has.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where the locks live; without it, in a file beside the data.
    #[arg(long, value_name = "URL", help = format!("Where the locks live: {KNOWN} [default: a file beside the data]"))]
    pub backend: Option<Url>,
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
    /// Makes the directory that the data is in, if it is not there, and makes sure of the store.
    ///
    /// # Errors
    ///
    /// The store's, or the ttl is none: the directory was not made, unless the locks were to be in it. Or it cannot be
    /// made.
    pub async fn home(&self) -> Result<Home> {
        if let Some(url) = &self.backend {
            self.probe(url).await?;
        }
        let home = match &self.data {
            None => Home::Temporary(
                TempDir::with_prefix("lock-examples-").context("cannot make a temporary directory")?,
            ),
            Some(path) => {
                std::fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
                Home::Kept(path.clone())
            }
        };
        if self.backend.is_none() {
            self.probe(&self.url(home.path())).await?;
        }
        Ok(home)
    }

    /// The URL of the store.
    pub fn url(&self, home: &Path) -> Url {
        self.backend.clone().unwrap_or_else(|| Url::sqlite(&home.join("locks.db")))
    }

    /// Takes a lock and gives it back, so that what is wrong with the store is known before anything is begun.
    async fn probe(&self, url: &Url) -> Result<()> {
        let Some(locks) = self.locker(url, "probe").await? else { return Ok(()) };
        // Skipping, what is wrong is said at once, and not after having been tried again for a while.
        match locks.lock("probe").shared().try_acquire().await? {
            Some(guard) => Ok(guard.release().await?),
            None => Ok(()),
        }
    }

    /// Connects to the store, unless it is to be done without.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn locks(&self, home: &Path, label: &str) -> Result<Option<Locker>> {
        self.locker(&self.url(home), label).await
    }

    async fn locker(&self, url: &Url, label: &str) -> Result<Option<Locker>> {
        if self.no_locks {
            return Ok(None);
        }
        let backend = url.connect().await?;
        Ok(Some(Locker::new(backend).with_ttl(self.ttl).with_label(label)))
    }

    /// What passes them on to a worker.
    pub fn to_args(&self, home: &Path) -> Vec<String> {
        let (data, url) = (home.display().to_string(), self.url(home));
        let mut args = ["--data", &data, "--backend", url.as_arg()].map(String::from).to_vec();
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
