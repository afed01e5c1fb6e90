//! Requests wait in line for a connection; whatever waits when it is free goes in one call.
//!
//! A lone request finds the connection free and goes at once, as part of whoever asks. While it is away others gather, and
//! go together: one round trip and one commit for all of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lock_core::{Claim, Drive, Driven, Error, ErrorKind, Ownership, Result};
use sqlx::postgres::PgArguments;
use tokio::sync::oneshot;

use crate::error::strange;
use crate::house::House;
use crate::link::Link;
use crate::steps::{self, Looked, Statements};

/// The most keys of one call to acquire or release, which holds up others who want them.
const KEYS: usize = 256;

/// Those who want something of a connection, one call at a time.
#[derive(Debug)]
pub(crate) struct Line {
    link: Arc<Link>,
    statements: Arc<Statements>,
    channel: Arc<str>,
    house: Arc<House>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: Vec<Job>,
    /// Somebody works it off.
    busy: bool,
    /// Whoever began that, unless others have come since.
    driven: Option<Driven>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

type Reply<T> = oneshot::Sender<T>;

/// What is asked for, and where the answer goes.
enum Job {
    /// Whether it comes for the first time, too.
    Acquire(Claim, bool, Reply<Result<Looked>>),
    Release(Claim, Duration, Reply<Result<Ownership>>),
    Renew(Vec<Arc<Claim>>, Reply<Vec<Result<Ownership>>>),
}

impl Job {
    fn keys(&self) -> usize {
        match self {
            Self::Acquire(claim, ..) | Self::Release(claim, ..) => claim.keys().len(),
            Self::Renew(..) => 0,
        }
    }

    /// Nobody waits for the answer any more.
    fn forsaken(&self) -> bool {
        match self {
            Self::Acquire(_, _, reply) => reply.is_closed(),
            // Its owner wants it gone all the same.
            Self::Release(..) => false,
            Self::Renew(_, reply) => reply.is_closed(),
        }
    }
}

impl Line {
    pub(crate) fn new(
        link: Arc<Link>,
        statements: Arc<Statements>,
        channel: Arc<str>,
        house: Arc<House>,
    ) -> Arc<Self> {
        Arc::new(Self { link, statements, channel, house, state: Mutex::default() })
    }

    /// Another line of the same client.
    pub(crate) fn beside(&self, link: Arc<Link>) -> Arc<Self> {
        Self::new(link, self.statements.clone(), self.channel.clone(), self.house.clone())
    }

    /// `first` says that the claim comes for the first time.
    pub(crate) async fn acquire(self: &Arc<Self>, claim: &Claim, first: bool) -> Result<Looked> {
        let answer = self.ask(|reply| Job::Acquire(claim.clone(), first, reply)).await;
        answer.unwrap_or_else(|| Err(gone()))
    }

    pub(crate) async fn release(self: &Arc<Self>, claim: &Claim, keep: Duration) -> Result<Ownership> {
        let answer = self.ask(|reply| Job::Release(claim.clone(), keep, reply)).await;
        answer.unwrap_or_else(|| Err(gone()))
    }

    pub(crate) async fn renew(self: &Arc<Self>, claims: &[Arc<Claim>]) -> Vec<Result<Ownership>> {
        let answer = self.ask(|reply| Job::Renew(claims.to_vec(), reply)).await;
        answer.unwrap_or_else(|| vec![Err(gone()); claims.len()])
    }

    /// The answer; nothing if the runtime that was to get it has ended.
    async fn ask<T>(self: &Arc<Self>, job: impl FnOnce(Reply<T>) -> Job) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        match self.queue(job(reply)) {
            Some(drive) => drive.until(answer).await.ok(),
            None => answer.await.ok(),
        }
    }

