//! Requests of one kind gather while others are under way, and go together.
//!
//! A lone request goes at once, as part of whoever asks, until somebody else waits for it to end. What gathers meanwhile
//! goes in one script: what a script costs the server, however little it does, is paid once for all. Where enough gather
//! they do not wait for its end, or the server would wait for the client and the client for the server, in turns.
#![allow(
    clippy::disallowed_methods,
    reason = "what goes together is nobody's own, and goes on without any of them"
)]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lock_core::{Drive, Driven, Error, ErrorKind, Result};
use redis::Value;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::link::Link;
use crate::step::{Part, Step};

/// The most names of one script, which holds up every other client of the server. One claim always goes.
const NAMES: usize = 256;

/// The most scripts of one kind that are under way at a time, where no replicas are waited for: two would wait for them one
/// after the other, longer than for the connection. Beyond that, more gather.
const SCRIPTS: usize = 8;

/// How many requests are worth a script beside another.
const ENOUGH: usize = 12;

/// The requests of one kind.
pub(crate) struct Group {
    link: Arc<Link>,
    step: Step,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: Vec<Job>,
    /// How many scripts are under way.
    under_way: usize,
    /// The one under way, if it is part of whoever asked.
    driven: Option<Driven>,
}

/// What is asked for, and where the answer goes.
struct Job {
    part: Part,
    reply: oneshot::Sender<Result<Value>>,
    /// Where somebody waits for it.
    runtime: Handle,
}

impl Group {
    pub(crate) fn new(link: &Arc<Link>, step: Step) -> Arc<Self> {
        Arc::new(Self { link: link.clone(), step, state: Mutex::default() })
    }

    /// Asks for one claim, alone or with others.
    pub(crate) async fn ask(self: &Arc<Self>, part: Part) -> Result<Value> {
        let (reply, answer) = oneshot::channel();
        let answer = match self.enter(Job { part, reply, runtime: Handle::current() }) {
            Some(drive) => drive.until(answer).await,
            None => answer.await,
        };
        answer.unwrap_or_else(|_| Err(gone()))
    }

    /// What is to be driven, if nothing is under way. Else that goes on by itself from now on.
    fn enter(self: &Arc<Self>, job: Job) -> Option<Drive> {
        let mut state = self.state();
        if state.under_way == 0 {
            state.under_way = 1;
            let drive = Drive::new(Turn(self.clone()).carry(vec![job]));
            state.driven = Some(drive.driven());
            return Some(drive);
        }
        state.waiting.push(job);
        let driven = state.driven.take();
        let scripts = if self.link.replicas() > 0 { 1 } else { SCRIPTS };
        let another = state.under_way < scripts && state.waiting.len() >= ENOUGH;
        state.under_way += usize::from(another);
        drop(state);
        driven.iter().for_each(Driven::let_go);
        if another {
            // As if one had ended, those who wait go.
            drop(Turn(self.clone()));
        }
        None
    }

    /// What goes next, instead of one that was under way.
    fn next(&self) -> Vec<Job> {
        let mut state = self.state();
        // Nobody waits for the answer any more.
        state.waiting.retain(|job| !job.reply.is_closed());
        let mut names = 0;
        let fits = |job: &&Job| {
            let first = names == 0;
            names += job.part.words.len();
            first || names <= NAMES
        };
        let count = state.waiting.iter().take_while(fits).count();
        state.under_way -= usize::from(count == 0);
        state.driven = None;
        state.waiting.drain(..count).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to have something under way. Whatever ends it, those who wait go next.
struct Turn(Arc<Group>);

impl Turn {
    async fn run(&self, parts: &[Part]) -> Vec<Result<Value>> {
        self.0.step.run(&self.0.link, parts).await
    }

    /// Runs for others, none of whom it depends on.
    async fn carry(self, jobs: Vec<Job>) {
        let (parts, replies): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.part, job.reply)).unzip();
        let answers = self.run(&parts).await;
        // Who goes next need not wait until all have heard.
        drop(self);
        for (reply, answer) in replies.into_iter().zip(answers) {
            // Who does not listen any more has the core clean up.
            let _ = reply.send(answer);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let jobs = self.0.next();
        if let Some(job) = jobs.first() {
            // A runtime on which somebody waits is one that runs.
            let runtime = job.runtime.clone();
            drop(runtime.spawn(Self(self.0.clone()).carry(jobs)));
        }
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Unavailable, "the runtime that was to ask has ended")
}
