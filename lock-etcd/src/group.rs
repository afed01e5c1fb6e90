//! Requests of one kind gather while some are under way, and go together.
//!
//! The first few go at once, as part of whoever asks, until somebody else waits for them to end. What gathers meanwhile goes
//! in one transaction: what a write costs the store, however little it does, is paid once for all.
#![allow(
    clippy::disallowed_methods,
    reason = "what goes together is nobody's own, and goes on without any of them"
)]

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::join_all;
use lock_core::{Drive, Driven, Error, ErrorKind, Key, Owner};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::error::Trouble;
use crate::link::Link;
use crate::steps::Step;

/// How many requests may be under way at a time, each of which may be several.
const LANES: usize = 2;

/// The most keys of one transaction of several requests: four operations a key, and one a request, are less than
/// [`MOST`](crate::steps::MOST).
const KEYS: usize = 24;

/// What a request came to.
pub(crate) type Answer<T> = Result<T, Trouble>;

/// How the requests of one kind go.
pub(crate) trait Kind: Send + Sync + 'static {
    type Answer: Send;

    /// Whether these may go in one transaction, as they are.
    fn together(&self, parts: &[Part]) -> bool;

    /// Does all of them, at one revision, and answers each.
    fn run(&self, link: &Link, parts: &[Part]) -> impl Future<Output = Answer<Vec<Self::Answer>>> + Send;
}

/// One request.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) step: Step,
    /// Where its condition does not hold, it writes nothing.
    pub(crate) skips: bool,
    /// It will write in any case, if not now.
    pub(crate) waits: bool,
    /// How many keys it is about.
    pub(crate) keys: usize,
    /// No two that have one of these in common go together: the store looks at the conditions of all before it does any.
    pub(crate) apart: Vec<Apart>,
}

/// What keeps requests apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Apart {
    /// They would have the same number in its queue.
    Key(Key),
    /// They would have the same token.
    Nth(u64),
    /// The second one would be told that it was there.
    Claim(Owner),
}

/// The requests of one kind.
pub(crate) struct Group<K: Kind> {
    link: Arc<Link>,
    kind: K,
    state: Mutex<State<K::Answer>>,
}

struct State<T> {
    waiting: Vec<Job<T>>,
    lanes: [Lane; LANES],
}

/// Where something may be under way.
enum Lane {
    /// Nothing is, and nobody waits.
    Free,
    /// A part of whoever asked.
    Driven(Driven),
    /// A task.
    Task,
}

/// What is asked for, and where the answer goes.
struct Job<T> {
    part: Part,
    reply: oneshot::Sender<Answer<T>>,
    /// Where somebody waits for it.
    runtime: Handle,
}

impl<K: Kind> Group<K> {
    pub(crate) fn new(link: &Arc<Link>, kind: K) -> Arc<Self> {
        let state = State { waiting: Vec::new(), lanes: [const { Lane::Free }; LANES] };
        Arc::new(Self { link: link.clone(), kind, state: Mutex::new(state) })
    }

    /// Asks for one, alone or with others.
    pub(crate) async fn ask(self: &Arc<Self>, part: Part) -> Answer<K::Answer> {
        let (reply, answer) = oneshot::channel();
        let answer = match self.enter(Job { part, reply, runtime: Handle::current() }) {
            Some(drive) => drive.until(answer).await,
            None => answer.await,
        };
        answer.unwrap_or_else(|_| Err(gone()))
    }

    /// What is to be driven, if a lane is free. Else what is under way goes on by itself from now on.
    fn enter(self: &Arc<Self>, job: Job<K::Answer>) -> Option<Drive> {
        let mut state = self.state();
        if let Some(lane) = state.lanes.iter().position(|lane| matches!(lane, Lane::Free)) {
            let drive = Drive::new(Turn(self.clone(), lane).carry(vec![job]));
            state.lanes[lane] = Lane::Driven(drive.driven());
            return Some(drive);
        }
        state.waiting.push(job);
        let lanes = state.lanes.each_mut().map(|lane| std::mem::replace(lane, Lane::Task));
        drop(state);
        for lane in lanes {
            if let Lane::Driven(driven) = lane {
                driven.let_go();
            }
        }
        None
    }

    /// What goes next on a lane.
    fn next(&self, lane: usize) -> Vec<Job<K::Answer>> {
        let mut state = self.state();
        // Nobody waits for the answer any more.
        state.waiting.retain(|job| !job.reply.is_closed());
        let (mut keys, mut taken) = (0, HashSet::new());
        let jobs = state.waiting.extract_if(.., |Job { part, .. }| {
            let fits = keys == 0 || keys + part.keys <= KEYS;
            let goes = fits && !part.apart.iter().any(|one| taken.contains(one));
            // One that has to wait goes before those that come after it.
            taken.extend(part.apart.iter().cloned());
            keys += part.keys;
            goes
        });
        let jobs: Vec<_> = jobs.collect();
        state.lanes[lane] = if jobs.is_empty() { Lane::Free } else { Lane::Task };
        jobs
    }

    fn state(&self) -> MutexGuard<'_, State<K::Answer>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to have something under way, on this lane. Whatever ends it, those who wait go next.
struct Turn<K: Kind>(Arc<Group<K>>, usize);

impl<K: Kind> Turn<K> {
    async fn run(&self, parts: &[Part]) -> Vec<Answer<K::Answer>> {
        let Group { link, kind, .. } = &*self.0;
        let one = async |part: &Part| match kind.run(link, std::slice::from_ref(part)).await {
            Ok(mut answers) => answers.pop().ok_or_else(gone),
            Err(trouble) => Err(trouble),
        };
        if !kind.together(parts) {
            return join_all(parts.iter().map(one)).await;
        }
        match (kind.run(link, parts).await, parts) {
            (Ok(answers), _) => answers.into_iter().map(Ok).collect(),
            (Err(trouble), [_]) => vec![Err(trouble)],
            // Somebody's lease is gone, and nothing was done.
            (Err(Trouble::NoLease), _) => join_all(parts.iter().map(one)).await,
            (Err(trouble), _) => {
                let error = Error::from(trouble);
                parts.iter().map(|_| Err(error.clone().into())).collect()
            }
        }
    }

    /// Runs for others, none of whom it depends on.
    async fn carry(self, jobs: Vec<Job<K::Answer>>) {
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

impl<K: Kind> Drop for Turn<K> {
    fn drop(&mut self) {
        let jobs = self.0.next(self.1);
        if let Some(job) = jobs.first() {
            // A runtime on which somebody waits is one that runs.
            let runtime = job.runtime.clone();
            drop(runtime.spawn(Self(self.0.clone(), self.1).carry(jobs)));
        }
    }
}

fn gone() -> Trouble {
    Error::new(ErrorKind::Unavailable, "the runtime that was to ask has ended").into()
}