    /// What is to be driven, if nobody works the line off; or else whoever does so goes on by himself.
    fn queue(self: &Arc<Self>, job: Job) -> Option<Drive> {
        let mut state = self.state();
        state.waiting.push(job);
        if std::mem::replace(&mut state.busy, true) {
            let driven = state.driven.take();
            drop(state);
            driven.iter().for_each(Driven::let_go);
            return None;
        }
        let drive = Drive::new(work(Shift { line: self.clone(), over: false }));
        if !self.link.server.is_ours() {
            // A step is a transaction of several requests there: it must not stand open until somebody polls.
            drop(state);
            drive.driven().let_go();
            return None;
        }
        state.driven = Some(drive.driven());
        Some(drive)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What goes next; nothing ends the shift.
    fn next(&self) -> Option<Vec<Job>> {
        let mut state = self.state();
        state.waiting.retain(|job| !job.forsaken());
        let mut keys = 0;
        let fits = |job: &Job| {
            keys += job.keys();
            keys <= KEYS
        };
        // One job fits always.
        let count = state.waiting.iter().map(fits).take_while(|fits| *fits).count();
        let jobs: Vec<_> = state.waiting.drain(..count).collect();
        state.busy = !jobs.is_empty();
        if !state.busy {
            state.driven = None;
        }
        (!jobs.is_empty()).then_some(jobs)
    }

    async fn run(&self, jobs: Vec<Job>) {
        let (mut acquires, mut releases, mut renewals) = (Vec::new(), Vec::new(), Vec::new());
        for job in jobs {
            match job {
                Job::Acquire(claim, first, reply) => acquires.push((claim, first, reply)),
                Job::Release(claim, keep, reply) => releases.push((claim, keep, reply)),
                Job::Renew(claims, reply) => renewals.push((claims, reply)),
            }
        }
        // What is held goes first.
        for (claims, reply) in renewals {
            let _ = reply.send(self.run_renewal(&claims).await);
        }
        if !releases.is_empty() {
            let claims: Vec<_> = releases.iter().map(|(claim, keep, _)| (claim, *keep)).collect();
            let answers = self.run_releases(&claims).await;
            let mut answers = each(answers, claims.len());
            for (_, _, reply) in releases {
                let _ = reply.send(answers.next().unwrap_or_else(|| Err(strange())));
            }
        }
        if !acquires.is_empty() {
            let claims: Vec<_> = acquires.iter().map(|(claim, first, _)| (claim, *first)).collect();
            let answers = self.run_acquires(&claims).await;
            let mut answers = each(answers, claims.len());
            for (_, _, reply) in acquires {
                let _ = reply.send(answers.next().unwrap_or_else(|| Err(strange())));
            }
        }
    }

    async fn run_acquires(&self, claims: &[(&Claim, bool)]) -> Result<Vec<Result<Looked>>> {
        let (channel, unicode) = (&self.channel, self.link.server.unicode);
        let row = if let [(claim, true)] = claims
            && let [key] = claim.keys()
        {
            let arguments = || steps::take(claim, key, channel, unicode);
            self.link.call(&self.statements.take, arguments, true).await?
        } else {
            let claims: Vec<_> = claims.iter().map(|(claim, _)| *claim).collect();
            let arguments = || steps::acquire(&claims, channel, unicode);
            self.link.call(&self.statements.acquire, arguments, true).await?
        };
        steps::acquired(&row)
    }

    async fn run_releases(&self, claims: &[(&Claim, Duration)]) -> Result<Vec<Result<Ownership>>> {
        let row = if let [(claim, Duration::ZERO)] = claims
            && let [key] = claim.keys()
        {
            self.link.call(&self.statements.leave, || steps::leave(claim, key), false).await?
        } else {
            self.link.call(&self.statements.release, || steps::release(claims), false).await?
        };
        steps::released(&row, claims)
    }

    async fn run_renewal(&self, claims: &[Arc<Claim>]) -> Vec<Result<Ownership>> {
        let arguments = || steps::renew(claims);
        let answers = match self.link.call(&self.statements.renew, arguments, true).await {
            Ok(row) => steps::renewed(&row, claims),
            Err(error) => Err(error),
        };
        each(answers, claims.len()).collect()
    }

    /// Keeps house. That it fails is nobody's error: it is due again soon.
    async fn sweep(&self) {
        let swept = self.link.call(&self.statements.sweep, || Ok(PgArguments::default()), true).await;
        if let Err(error) = swept.and_then(|found| self.house.mend(&found)) {
            tracing::debug!(%error, "what has lapsed was not removed");
        }
    }
}

/// Somebody's time at the line. Should the runtime end first, those who wait are told, and the next one starts another.
struct Shift {
    line: Arc<Line>,
    over: bool,
}

impl Drop for Shift {
    fn drop(&mut self) {
        if !self.over {
            let mut state = self.line.state();
            state.busy = false;
            state.waiting.clear();
        }
    }
}

async fn work(mut shift: Shift) {
    while let Some(jobs) = shift.line.next() {
        shift.line.run(jobs).await;
        if shift.line.house.due() {
            shift.line.sweep().await;
        }
    }
    shift.over = true;
}

/// An answer for each, or the error for each.
fn each<T: Clone>(answers: Result<Vec<Result<T>>>, count: usize) -> impl Iterator<Item = Result<T>> {
    match answers {
        Ok(answers) if answers.len() == count => answers,
        Ok(_) => vec![Err(strange()); count],
        Err(error) => vec![Err(error); count],
    }
    .into_iter()
}

fn gone() -> Error {
    Error::new(ErrorKind::Unavailable, "the runtime that drove the connection has ended")
}
