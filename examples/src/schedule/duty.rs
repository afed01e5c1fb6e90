//! What a worker process does: goes through its share of the jobs until each has its answer.

use std::collections::VecDeque;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::ValueEnum;
use fastrand::Rng;
use futures::FutureExt as _;
use tokio::task::JoinSet;
use tracing::{Instrument as _, error, error_span};

use crate::logging;
use crate::schedule::cancel::Cancel;
use crate::schedule::edit::Change;
use crate::schedule::guarded::{Answer, Manner, Office};
use crate::schedule::shifts::Shift;
use crate::schedule::swap::Request;
use crate::workers::{FAILED, say};

/// How long to leave a block alone that is not generated.
const PAUSE: Duration = Duration::from_millis(20);

/// How long to leave a job alone that ended in an error.
const REST: Duration = Duration::from_millis(100);

/// How often a job is tried that ends in an error.
const ATTEMPTS: usize = 3;

/// How many days are fought over, from the first one on.
const HOT_DAYS: usize = 5;

/// One swap of so many is asked for ahead: for a shift that is not given away yet.
const AHEAD: usize = 4;

/// A worker's trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Generates the blocks, one after the other.
    Planner,
    /// Asks for swaps, and sees them through.
    Staff,
    /// Edits assignments.
    Editor,
    /// Reads boards.
    Reader,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Planner => "planner",
            Self::Staff => "staff",
            Self::Editor => "editor",
            Self::Reader => "reader",
        })
    }
}

/// Something to be done, until it has its answer.
#[derive(Clone, Debug)]
pub struct Job {
    task: Task,
    /// The swap, once it is accepted.
    swap: Option<i64>,
    begun: Instant,
    failures: usize,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// A block is to be generated.
    Block(String),
    /// Somebody wants this swap.
    Ask(Request),
    /// Somebody wants some swap: which one is drawn by this number, from what there is.
    Swap(usize),
    /// A shift of the first day is to be edited, both by this number; in this manner, or one or the other.
    Edit(usize, Option<Manner>),
    /// Some day is to be read.
    Board(usize),
}

impl Task {
    /// Those of a worker: every `of`th of `all`, from `seat` on. Blocks are everybody's.
    pub fn dealt(
        role: Role,
        seat: usize,
        of: usize,
        all: usize,
        shifts: &[Shift],
        manner: Option<Manner>,
    ) -> Vec<Self> {
        let own = (seat..all).step_by(of.max(1));
        match role {
            Role::Planner => {
                let mut blocks: Vec<_> = shifts.iter().map(|shift| shift.block.clone()).collect();
                blocks.dedup();
                blocks.into_iter().map(Self::Block).collect()
            }
            Role::Staff => own.map(Self::Swap).collect(),
            Role::Editor => own.map(|number| Self::Edit(number, manner)).collect(),
            Role::Reader => own.map(Self::Board).collect(),
        }
    }
}

/// Works through the tasks, `at_once` of them at a time, and says what came of every look.
///
/// # Errors
///
/// Some were given up. The others are done all the same.
pub async fn work(office: &Office, tasks: Vec<Task>, at_once: usize, cancel: &Cancel) -> Result<()> {
    let job = |task| Job { task, swap: None, begun: Instant::now(), failures: 0 };
    let mut jobs: VecDeque<_> = tasks.into_iter().map(job).collect();
    let mut looks = JoinSet::new();
    let mut given_up = 0;
    loop {
        while looks.len() < at_once
            && let Some(mut job) = jobs.pop_front()
        {
            let (office, cancel) = (office.clone(), cancel.clone());
            let span = error_span!("worker", name = office.worker);
            let look = async move {
                let answer = look(&office, &mut job, &cancel).await;
                (job, answer)
            };
            looks.spawn(look.instrument(span));
        }
        let Some(look) = looks.join_next().await else { break };
        let (mut job, answer) = look?;
        match answer {
            Ok(Answer::Cancelled) => jobs.clear(),
            Ok(answer) if answer.is_final() => {}
            Ok(_) => jobs.push_back(job),
            Err(_) if job.failures + 1 < ATTEMPTS => {
                job.failures += 1;
                jobs.push_front(job);
            }
            Err(_) => given_up += 1,
        }
    }
    if given_up > 0 { Err(anyhow!("gave up {given_up} jobs after {ATTEMPTS} attempts each")) } else { Ok(()) }
}

