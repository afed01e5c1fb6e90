//! What a policy pays for a day is calculated by several workers at once, and must be paid once.
//!
//! How it is locked is `examples/src/claim/guarded.rs`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use examples::claim::check::{Offence, check};
use examples::claim::duty::work;
use examples::claim::guarded::Desk;
use examples::claim::input::Input;
use examples::claim::ledger::Ledger;
use examples::claim::model::{Fault, Model};
use examples::claim::run::run;
use examples::options::{DATA, Options};
use examples::place::Place;
use examples::workers::say;
use examples::{logging, program, table, workers};
use humantime::{format_duration, parse_duration};

/// What a policy pays for a day is calculated by several workers at once, and must be paid once.
///
/// Parametric insurance: nobody assesses a damage. A policy covers a region; whatever happens there has a tier from 1 to 3 and
/// a time. A tier pays 10, 25 or 50 percent of the cover, once for a day, and a policy never pays more than its limit over all
/// its days. Several workers, each a process, go through all days of all policies and calculate what is to be paid: they look
/// at the events and at what was paid, ask a model that takes its time, and write claims. Whoever finds a day taken skips it
/// and comes back. At the end the stored claims are compared with what one calculation gives; what was paid twice, wrongly or
/// beyond a limit is named and makes the exit code 1. With --no-locks the same workers run bare: see what they pay.
///
/// The ledger is drawn a name when it is made, and its locks are named after it, as claims-1f2e3d4c/claim_calc/P-007/2025-01-15:
/// runs that share a store do not get in each other's way. With --backend postgres://… the ledger is in PostgreSQL, too: events
/// are locked by their rows, and claims are committed only while the day's lock is held.
#[derive(Parser, Debug)]
#[command(name = "claim", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Looks for damage in a ledger that was kept with --data, and names every offender
    Check {
        /// The place that was given to the run
        #[arg(long, value_name = "PLACE", env = DATA, hide_env_values = true)]
        data: Place,
    },
    /// One of the processes of a run
    #[command(hide = true)]
    Worker(Worker),
}

#[derive(Args, Debug)]
struct Run {
    /// The policies, as id,region,cover,limit,from,to
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/data/policies.csv"))]
    policies: PathBuf,
    /// What happened, as id,region,tier,at
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/data/events.csv"))]
    events: PathBuf,
    #[command(flatten)]
    options: Options,
    /// Processes that calculate
    #[arg(long, value_name = "N", default_value_t = 3)]
    workers: usize,
    #[command(flatten)]
    pace: Pace,
}

/// How fast a worker goes.
#[derive(Args, Debug)]
struct Pace {
    /// How long the model takes
    #[arg(long, value_name = "TIME", default_value = "1ms", value_parser = parse_duration)]
    latency: Duration,
    /// How long the work under a lock may take; its write as long again
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    patience: Duration,
    /// How many days a worker looks at together
    #[arg(long, value_name = "N", default_value_t = 4)]
    at_once: usize,
    /// How often a calculation is attempted that fails
    #[arg(long, value_name = "N", default_value_t = 3)]
    attempts: u32,
}

impl Pace {
    fn to_args(&self) -> Vec<String> {
        let time = |time: Duration| format_duration(time).to_string();
        let args = [
            ("--latency", time(self.latency)),
            ("--patience", time(self.patience)),
            ("--at-once", self.at_once.to_string()),
            ("--attempts", self.attempts.to_string()),
        ];
        args.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }
}

#[derive(Args, Debug)]
struct Worker {
    #[arg(long)]
    name: String,
    /// What goes wrong with this worker's first calculation, and when
    #[arg(long)]
    fault: Option<Fault>,
    /// The file that what stalls waits for
    #[arg(long, default_value = "answer")]
    answer: PathBuf,
    /// The only policy that it looks at
    #[arg(long)]
    policy: Option<String>,
    /// The only day that it looks at
    #[arg(long)]
    day: Option<String>,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    pace: Pace,
}

#[tokio::main]
async fn main() -> ExitCode {
    // A calculation may take longer than what the other workflows do under a lock.
    let matches = Cli::command().mut_arg("ttl", |ttl| ttl.default_value("120s")).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let outcome = match cli.command {
        None => start(cli.run).await,
        Some(Command::Check { data }) => inspect(data).await,
        Some(Command::Worker(worker)) => serve(worker).await,
    };
    program::end(outcome)
}

async fn start(asked: Run) -> Result<ExitCode> {
    let Run { policies, events, options, workers, pace } = asked;
    ensure!(pace.at_once >= 1, "--at-once must be one or more");
    ensure!(pace.attempts >= 1, "--attempts must be one or more");
    logging::start("warn");
    let interrupted = program::interruption()?;
    let input = Input::read(&policies, &events)?;
    let Some(outcome) = run(&input, &options, workers, &pace.to_args(), interrupted).await? else {
        return Ok(program::interrupted());
    };
    say(outcome.table.to_string().trim_end());
    outcome.casualties.iter().for_each(|casualty| say(casualty));
    program::show_some(&outcome.findings.offences);
    Ok(verdict(&outcome.findings.offences, outcome.casualties.len()))
}

async fn inspect(data: Place) -> Result<ExitCode> {
    let ledger = Ledger::open(&data, Duration::MAX).await?;
    let findings = check(&ledger, &ledger.input().await?).await?;
    let [claims, expected] = [findings.claims, findings.expected].map(table::grouped);
    say(&format!("{claims} claims; should be {expected}"));
    findings.offences.iter().for_each(|offence| say(&offence.to_string()));
    Ok(verdict(&findings.offences, 0))
}

fn verdict(offences: &[Offence], lost: usize) -> ExitCode {
    let clean = "every day was calculated, every tier paid once, no policy beyond its limit";
    program::verdict(offences.len(), lost, clean, "the ledger")
}

/// A worker process: does its share and ends.
async fn serve(worker: Worker) -> Result<ExitCode> {
    let Worker { name, fault, answer, policy, day, options, pace } = worker;
    logging::start(if options.no_locks { "error" } else { "warn" });
    let data = options.data.clone().context("a worker needs --data")?;
    let ledger = Ledger::open(&data, options.ttl).await?;
    let mut cases = ledger.input().await?.cases();
    let asked_for = |asked: &Option<String>, case: String| asked.as_ref().is_none_or(|asked| *asked == case);
    cases.retain(|case| asked_for(&policy, case.policy.clone()) && asked_for(&day, case.day.to_string()));
    let locks = options.locks(&data, &name).await?;
    let model = Arc::new(Model::new(pace.latency, fault, answer));
    let desk = Desk { locks: locks.clone(), ledger, model, patience: pace.patience, worker: name };
    let outcome = workers::serve(work(&desk, cases, pace.at_once, pace.attempts)).await;
    if let Some(locks) = locks {
        locks.keys.close().await;
    }
    outcome.map(|()| ExitCode::SUCCESS)
}
