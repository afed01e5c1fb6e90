//! What a worker process does: goes through the days of all policies until each has its answer.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use anyhow::{Result, anyhow};
use futures::FutureExt as _;
use tokio::task::JoinSet;
use tracing::{Instrument as _, error, error_span};

use crate::claim::guarded::{Answer, Desk};
use crate::claim::input::Case;
use crate::logging;
use crate::workers::{FAILED, say};

/// How long to leave a day alone that somebody else is calculating.
const PAUSE: Duration = Duration::from_millis(5);

/// How long to leave a day alone whose calculation failed, and four times as long the next time: a database may have to
/// start again meanwhile.
const REST: Duration = Duration::from_secs(1);

/// Works through the days, `at_once` of them at a time, and says what came of every look. What fails is attempted so often.
///
/// # Errors
///
/// Days were given up. The others are done all the same.
pub async fn work(
    desk: &Desk,
    cases: impl IntoIterator<Item = Case>,
    at_once: usize,
    attempts: u32,
) -> Result<()> {
    let mut waiting: VecDeque<_> = cases.into_iter().map(|case| (case, 0)).collect();
    let mut looks = JoinSet::new();
    let mut given_up = 0;
    loop {
        while looks.len() < at_once
            && let Some((case, failures)) = waiting.pop_front()
        {
            let desk = desk.clone();
            let span = error_span!("worker", name = desk.worker);
            let look = async move {
                let answer = look(&desk, &case).await;
                match &answer {
                    Ok(answer) if answer.is_final() => {}
                    Ok(_) => tokio::time::sleep(PAUSE).await,
                    Err(_) if failures + 1 < attempts => tokio::time::sleep(REST * 4_u32.pow(failures)).await,
                    Err(_) => {}
                }
                (case, failures, answer)
            };
            looks.spawn(look.instrument(span));
        }
        let Some(look) = looks.join_next().await else { break };
        let (case, failures, answer) = look?;
        match answer {
            Ok(answer) if answer.is_final() => {}
            Ok(_) => waiting.push_back((case, failures)),
            Err(_) if failures + 1 < attempts => waiting.push_back((case, failures + 1)),
            Err(_) => given_up += 1,
        }
    }
    if given_up > 0 { Err(anyhow!("gave up {given_up} days after {attempts} attempts each")) } else { Ok(()) }
}

/// Looks at a day once. A panic is an error like any other: the desk is still there for the next.
async fn look(desk: &Desk, case: &Case) -> Result<Answer> {
    let answer = AssertUnwindSafe(desk.calculate(case)).catch_unwind().await;
    let answer = answer.unwrap_or_else(|_| Err(anyhow!("it panicked")));
    match &answer {
        Ok(answer) => say(answer.word()),
        Err(error) => {
            error!(policy = case.policy, day = %case.day, "{}", logging::line(error));
            say(FAILED);
        }
    }
    answer
}

impl Answer {
    /// What a worker says of it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Calculated => "calculated",
            Self::AlreadyCalculated => "already-calculated",
            Self::Skipped => "skipped",
            Self::Changed => "changed",
            Self::Stale => "stale",
        }
    }

    /// Whether the day is done with.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Calculated | Self::AlreadyCalculated)
    }
}
