//! Who touches the database: a thread that puts everything queued by then into one transaction, or a caller who is
//! alone.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lock_core::{Attempt, Bells, Claim, Error, ErrorKind, Ownership, Result};
use tokio::sync::oneshot;

use crate::connection::Patience;
use crate::file::{Failure, File, Stage};
use crate::turns::Turn;
use crate::wakeups::Pipe;

/// The most jobs of one transaction: other processes want the file too.
const BATCH: usize = 1024;

/// How long nobody else may have asked for a caller to count as alone, in nanoseconds.
const QUIET: i64 = 1_000_000;

/// A call of the trait.
pub(crate) enum Call {
    Acquire(Claim),
    Renew(Vec<Arc<Claim>>),
    Release(Claim, Duration),
}

/// What it answers.
pub(crate) enum Answer {
    Attempt(Attempt),
    Ownership(Ownership),
    Ownerships(Vec<Ownership>),
}

/// A call that is queued for the thread.
struct Job {
    call: Call,
    reply: oneshot::Sender<Result<Answer>>,
}

/// The way to the database. Dropped, the thread finishes what is queued and closes it.
pub(crate) struct Desk {
    // Before the queue: so the thread is the last to hold it, and closes the database.
    writer: Arc<Writer>,
    queue: Sender<Job>,
}

struct Writer {
    file: Mutex<File>,
    pipe: Pipe,
    bells: Bells,
    /// Who asked last, and when.
    last: Mutex<(Option<tokio::task::Id>, i64)>,
}

impl Desk {
    /// Opens the database on a thread of its own, which then works off the queue.
    pub(crate) async fn open(
        open: impl FnOnce() -> Result<(File, Pipe)> + Send + 'static,
        bells: Bells,
    ) -> Result<Self> {
        let (queue, jobs) = channel();
        let (opened, writer) = oneshot::channel();
        let work = move || match open() {
            Ok((file, pipe)) => {
                let writer =
                    Arc::new(Writer { file: Mutex::new(file), pipe, bells, last: Mutex::new((None, 0)) });
                let _ = opened.send(Ok(writer.clone()));
                writer.work_off(&jobs);
            }
            Err(error) => drop(opened.send(Err(error))),
        };
        let no_thread = |error| Error::new(ErrorKind::Unavailable, "no thread to be had").with_source(error);
        std::thread::Builder::new().name("lock-sqlite".into()).spawn(work).map_err(no_thread)?;
        let writer = writer.await.unwrap_or_else(|_| Err(gone()))?;
        Ok(Self { writer, queue })
    }

    /// Has a call done: here and now if the caller is alone, else together with what others want.
    pub(crate) async fn call(&self, call: Call) -> Result<Answer> {
        match self.writer.try_now(&call) {
            Some(answer) => answer,
            None => self.leave(call).await,
        }
    }

    /// Leaves a call to the thread.
    pub(crate) async fn leave(&self, call: Call) -> Result<Answer> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(Job { call, reply }).map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// The thread ends only with the last handle, or by a panic.
fn gone() -> Error {
    Error::new(ErrorKind::Backend, "the writer thread has died; open the file anew")
}

impl Writer {
    /// Saves a lone caller two thread switches, many times the cost of the step itself. `None` leaves it to the
    /// thread: what is likely to block for longer than a write to the page cache, and what could share a transaction.
    fn try_now(&self, call: &Call) -> Option<Result<Answer>> {
        if matches!(call, Call::Renew(_)) || !self.alone() {
            return None;
        }
        let mut file = self.file.try_lock().ok().filter(|file| file.is_quick())?;
        match transact(&mut file, &self.pipe, Patience::None, std::slice::from_ref(&call)) {
            Err(Failure { at: Stage::Start, .. }) => None,
            Err(failure) => Some(Err(failure.error)),
            Ok(done) => {
                drop(file);
                self.ring(done.turns);
                done.answers.into_iter().next().map(Ok)
            }
        }
    }

    /// Whether nobody but this task has asked lately: then there is nothing to share a transaction with.
    fn alone(&self) -> bool {
        let (task, now) = (tokio::task::try_id(), crate::clock::monotonic());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (last_task, asked) = std::mem::replace(&mut *last, (task, now));
        last_task == task || now - asked > QUIET
    }

    fn work_off(&self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let batch: Vec<_> = std::iter::once(first).chain(jobs.try_iter().take(BATCH - 1)).collect();
            // Not looked into when nothing is due: a lone caller may be back already.
            if self.work(batch) {
                self.file().checkpoint();
            }
        }
    }

    /// Does a batch in one transaction. If a step fails, each job has one of its own, so that none fails for another's
    /// sake. Not if the commit fails: a release that was done unseen would say `Lost` the second time. Answers whether
    /// a checkpoint is due.
    fn work(&self, batch: Vec<Job>) -> bool {
        let calls: Vec<_> = batch.iter().map(|job| &job.call).collect();
        let (done, due) = {
            let mut file = self.file();
            (transact(&mut file, &self.pipe, Patience::Some, &calls), file.is_due())
        };
        match done {
            Err(Failure { at: Stage::Step, .. }) if batch.len() > 1 => {
                // Each of them answers; the last one knows best.
                return batch.into_iter().map(|job| self.work(vec![job])).last().unwrap_or(due);
            }
            Err(failure) => {
                batch.into_iter().for_each(|job| drop(job.reply.send(Err(failure.error.clone()))));
            }
            Ok(done) => {
                self.ring(done.turns);
                for (job, answer) in batch.into_iter().zip(done.answers) {
                    let _ = job.reply.send(Ok(answer));
                }
            }
        }
        due
    }

    /// Rings those who have their turn: here directly, elsewhere through their client's pipe.
    fn ring(&self, turns: Vec<Turn>) {
        for turn in turns {
            if turn.bell == self.pipe.name {
                self.bells.ring(turn.tag);
            } else {
                self.pipe.pipes().ring(&turn.bell, turn.tag);
            }
        }
    }

    fn file(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a transaction did, once it is committed.
#[derive(Default)]
struct Done {
    answers: Vec<Answer>,
    turns: Vec<Turn>,
}

fn transact(file: &mut File, pipe: &Pipe, patience: Patience, calls: &[&Call]) -> Result<Done, Failure> {
    file.transaction(&pipe.name, patience, |steps| {
        let mut done = Done::default();
        for call in calls {
            done.answers.push(match call {
                Call::Acquire(claim) => Answer::Attempt(steps.acquire(claim)?),
                Call::Renew(claims) => {
                    let renewed = claims.iter().map(|claim| steps.renew(claim));
                    Answer::Ownerships(renewed.collect::<rusqlite::Result<_>>()?)
                }
                Call::Release(claim, keep) => {
                    let (ownership, turns) = steps.release(claim, *keep)?;
                    done.turns.extend(turns);
                    Answer::Ownership(ownership)
                }
            });
        }
        Ok(done)
    })
}

#[cfg(test)]
mod tests;