/// Looks at a job once. A panic is an error like any other: the office is still there for the next.
async fn look(office: &Office, job: &mut Job, cancel: &Cancel) -> Result<Answer> {
    let answer = AssertUnwindSafe(job.look(office, cancel)).catch_unwind().await;
    let answer = answer.unwrap_or_else(|_| Err(anyhow!("it panicked")));
    match &answer {
        Ok(answer) => say(answer.word()),
        Err(error) => {
            error!("{}", logging::line(error));
            say(FAILED);
        }
    }
    match answer {
        Ok(Answer::NotYet) => tokio::time::sleep(PAUSE).await,
        Ok(_) => {}
        Err(_) => tokio::time::sleep(REST).await,
    }
    answer
}

impl Job {
    async fn look(&mut self, office: &Office, cancel: &Cancel) -> Result<Answer> {
        let answer = match &self.task {
            Task::Block(block) => office.generate(block, cancel).await,
            Task::Ask(_) | Task::Swap(_) => self.swap(office).await,
            Task::Edit(number, manner) => {
                let shifts = office.rota.shifts().await?;
                let day = days(&shifts).next().context("there are shifts")?;
                let mut rng = Rng::with_seed(*number as u64);
                let (on, change) = (&day[rng.usize(..day.len())], change(*number));
                let manners = [Manner::Version, Manner::Lock];
                office.edit(&on.id, &change, manner.unwrap_or(manners[number / 2 % 2])).await
            }
            Task::Board(number) => {
                let shifts = office.rota.shifts().await?;
                let days: Vec<_> = days(&shifts).take(HOT_DAYS).collect();
                office.read(days[number % days.len()]).await
            }
        };
        match answer {
            Ok(Answer::NotYet) if self.begun.elapsed() > office.patience => {
                bail!("nobody has generated its block for {:?}", office.patience)
            }
            answer => answer,
        }
    }

    /// Asks for the swap, if that is not done, and sees it through.
    async fn swap(&mut self, office: &Office) -> Result<Answer> {
        if self.swap.is_none() {
            let request = match &self.task {
                Task::Ask(request) => Some(request.clone()),
                Task::Swap(number) => draw(office, *number).await?,
                _ => None,
            };
            let Some(request) = request else { return Ok(Answer::NotYet) };
            self.swap = Some(office.request(&request).await?);
            say(REQUESTED);
        }
        office.settle(self.swap.context("it was just asked for")?).await
    }
}

/// Draws a swap: of two shifts of one day, or ahead, for one of the next block. `None` as long as nothing is generated.
async fn draw(office: &Office, number: usize) -> Result<Option<Request>> {
    let mut rng = Rng::with_seed(number as u64);
    let (shifts, assignments) = (office.rota.shifts().await?, office.rota.assignments().await?);
    let holder =
        |shift: &Shift| assignments.iter().find(|its| its.shift == *shift).map(|its| its.person.clone());
    let hot: Vec<_> = days(&shifts).take(HOT_DAYS).filter(|day| holder(&day[0]).is_some()).collect();
    let Some(day) = rng.choice(&hot) else { return Ok(None) };
    let gives = &day[rng.usize(..day.len())];
    let Some(person) = holder(gives) else { return Ok(None) };
    let open = shifts.iter().find(|shift| holder(shift).is_none()).map(|shift| &shift.block);
    let ahead: Vec<_> = shifts.iter().filter(|shift| open == Some(&shift.block)).collect();
    let others = day.iter().filter(|shift| holder(shift).is_some_and(|other| other != person));
    let others: Vec<_> =
        if number.is_multiple_of(AHEAD) && !ahead.is_empty() { ahead } else { others.collect() };
    let takes = rng.choice(others);
    Ok(takes.map(|takes| Request { person, gives: gives.id.clone(), takes: takes.id.clone() }))
}

/// The shifts by the day on which they begin.
fn days(shifts: &[Shift]) -> impl Iterator<Item = &[Shift]> {
    shifts.chunk_by(|one, next| one.day() == next.day())
}

/// One of its own for each number, so that it is seen if it is lost.
fn change(number: usize) -> Change {
    if number.is_multiple_of(2) {
        Change::Note(format!("note-{number}"))
    } else {
        Change::Room(format!("room-{number}"))
    }
}

/// What a worker says of a swap that was accepted.
pub const REQUESTED: &str = "requested";

impl Answer {
    /// What a worker says of it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Generated => "generated",
            Self::AlreadyGenerated => "already-generated",
            Self::Cancelled => "cancelled",
            Self::Executed => "executed",
            Self::Refused => "refused",
            Self::Settled => "settled",
            Self::NotYet => "not-yet",
            Self::Edited => "edited",
            Self::Outdated => "outdated",
            Self::Read => "read",
            Self::Stale => "stale",
        }
    }

    /// Whether the job is done with.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::NotYet | Self::Outdated | Self::Stale)
    }
}
