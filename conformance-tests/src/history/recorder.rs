//! Writes down what the tasks of a process do.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use lock_core::Guard;

use super::{History, Hold, Operation};

/// Writes down what the tasks of a process do, each at its time since the recorder was made. Clones are the same recorder.
///
/// ```
/// use conformance_tests::history::Recorder;
///
/// let recorder = Recorder::default();
/// let fill = recorder.ask("fill/7", "exchange");
/// let trade = recorder.ask("trade/7", "ann");
/// assert!(recorder.history().operations()[1].end.is_none()); // it goes on
/// trade.end();
/// fill.end();
/// assert!(recorder.history().operations()[1].end.is_some());
/// ```
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Log>);

#[derive(Debug)]
struct Log {
    start: Instant,
    operations: Mutex<Vec<Operation>>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self(Arc::new(Log { start: Instant::now(), operations: Mutex::default() }))
    }
}

impl Recorder {
    /// Writes down that an operation is begun: it asks for its keys, if it wants any.
    pub fn ask(&self, id: impl Into<String>, user: impl Into<String>) -> Recording {
        let mut log = self.log();
        let operation = Operation::new(id, self.0.start.elapsed(), None).by(user);
        log.push(operation);
        Recording { recorder: self.clone(), at: log.len() - 1 }
    }

    /// What has been written down by now.
    pub fn history(&self) -> History {
        History(self.log().clone())
    }

    fn log(&self) -> MutexGuard<'_, Vec<Operation>> {
        self.0.operations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An operation under way. Dropped, it has ended.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> lock_core::Result<()> {
/// use conformance_tests::history::Recorder;
/// use lock_core::{Locker, Memory};
///
/// let (locks, recorder) = (Locker::new(Memory::new()), Recorder::default());
/// let mut recording = recorder.ask("trade/7", "ann");
/// let guard = locks.lock("position/btc").acquire().await?;
/// recording.hold(&guard);
/// recording.after("fill/7");
/// recording.saw("position 3");
/// recording.wrote("position 4");
/// recording.end(); // before the release
/// guard.release().await?;
///
/// let history = recorder.history();
/// assert_eq!(history.operations()[0].holds[0].key.as_str(), "position/btc");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "dropped, it has ended"]
pub struct Recording {
    recorder: Recorder,
    at: usize,
}

impl Recording {
    /// Writes down that it holds its keys now, and how.
    pub fn hold(&mut self, guard: &Guard) {
        let held = |claim: &lock_core::Claim| {
            let (keys, mode) = (claim.keys().to_vec(), claim.mode());
            keys.into_iter().filter_map(move |key| {
                let token = guard.token_of(&key)?;
                Some(Hold { key, mode, token })
            })
        };
        let holds: Vec<_> = guard.claims().flat_map(held).collect();
        let start = self.recorder.0.start;
        self.note(|operation| {
            operation.begin = start.elapsed();
            operation.holds.extend(holds);
        });
    }

    /// Writes down what made it happen, by its id.
    pub fn after(&mut self, cause: impl Into<String>) {
        self.note(|operation| operation.causes.push(cause.into()));
    }

    /// Writes down what it read.
    pub fn saw(&mut self, version: impl Into<String>) {
        self.note(|operation| operation.saw.push(version.into()));
    }

    /// Writes down what it wrote.
    pub fn wrote(&mut self, version: impl Into<String>) {
        self.note(|operation| operation.wrote.push(version.into()));
    }

    /// Writes down that it has ended. Call it before the lock is released.
    pub fn end(self) {}

    fn note(&self, note: impl FnOnce(&mut Operation)) {
        note(&mut self.recorder.log()[self.at]);
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let start = self.recorder.0.start;
        self.note(|operation| operation.end = Some(start.elapsed()));
    }
}
