//! A fill arrives twice, and a bot is evaluated by everybody: each trade must happen once.
//!
//! How it is locked is `examples/src/trade/guarded.rs`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Parser, Subcommand};
use examples::options::{DATA, Options};
use examples::place::Place;
use examples::trade::books::Books;
use examples::trade::check::{Offence, check};
use examples::trade::duty::{Role, Share, work};
use examples::trade::exchange::{Exchange, Fault};
use examples::trade::guarded::Desk;
use examples::trade::run::{Staff, run};
use examples::workers::say;
use examples::{logging, program, table, workers};
use humantime::{format_duration, parse_duration};

/// A fill arrives twice, and a bot is evaluated by everybody: each trade must happen once.
///
/// The exchange fills limit orders. Every fill arrives twice at once: over the exchange's socket, and from a
/// scheduler that polls. It must become one trade and move one position, although all of them read, ask the
/// exchange, and write what they have calculated. Some orders belong to bots: several evaluators would like to
/// trade them, but a bot must not trade twice inside its cooldown. Real processes do all of this at the same time.
/// At the end the stored trades, positions and times are checked against the file of orders; a broken one is named
/// and makes the exit code 1. With --no-locks the same workers run bare: see what they do to the books.
///
/// Books are drawn a name when they are made, and their locks are named after it, as books-1f2e3d4c/bot/bot-4: runs that
/// share a store do not get in each other's way, because a bot of other books is another bot. With --backend postgres://… the
/// books are in PostgreSQL, too: a position is locked by its row, and a bot's trade is committed only while its lock is held.
#[derive(Parser, Debug)]
#[command(name = "trade", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Looks for damage in books that were kept with --data, and names every offender
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
    /// The orders, as id,exchange,symbol,side,quantity,price,bot
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/data/orders.csv"))]
    orders: PathBuf,
    #[command(flatten)]
    options: Options,
    /// Processes that record fills and wait in line for a busy position
    #[arg(long, value_name = "N", default_value_t = 2)]
    sockets: usize,
    /// Processes that record fills, skip a busy position and come back
    #[arg(long, value_name = "N", default_value_t = 2)]
    schedulers: usize,
    /// Processes that let bots trade
    #[arg(long, value_name = "N", default_value_t = 2)]
    evaluators: usize,
    /// How long a bot must not trade again
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = parse_duration)]
    cooldown: Duration,
    #[command(flatten)]
    pace: Pace,
}

/// How fast a worker goes.
#[derive(Args, Debug)]
struct Pace {
    /// How long the exchange takes to confirm an order
    #[arg(long, value_name = "TIME", default_value = "1ms", value_parser = parse_duration)]
    latency: Duration,
    /// How long the work under a lock may take; its write as long again, and so the wait for a row
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    patience: Duration,
    /// How many fills a worker looks at together
    #[arg(long, value_name = "N", default_value_t = 8)]
    at_once: usize,
}

impl Pace {
    fn to_args(&self) -> Vec<String> {
        let time = |time: Duration| format_duration(time).to_string();
        let [latency, patience, at_once] =
            [time(self.latency), time(self.patience), self.at_once.to_string()];
        ["--latency", &latency, "--patience", &patience, "--at-once", &at_once].map(String::from).to_vec()
    }
}

#[derive(Args, Debug)]
struct Worker {
    role: Role,
    #[arg(long)]
    name: String,
    #[arg(long = "seat")]
    seats: Vec<usize>,
    #[arg(long)]
    of: usize,
    /// What the exchange does wrong with this worker's first trade
    #[arg(long)]
    fault: Option<Fault>,
    /// The file that an exchange that stalls waits for
    #[arg(long, default_value = "answer")]
    answer: PathBuf,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    pace: Pace,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        None => start(cli.run).await,
        Some(Command::Check { data }) => inspect(data).await,
        Some(Command::Worker(worker)) => serve(worker).await,
    };
    program::end(outcome)
}

async fn start(asked: Run) -> Result<ExitCode> {
    let Run { orders, options, sockets, schedulers, evaluators, cooldown, pace } = asked;
    ensure!(pace.at_once >= 1, "--at-once must be one or more");
    logging::start("warn");
    let interrupted = program::interruption()?;
    let staff = Staff { sockets, schedulers, evaluators };
    let Some(outcome) = run(&orders, &options, staff, cooldown, &pace.to_args(), interrupted).await? else {
        return Ok(program::interrupted());
    };
    say(outcome.table.to_string().trim_end());
    outcome.casualties.iter().for_each(|casualty| say(casualty));
    program::show_some(&outcome.findings.offences);
    Ok(verdict(&outcome.findings.offences, outcome.casualties.len()))
}

async fn inspect(data: Place) -> Result<ExitCode> {
    let books = Books::open(&data, Duration::MAX).await?;
    let orders = books.orders().await?;
    let findings = check(&books, &orders).await?;
    say(&format!("{} orders, {} trades", table::grouped(orders.len()), table::grouped(findings.trades)));
    findings.offences.iter().for_each(|offence| say(&offence.to_string()));
    Ok(verdict(&findings.offences, 0))
}

fn verdict(offences: &[Offence], lost: usize) -> ExitCode {
    let clean = "one trade an order, every position adds up, no bot inside its cooldown";
    program::verdict(offences.len(), lost, clean, "the books")
}

/// A worker process: does its share and ends.
async fn serve(worker: Worker) -> Result<ExitCode> {
    let Worker { role, name, seats, of, fault, answer, options, pace } = worker;
    logging::start(if options.no_locks { "error" } else { "warn" });
    let data = options.data.clone().context("a worker needs --data")?;
    let books = Books::open(&data, options.ttl).await?;
    let lanes = Share { seats, of }.lanes(role, books.orders().await?);
    let locks = options.locks(&data, &name).await?;
    let exchange = Arc::new(Exchange::new(pace.latency, fault, answer));
    let desk = Desk { locks: locks.clone(), books, exchange, patience: pace.patience, worker: name };
    let outcome = workers::serve(work(&desk, role, lanes, pace.at_once)).await;
    if let Some(locks) = locks {
        locks.keys.close().await;
    }
    outcome.map(|()| ExitCode::SUCCESS)
}
