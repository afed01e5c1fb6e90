#![doc = include_str!("../README.md")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lock_core::{Bells, Error, ErrorKind, Result};

mod backend;
mod clock;
mod connection;
mod error;
mod file;
mod place;
#[cfg(test)]
mod scratch;
mod steps;
mod transaction;
mod turns;
mod wakeups;
mod writer;

pub use transaction::{confirm, fence};

use error::NAME;
use file::File;
use wakeups::Pipes;
use writer::Desk;

/// Locks in a SQLite file, between the processes of one machine.
///
/// Each [`open`](Self::open) is a client with a connection and two threads of its own, so open a file once and clone
/// the handle: everything that is queued on one client shares a transaction. Clones are the same client.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use lock_core::Locker;
/// use lock_sqlite::Sqlite;
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("locks.db");
/// let locks = Locker::new(Sqlite::open(&path).await?);
/// let guard = locks.lock("report/2025-01").acquire().await?;
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Sqlite {
    client: Arc<Client>,
    /// Whether a caller who is alone does its call itself. Not in a fork: a flush there would hold up whatever else the
    /// keeper's one thread looks after.
    lone: bool,
}

struct Client {
    path: PathBuf,
    desk: Desk,
    bells: Bells,
    /// Who opened it: threads and connections do not survive a fork.
    process: u32,
}

impl Sqlite {
    /// Opens a lock file, and makes it if there is none, with the default [`Options`].
    ///
    /// Beside it come SQLite's `-wal` and `-shm` files and a directory `-bells` with a named pipe for each client. The
    /// tables may live in a database that has others; `lock_` is the prefix of theirs.
    ///
    /// # Errors
    ///
    /// - [`Invalid`](ErrorKind::Invalid): not a path of a file.
    /// - [`Unsupported`](ErrorKind::Unsupported): a network file system, a SQLite older than 3.51.3, lock tables of a
    ///   newer version.
    /// - [`Backend`](ErrorKind::Backend): the file cannot be opened or written, or is no database.
    /// - [`Unavailable`](ErrorKind::Unavailable): the disk is full or failed, or the file was busy for seconds.
    ///
    /// # Cancel safety
    ///
    /// The file may have been made.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use lock_sqlite::Sqlite;
    /// # let directory = tempfile::tempdir()?;
    /// let error = Sqlite::open(directory.path().join("missing/locks.db")).await.unwrap_err();
    /// assert!(error.to_string().contains("directory"));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        Options::default().open(path).await
    }
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sqlite").field("path", &self.client.path).finish_non_exhaustive()
    }
}

/// How to open a lock file.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use lock_sqlite::Options;
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("locks.db");
/// let store = Options::default().full_sync(true).open(&path).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    full_sync: bool,
}

impl Options {
    /// Whether every transaction is flushed to the disk (`synchronous=FULL`). Off by default (`NORMAL`): what a power
    /// cut can lose, it also ends.
    ///
    /// Turn it on where the wall clock may start in the past after a power cut (no battery-backed clock) and tokens are
    /// compared across it.
    ///
    /// ```
    /// let options = lock_sqlite::Options::default().full_sync(true);
    /// ```
    #[must_use]
    pub fn full_sync(mut self, on: bool) -> Self {
        self.full_sync = on;
        self
    }

    /// Opens a lock file with these options.
    ///
    /// # Errors
    ///
    /// As [`Sqlite::open`].
    ///
    /// # Cancel safety
    ///
    /// The file may have been made.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// let store = lock_sqlite::Options::default().open(directory.path().join("locks.db")).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn open(self, path: impl AsRef<Path>) -> Result<Sqlite> {
        let path = path.as_ref().to_owned();
        self.start(path).await.map_err(|error| error.in_operation("open", &[], NAME))
    }

    async fn start(self, path: PathBuf) -> Result<Sqlite> {
        let path = resolve(&path)?;
        place::check_version(rusqlite::version_number())?;
        let bells = Bells::default();
        let (rings, to_open) = (bells.clone(), path.clone());
        let open = move || {
            let directory = to_open.parent().unwrap_or(Path::new("/"));
            place::check_file_system(directory)?;
            let file = File::open(&to_open, self.full_sync)?;
            let name = name()?;
            let pipe = Pipes::of(&to_open).and_then(|pipes| pipes.listen(&to_open, name, rings));
            Ok((file, pipe.map_err(|error| no_pipe(&to_open, error))?))
        };
        let desk = Desk::open(open, bells.clone()).await?;
        let client = Client { path, desk, bells, process: std::process::id() };
        Ok(Sqlite { client: Arc::new(client), lone: true })
    }
}

/// The one path under which all processes know the file, whatever links led there.
fn resolve(path: &Path) -> Result<PathBuf> {
    let invalid = |message: String| Err(Error::new(ErrorKind::Invalid, message));
    let Some(name) = path.file_name().filter(|_| path != Path::new(":memory:")) else {
        return invalid(format!(
            "{:?} is not the path of a file; for locks in memory use lock_core::Memory",
            path
        ));
    };
    if path.is_dir() {
        return invalid(format!("{} is a directory; the path of a file is needed", path.display()));
    }
    if let Ok(whole) = path.canonicalize() {
        return Ok(whole);
    }
    if path.is_symlink() {
        return invalid(format!(
            "{} is a link to nothing; make the file, or give its own path",
            path.display()
        ));
    }
    let directory = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let resolved = directory.canonicalize().map_err(|error| {
        let message = format!("the directory {} cannot be opened: {error}", directory.display());
        Error::new(ErrorKind::Backend, message).with_source(error)
    })?;
    Ok(resolved.join(name))
}

/// A name for this client's pipe.
fn name() -> Result<String> {
    let mut random = [0; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).map_err(|error| {
        Error::new(ErrorKind::Unavailable, "no random numbers to be had").with_source(error)
    })?;
    Ok(format!("{:016x}", u64::from_be_bytes(random)))
}

fn no_pipe(path: &Path, error: std::io::Error) -> Error {
    let message = format!("no pipe for wake-ups can be made in {}-bells: {error}", path.display());
    Error::new(ErrorKind::Backend, message).with_source(error)
}
