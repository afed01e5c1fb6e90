//! What is measured: each measure of a rival at a size is a cell, which runs in a process of its own.

mod contest;
mod fairness;
mod growth;
mod hand_over;
mod held;
mod meter;
mod pairs;
mod process;
mod stats;

use std::collections::BTreeMap;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub(crate) use hand_over::{Half, contend};
pub(crate) use stats::median;

use crate::rival::{Failure, Rival};
use crate::store::Store;

/// Figures by name; a name ends with its unit.
pub(crate) type Values = BTreeMap<String, f64>;

/// What can be measured. The size of each is how many of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Measure {
    /// How long one task takes to acquire and release a free lock.
    Pair,
    /// How many pairs a second so many tasks do, each on its key.
    Throughput,
    /// From release to the next grant, with so many contenders in independent clients.
    Handover,
    /// The same with all contenders in one client.
    OneClient,
    /// The same with half of them in another process, each half one client.
    TwoProcesses,
    /// How evenly a lock comes to so many contenders who do not keep it for any time.
    Fairness,
    /// Pair and hand-over while so many other locks are held.
    Keys,
    /// Hand-over while so many wait for the lock.
    Waiters,
    /// What so many locks cost that are held and renewed.
    Held,
}

impl Measure {
    /// Whether in all of it somebody waits.
    pub(crate) fn is_waiting(self) -> bool {
        !matches!(self, Self::Pair | Self::Throughput | Self::Held | Self::Keys)
    }

    pub(crate) fn sizes(self, quick: bool) -> &'static [usize] {
        match self {
            Self::Pair => &[1],
            Self::Throughput => &[64],
            Self::Handover => &[2, 16, 256],
            Self::OneClient | Self::TwoProcesses => &[2, 16],
            Self::Fairness => &[16],
            Self::Keys if quick => &[1, 1_000],
            Self::Keys => &[1, 10, 100, 1_000, 10_000],
            Self::Waiters if quick => &[1, 1_000],
            Self::Waiters => &[1, 10, 100, 1_000],
            Self::Held => &[2_000, 10_000],
        }
    }

    /// In how many rounds: what takes long, and is a count more than a time, has one.
    pub(crate) fn rounds(self, asked: usize) -> usize {
        if self == Self::Held { asked.min(1) } else { asked }
    }
}

/// How much is done before a figure is believed.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    quick: bool,
    pairs: usize,
    throughput: Duration,
    turns: usize,
    /// The longest that turns may take, of those who take long.
    limit: Duration,
    watched: Duration,
}

impl Scale {
    pub(crate) fn new(quick: bool) -> Self {
        let [throughput, limit, watched] = if quick { [300, 700, 2_000] } else { [2_000, 3_000, 30_000] };
        let time = Duration::from_millis;
        let (pairs, turns) = if quick { (300, 60) } else { (3_000, 400) };
        Self { quick, pairs, turns, throughput: time(throughput), limit: time(limit), watched: time(watched) }
    }
}

/// What a cell has to work with.
pub(crate) struct Bench<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) rival: &'a dyn Rival,
    pub(crate) scale: Scale,
}

impl Bench<'_> {
    pub(crate) async fn run(&self, measure: Measure, size: usize) -> Result<Values, Failure> {
        match measure {
            Measure::Pair => pairs::latency(self).await,
            Measure::Throughput => pairs::throughput(self, size).await,
            Measure::Handover => hand_over::in_clients(self, size, 16).await,
            Measure::OneClient => hand_over::in_clients(self, size, 1).await,
            Measure::TwoProcesses => hand_over::in_processes(self, size).await,
            Measure::Fairness => fairness::fairness(self, size).await,
            Measure::Keys => growth::keys(self, size).await,
            Measure::Waiters => growth::waiters(self, size).await,
            Measure::Held => held::held(self, size).await,
        }
    }
}

fn values<const N: usize>(figures: [(&str, f64); N]) -> Values {
    figures.into_iter().map(|(name, figure)| (name.to_owned(), figure)).collect()
}

/// A key that no earlier cell has left anything under.
fn fresh(what: &str) -> String {
    format!("{what}/{:016x}", fastrand::u64(..))
}
