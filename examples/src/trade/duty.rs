//! What a worker process does: goes through its share of the orders until each has its answer.

use std::collections::VecDeque;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::ValueEnum;
use futures::FutureExt as _;
use tokio::task::JoinSet;
use tracing::{Instrument as _, error, error_span};

use crate::logging;
use crate::trade::guarded::{Answer, Desk, WhenBusy};
use crate::trade::orders::Order;
use crate::workers::{FAILED, say};

/// How long to leave a busy position or bot alone.
const PAUSE: Duration = Duration::from_millis(5);

/// How long to leave an order alone that ended in an error.
const REST: Duration = Duration::from_millis(100);

/// How often an order is tried that ends in an error.
const ATTEMPTS: usize = 3;

/// A worker's trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Hears of fills over the exchange's socket, and waits in line to record them.
    Socket,
    /// Polls for fills, skips what is busy, and comes back for it.
    Scheduler,
    /// Lets bots trade when their cooldown is over.
    Evaluator,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Socket => "socket",
            Self::Scheduler => "scheduler",
            Self::Evaluator => "evaluator",
        })
    }
}

/// Which of the orders are a worker's own: dealt out in turn, as cards are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Its places at the table, from zero.
    pub seats: Vec<usize>,
    /// How many places there are.
    pub of: usize,
}

impl Share {
    /// The shares of `own` workers of a side whose other side has `others`. Every fill goes to both sides, or to
    /// two workers of the only one there is.
    pub fn deal(own: usize, others: usize) -> impl Iterator<Item = Self> {
        (0..own).map(move |seat| {
            let second = (others == 0 && own > 1).then_some((seat + 1) % own);
            Self { seats: [seat].into_iter().chain(second).collect(), of: own }
        })
    }

    fn has(&self, turn: usize) -> bool {
        self.seats.contains(&(turn % self.of))
    }

    /// What to work through: a lane for every fill, or one for all the orders of a bot.
    pub fn lanes(&self, role: Role, orders: Vec<Order>) -> VecDeque<Lane> {
        let (bots, fills): (Vec<_>, Vec<_>) = orders.into_iter().partition(|order| order.bot.is_some());
        if role != Role::Evaluator {
            let mine = fills.into_iter().enumerate().filter(|(turn, _)| self.has(*turn));
            return mine.map(|(_, order)| Lane::new([order])).collect();
        }
        let mut all: Vec<(String, Vec<Order>)> = Vec::new();
        for order in bots {
            match all.iter_mut().find(|(bot, _)| bot == order.account()) {
                Some((_, orders)) => orders.push(order),
                None => all.push((order.account().to_owned(), vec![order])),
            }
        }
        let mine = |orders: Vec<Order>| orders.into_iter().enumerate().filter(|(turn, _)| self.has(*turn));
        all.into_iter().map(|(_, orders)| Lane::new(mine(orders).map(|(_, order)| order))).collect()
    }
}

/// Orders that are worked through one after the other.
#[derive(Clone, Debug, Default)]
pub struct Lane {
    orders: VecDeque<Order>,
    failures: usize,
}

impl Lane {
    fn new(orders: impl IntoIterator<Item = Order>) -> Self {
        Self { orders: orders.into_iter().collect(), failures: 0 }
    }

    fn next(&mut self) {
        self.orders.pop_front();
        self.failures = 0;
    }
}

/// Works through the lanes, `at_once` of them at a time, and says what came of every look.
///
/// # Errors
///
/// Orders were given up. The others are done all the same.
pub async fn work(desk: &Desk, role: Role, mut lanes: VecDeque<Lane>, at_once: usize) -> Result<()> {
    let mut looks = JoinSet::new();
    let mut given_up = 0;
    // What one bot has to wait for is no business of the others.
    let at_once = if role == Role::Evaluator { usize::MAX } else { at_once };
    loop {
        while looks.len() < at_once
            && let Some(lane) = lanes.pop_front()
        {
            if let Some(order) = lane.orders.front().cloned() {
                let desk = desk.clone();
                let span = error_span!("worker", name = desk.worker);
                let look = async move { (lane, look(&desk, role, &order).await) };
                looks.spawn(look.instrument(span));
            }
        }
        let Some(look) = looks.join_next().await else { break };
        let (mut lane, answer) = look?;
        match answer {
            Ok(answer) if answer.is_final() => lane.next(),
            Ok(_) => {}
            Err(_) if lane.failures + 1 < ATTEMPTS => lane.failures += 1,
            Err(_) => {
                given_up += 1;
                lane.next();
            }
        }
        lanes.push_back(lane);
    }
    if given_up > 0 {
        Err(anyhow!("gave up {given_up} orders after {ATTEMPTS} attempts each"))
    } else {
        Ok(())
    }
}

/// Looks at an order once. A panic is an error like any other: the desk is still there for the next.
async fn look(desk: &Desk, role: Role, order: &Order) -> Result<Answer> {
    let answer = async {
        match (role, &order.bot) {
            (Role::Socket, _) => desk.fill(order, WhenBusy::Wait).await,
            (Role::Scheduler, _) => desk.fill(order, WhenBusy::Skip).await,
            (Role::Evaluator, Some(bot)) => desk.evaluate(bot, order).await,
            (Role::Evaluator, None) => Err(anyhow!("{} belongs to no bot", order.id)),
        }
    };
    let answer =
        AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|_| Err(anyhow!("it panicked")));
    match &answer {
        Ok(answer) => say(answer.word()),
        Err(error) => {
            error!(order = order.id, "{}", logging::line(error));
            say(FAILED);
        }
    }
    match answer {
        Ok(Answer::Cooling(left)) => tokio::time::sleep(left).await,
        Ok(answer) if answer.is_final() => {}
        Ok(_) => tokio::time::sleep(PAUSE).await,
        Err(_) => tokio::time::sleep(REST).await,
    }
    answer
}

impl Answer {
    /// What a worker says of it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::AlreadyRecorded => "already-recorded",
            Self::Skipped => "skipped",
            Self::InProgress => "in-progress",
            Self::Cooling(_) => "cooling",
            Self::Duplicate => "duplicate",
            Self::Stale => "stale",
        }
    }

    /// Whether the order is done with.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Recorded | Self::AlreadyRecorded | Self::Duplicate)
    }
}
