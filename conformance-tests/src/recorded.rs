//! Cases that record what they do, and judge it as any user of the detectors does.

use lock_core::{Guard, Lock};
use tokio::task::yield_now;

use crate::history::{Finding, Recorder};
use crate::patience::let_go;

impl Recorder {
    /// Records that a guard's keys are held while some work is done.
    pub(crate) async fn record<T>(&self, id: String, guard: &Guard, work: impl Future<Output = T>) -> T {
        let mut recording = self.ask(id, "");
        recording.hold(guard);
        let done = work.await;
        recording.end();
        done
    }

    /// Takes one lock after the other, as one of several tasks, and records each.
    pub(crate) async fn turns(self, task: usize, locks: impl IntoIterator<Item = Lock>) {
        for (turn, lock) in locks.into_iter().enumerate() {
            let mut recording = self.ask(format!("task {task}, turn {turn}"), "");
            let guard = lock.acquire().await.expect("granted in the end");
            recording.hold(&guard);
            yield_now().await;
            recording.end();
            let_go(guard).await;
        }
    }

    /// Panics, naming the offending operations, unless so many holds are recorded, all of them have ended, and they are in
    /// order, with a token of its own each.
    #[track_caller]
    pub(crate) fn assert_sound(&self, holds: usize) {
        let history = self.history();
        assert_nothing([history.order(), history.identity()].concat());
        let held: usize = history.operations().iter().map(|operation| operation.holds.len()).sum();
        assert_eq!(held, holds, "the number of holds recorded");
        let open: Vec<_> = history.operations().iter().filter(|operation| operation.end.is_none()).collect();
        assert!(open.is_empty(), "never ended: {open:?}");
    }
}

/// Panics with what was found, if anything was.
#[track_caller]
pub(crate) fn assert_nothing(found: Vec<Finding>) {
    let first: Vec<_> = found.iter().take(10).map(Finding::to_string).collect();
    assert!(found.is_empty(), "{} faults in the history, first:\n{}", found.len(), first.join("\n"));
}
