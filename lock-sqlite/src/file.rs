//! A connection to the lock file, and what must be true of the file before anything is believed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use lock_core::{Error, ErrorKind, Result};
use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use crate::clock::Boot;
use crate::connection::{PATIENCE, Patience, VERSION, open};
use crate::error::explain;
use crate::steps::Steps;

/// How often lapsed claims that nobody asks for are removed.
const SWEEP: i64 = 10_000_000_000;

/// How many transactions go into the write-ahead log before it is copied into the database: as many as write about
/// SQLite's own default of 1,000 pages.
const CHECKPOINT: usize = 256;

/// With how many frames (pages of 4 KiB) the write-ahead log is made to begin anew, though others have to wait for it.
const LONGEST: i64 = if cfg!(test) { 2_000 } else { 16_384 };

/// A transaction that failed, and where: that says what may have happened.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) at: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Before any step: nothing happened, and no call is to blame.
    Start,
    /// In a step: nothing happened, for one call's sake.
    Step,
    /// In the commit: it is not known what happened.
    Commit,
}

/// The lock file, open.
#[derive(Debug)]
pub(crate) struct File {
    path: PathBuf,
    full_sync: bool,
    boot: Boot,
    open: Option<Open>,
    swept: i64,
    /// Transactions since the last checkpoint.
    written: usize,
}

#[derive(Debug)]
struct Open {
    db: Connection,
    /// Device and inode: what the path meant before it was opened; `None` if there was nothing.
    identity: Option<(u64, u64)>,
}

impl File {
    pub(crate) fn open(path: &Path, full_sync: bool) -> Result<Self> {
        let no_boot = |error| {
            let message = "the kernel's boot id cannot be read: a Linux with /proc is needed";
            Error::new(ErrorKind::Unsupported, message).with_source(error)
        };
        let boot = Boot::read().map_err(no_boot)?;
        let mut file = Self { path: path.to_owned(), full_sync, boot, open: None, swept: 0, written: 0 };
        file.connect(Patience::Some)?;
        Ok(file)
    }

    /// Runs steps in one transaction. Unless the file was busy or the disk full, a failure discards the connection with
    /// everything it believed.
    pub(crate) fn transaction<T>(
        &mut self,
        bell: &str,
        patience: Patience,
        work: impl FnOnce(&mut Steps<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, Failure> {
        PATIENCE.set(patience);
        self.connect(patience).map_err(|error| Failure { error, at: Stage::Start })?;
        self.written += 1;
        let Some(open) = &mut self.open else { unreachable!("connected above") };
        let outcome = in_transaction(&mut open.db, &self.boot, bell, &mut self.swept, work);
        outcome.map_err(|(error, at)| {
            match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseBusy) => {}
                // What is in the log may make room by going into the database.
                Some(ErrorCode::DiskFull) => self.written = CHECKPOINT,
                _ => self.open = None,
            }
            Failure { error: self.explain_at(at, error), at }
        })
    }

    fn explain_at(&self, at: Stage, error: rusqlite::Error) -> Error {
        if at != Stage::Commit {
            return explain(error, &self.path);
        }
        let explained = explain(error, &self.path);
        let message = format!("it is not known whether it was written: {explained}");
        Error::new(ErrorKind::Unavailable, message).with_source(explained)
    }

    /// Whether a transaction usually takes no longer than a write to the page cache. The first one after a checkpoint
    /// flushes, because it begins the log anew. After another process's checkpoint, which shows only in the
    /// transaction, any of them may.
    pub(crate) fn is_quick(&self) -> bool {
        !self.full_sync && self.open.is_some() && self.written > 0 && !self.is_due()
    }

    /// Whether the write-ahead log has grown enough for a checkpoint.
    pub(crate) fn is_due(&self) -> bool {
        self.written >= CHECKPOINT
    }

    /// Copies the write-ahead log into the database. Flushing takes milliseconds, so it is the thread's and never a
    /// caller's.
    pub(crate) fn checkpoint(&mut self) {
        let Some(open) = &self.open else { return };
        // What it cannot copy now, because others read or the disk is full, the next one does.
        let frames = open.db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(1));
        // The log begins anew only if nobody wrote to it while it was copied: where others always do, keep them off.
        // That keeps them off also while it waits for those who read, so not for long.
        if frames.is_ok_and(|frames| frames > LONGEST) {
            PATIENCE.set(Patience::Little);
            let _ = open.db.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()));
        }
        self.written = 0;
    }

    #[cfg(test)]
    pub(crate) fn connection(&self) -> &Connection {
        &self.open.as_ref().expect("it is open").db
    }

    #[cfg(test)]
    pub(crate) fn written(&self) -> usize {
        self.written
    }

    /// Whether there is a connection, to what the path means now: two processes must never lock in two files.
    fn is_current(&self) -> bool {
        let opened = self.open.as_ref().and_then(|open| open.identity);
        opened.is_some() && opened == identity(&self.path)
    }

    /// Makes sure of a current connection; opening one takes patience.
    fn connect(&mut self, patience: Patience) -> Result<()> {
        if self.is_current() {
            return Ok(());
        }
        if patience == Patience::None {
            let message = format!("{} has to be opened anew", self.path.display());
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        self.open = None;
        // Asked before, so that a file that changes meanwhile, or is new, is opened once more.
        let identity = identity(&self.path);
        let (db, version) = open(&self.path, self.full_sync).map_err(|error| explain(error, &self.path))?;
        if version != VERSION {
            let message = format!(
                "{} has lock tables of version {version}; this lock-sqlite knows version {VERSION}: use a newer one",
                self.path.display()
            );
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        self.open = Some(Open { db, identity });
        Ok(())
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).map(|file| (file.dev(), file.ino())).ok()
}

fn in_transaction<T>(
    db: &mut Connection,
    boot: &Boot,
    bell: &str,
    swept: &mut i64,
    work: impl FnOnce(&mut Steps<'_>) -> rusqlite::Result<T>,
) -> Result<T, (rusqlite::Error, Stage)> {
    let begin = TransactionBehavior::Immediate;
    let tx = db.transaction_with_behavior(begin).map_err(|error| (error, Stage::Start))?;
    let answer = in_steps(&tx, boot, bell, swept, work).map_err(|error| (error, Stage::Step))?;
    tx.commit().map_err(|error| (error, Stage::Commit))?;
    Ok(answer)
}

fn in_steps<T>(
    db: &Connection,
    boot: &Boot,
    bell: &str,
    swept: &mut i64,
    work: impl FnOnce(&mut Steps<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let meta = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
    let (of_boot, last) = db.prepare_cached("SELECT boot, last FROM lock_meta")?.query_row([], meta)?;
    let mut steps = Steps { db, now: boot.now(), last, bell };
    if of_boot != boot.id {
        steps.begin_boot(&boot.id)?;
    }
    let answer = work(&mut steps)?;
    let (now, next) = (steps.now, steps.last);
    if next != last && now - *swept > SWEEP {
        steps.sweep()?;
        *swept = now;
    }
    if next != last {
        db.prepare_cached("UPDATE lock_meta SET last = ?1")?.execute([next])?;
    }
    Ok(answer)
}

#[cfg(test)]
mod tests;
