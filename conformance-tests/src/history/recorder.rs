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
/// let fill = recorder.begin("fill/7", "exchange");
/// let trade = recorder.begin("trade/7", "ann");
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
    /// Writes down that an operation asks for its keys. It waits until it [`hold`](Recording::hold)s some, or ends.
    pub fn ask(&self, id: impl Into<String>, user: impl Into<String>) -> Recording {
        self.write(id, user, Operation::waits)
    }

    /// Writes down that an operation begins that wants no keys.
    pub fn begin(&self, id: impl Into<String>, user: impl Into<String>) -> Recording {
        self.write(id, user, |operation| operation)
    }

    fn write(
        &self,
        id: impl Into<String>,
        user: impl Into<String>,
        how: impl FnOnce(Operation) -> Operation,
    ) -> Recording {
        let mut log = self.log();
        let operation = Operation::new(id, self.0.start.elapsed(), None).by(user);
        log.push(how(operation));
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
    /// Writes down that it holds its keys now, and how. With the first it begins; more may come later, by other guards.
    pub fn hold(&mut self, guard: &Guard) {
        let held = |claim: &lock_core::Claim| {
            let (keys, mode) = (claim.keys().to_vec(), claim.mode());
            keys.into_iter().filter_map(move |key| {
                let token = guard.token_of(&key)?;
                Some(Hold { key, mode, token, since: None })
            })
        };
        let holds: Vec<_> = guard.claims().flat_map(held).collect();
        let start = self.recorder.0.start;
        self.note(|operation| {
            let now = start.elapsed();
            if std::mem::take(&mut operation.waits) {
                operation.begin = now;
            }
            let since = (now > operation.begin).then_some(now);
            operation.holds.extend(holds.into_iter().map(|hold| Hold { since, ..hold }));
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

#[cfg(test)]
mod tests {
    use lock_core::{Locker, Memory};
    use rstest::rstest;

    use super::*;

    /// What is done with a recording, one after the other.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Hold,
        End,
    }
    use Step::{End, Hold};

    #[rstest]
    #[case::it_asks(&[], true)]
    #[case::it_gave_up(&[End], true)]
    #[case::it_holds(&[Hold], false)]
    #[case::it_has_held(&[Hold, End], false)]
    #[case::it_holds_more(&[Hold, Hold], false)]
    #[tokio::test]
    async fn who_asks_waits_until_he_holds(#[case] steps: &[Step], #[case] waits: bool) {
        let (locks, recorder) = (Locker::new(Memory::new()), Recorder::default());
        let mut recording = Some(recorder.ask("a", ""));
        let (mut guards, mut begun) = (Vec::new(), None);
        for (n, step) in steps.iter().enumerate() {
            match step {
                Hold => {
                    later(&recorder).await;
                    let guard = locks.lock(n.to_string()).acquire().await.unwrap();
                    recording.as_mut().unwrap().hold(&guard);
                    guards.push(guard);
                    begun.get_or_insert(recorder.history().operations()[0].begin);
                }
                End => recording.take().unwrap().end(),
            }
        }
        let operation = recorder.history().operations()[0].clone();
        assert_eq!(operation.waits, waits);
        assert_eq!(operation.begin, begun.unwrap_or(operation.asked), "the first key begins it");
        assert_eq!(operation.begin > operation.asked, begun.is_some());
        let since: Vec<_> = operation.holds.iter().map(|hold| hold.since).collect();
        assert_eq!(since.first().copied().flatten(), None, "as the operation");
        assert!(since.iter().skip(1).all(|since| *since > Some(operation.begin)), "{since:?}");
    }

    #[test]
    fn who_wants_no_keys_begins_at_once() {
        let recorder = Recorder::default();
        let _recording = recorder.begin("a", "");
        assert!(!recorder.history().operations()[0].waits);
    }

    /// Waits for the clock to go on.
    async fn later(recorder: &Recorder) {
        let start = recorder.0.start;
        let now = start.elapsed();
        while start.elapsed() == now {
            tokio::task::yield_now().await;
        }
    }
}
