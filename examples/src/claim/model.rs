//! The model that damage is calculated by, as far as the example needs one: it takes its time, and things go wrong.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::ValueEnum as _;
use tracing::info;

use crate::claim::input::Case;

/// What goes wrong once, and when: `error@write`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    how: How,
    at: Point,
}

/// What may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum How {
    /// It fails.
    Error,
    /// It panics.
    Panic,
    /// It does not go on.
    Hang,
    /// It blocks its thread until there is a certain file.
    Stall,
}

/// When.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Point {
    /// The events have been read.
    Calculation,
    /// The claims have been written, and nothing committed.
    Write,
    /// All is committed.
    Commit,
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (how, at) = text.split_once('@').ok_or("expected HOW@POINT")?;
        Ok(Self { how: How::from_str(how, false)?, at: Point::from_str(at, false)? })
    }
}

/// What takes its time.
#[derive(Debug)]
pub struct Model {
    latency: Duration,
    answer: PathBuf,
    /// Happens to the first day, and not again.
    fault: Option<Fault>,
    used: AtomicBool,
}

impl Model {
    /// A model that takes `latency`, and a fault that happens once, if any. What stalls does so until there is a file
    /// `answer`.
    pub fn new(latency: Duration, fault: Option<Fault>, answer: PathBuf) -> Self {
        Self { latency, answer, fault, used: AtomicBool::new(false) }
    }

    /// Asks how bad a day was where it was worst.
    ///
    /// # Errors
    ///
    /// When it was told to fail.
    pub async fn assess(&self, case: &Case) -> Result<()> {
        tokio::time::sleep(self.latency).await;
        self.reach(Point::Calculation, case).await
    }

    /// Goes on, unless something goes wrong here.
    ///
    /// # Errors
    ///
    /// When it was told to fail.
    pub async fn reach(&self, point: Point, case: &Case) -> Result<()> {
        let here = self.fault.filter(|fault| fault.at == point);
        let Some(fault) = here.filter(|_| !self.used.swap(true, Ordering::Relaxed)) else { return Ok(()) };
        let (policy, day) = (&case.policy, &case.day);
        info!(policy, %day, how = ?fault.how, at = ?fault.at, "something goes wrong");
        match fault.how {
            How::Error => bail!("the calculation of {policy} on {day} failed"),
            How::Panic => panic!("the calculation of {policy} on {day} went astray"),
            How::Hang => std::future::pending().await,
            How::Stall => {
                while !self.answer.exists() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(())
            }
        }
    }
}
