//! The one thread of a client that touches the database: everything queued by then goes into one transaction.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use lock_core::{Attempt, Bells, Claim, Error, ErrorKind, Ownership, Result};
use tokio::sync::oneshot;

use crate::file::File;
use crate::steps::Turn;
use crate::wakeups::Pipe;

/// The most jobs of one transaction: others want the file too.
const BATCH: usize = 1024;

/// Something to do in the database, and whom to tell.
pub(crate) struct Job {
    pub(crate) call: Call,
    pub(crate) reply: oneshot::Sender<Result<Answer>>,
}

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

/// What a transaction did, once it is committed.
#[derive(Default)]
struct Done {
    answers: Vec<Answer>,
    turns: Vec<Turn>,
}

/// Opens the database on a thread of its own and starts to work off jobs; ends when the sender is dropped.
pub(crate) async fn start(
    open: impl FnOnce() -> Result<(File, Pipe)> + Send + 'static,
    bells: Bells,
) -> Result<Sender<Job>> {
    let (sender, jobs) = channel();
    let (ready, opened) = oneshot::channel();
    let work = move || match open() {
        Ok((file, pipe)) => {
            let _ = ready.send(Ok(()));
            Writer { file, pipe, bells }.run(&jobs);
        }
        Err(error) => drop(ready.send(Err(error))),
    };
    let no_thread = |error| Error::new(ErrorKind::Unavailable, "no thread to be had").with_source(error);
    std::thread::Builder::new().name("lock-sqlite".into()).spawn(work).map_err(no_thread)?;
    opened.await.unwrap_or_else(|_| Err(gone()))?;
    Ok(sender)
}

/// The writer thread is not there any more; it ends only with the last handle, or by a panic.
pub(crate) fn gone() -> Error {
    Error::new(ErrorKind::Backend, "the writer thread has died; open the file anew")
}

struct Writer {
    file: File,
    pipe: Pipe,
    bells: Bells,
}

impl Writer {
    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let batch: Vec<_> = std::iter::once(first).chain(jobs.try_iter().take(BATCH - 1)).collect();
            self.work(batch);
        }
    }

    /// Does a batch in one transaction. If that fails, none of it happened: then each job has one of its own, so that
    /// no job fails for another's sake.
    fn work(&mut self, batch: Vec<Job>) {
        let done = self.attempt(&batch);
        match done {
            Err(_) if batch.len() > 1 => batch.into_iter().for_each(|job| self.work(vec![job])),
            Err(error) => batch.into_iter().for_each(|job| drop(job.reply.send(Err(error.clone())))),
            Ok(done) => {
                self.ring(done.turns);
                for (job, answer) in batch.into_iter().zip(done.answers) {
                    let _ = job.reply.send(Ok(answer));
                }
            }
        }
    }

    fn attempt(&mut self, batch: &[Job]) -> Result<Done> {
        let bell = &self.pipe.name;
        self.file.transaction(bell, |steps| {
            let mut done = Done::default();
            for job in batch {
                done.answers.push(match &job.call {
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

    /// Rings those who have their turn: here directly, elsewhere through their client's pipe.
    fn ring(&self, turns: Vec<Turn>) {
        for turn in turns {
            if turn.bell == self.pipe.name {
                self.bells.ring(turn.tag);
            } else {
                self.pipe.pipes().ring(&turn.bell, &[turn.tag]);
            }
        }
    }
}
