//! This project beside bare drivers and peers, on servers of the same kind in the same run.
//!
//! ```text
//! cargo run --release -- --backend redis:                # a server of its own; or redis://127.0.0.1
//! cargo run --release -- --backend redis: --only pair,throughput --rounds 3
//! cargo run --release -- --backend postgres: --rival lock-postgres,sqlx
//! cargo run --release -- --draw results                  # tables and charts of what was recorded
//! ```
//!
//! Every figure is printed as measured; ratios are to the bare driver of the same store. Nothing here asserts.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads clocks, sleeps and spawns")]

mod etcd;
mod job;
mod machine;
mod measure;
mod ours;
mod postgres;
mod record;
mod redis;
mod report;
mod rival;
mod run;
mod sqlite;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::job::Job;
use crate::measure::Measure;
use crate::rival::Failure;

/// Measures this project beside bare drivers and peers.
#[derive(Parser)]
struct Arguments {
    /// The store: `sqlite:PATH`, `redis://HOST`, `postgres://HOST`, `etcd://HOST`; `sqlite:`, `redis:`, `postgres:` or
    /// `etcd:` for one of its own; or `memory:`.
    #[arg(long, default_value = "memory:")]
    backend: String,
    /// Which measures; all but one-client, if none is named.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Measure>,
    /// Which measures not.
    #[arg(long, value_delimiter = ',')]
    skip: Vec<Measure>,
    /// Which rivals: whoever's name begins with one of these.
    #[arg(long, value_delimiter = ',')]
    rival: Vec<String>,
    /// Rounds, in each of which all rivals take turns.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Few and short, to see that it works; its figures say little.
    #[arg(long)]
    quick: bool,
    /// A file that what is measured is added to, a line for each cell.
    #[arg(long)]
    record: Option<PathBuf>,
    /// Measures nothing: writes tables and charts of all records in a directory, beside it.
    #[arg(long, value_name = "DIRECTORY")]
    draw: Option<PathBuf>,
    /// Does one thing for the process that started this one.
    #[arg(long, hide = true)]
    job: Option<String>,
}

impl Arguments {
    fn wants(&self, measure: Measure) -> bool {
        let named = match self.only.is_empty() {
            true => measure != Measure::OneClient,
            false => self.only.contains(&measure),
        };
        named && !self.skip.contains(&measure)
    }

    fn compares(&self, rival: &str) -> bool {
        self.rival.is_empty() || self.rival.iter().any(|name| rival.starts_with(&**name))
    }
}

fn main() -> ExitCode {
    match work(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn work(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(directory) = &arguments.draw {
        return report::draw(directory);
    }
    let stores = store::open(&arguments.backend)?;
    // SQLite's driver has a thread for each who waits.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).max_blocking_threads(1_200).enable_all().build()?;
    let Some(job) = &arguments.job else {
        return runtime.block_on(run::run(arguments, &stores));
    };
    let job: Job = serde_json::from_str(job)?;
    runtime.block_on(job.run(&stores, arguments.quick))?;
    // Whoever still waits is not waited for.
    std::process::exit(0)
}
