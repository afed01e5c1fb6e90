//! A schedule of shifts is edited while its next block is generated: nothing is lost, and nobody booked twice.
//!
//! How it is locked is `examples/src/schedule/guarded.rs`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Parser, Subcommand};
use examples::options::{DATA, Options};
use examples::place::Place;
use examples::schedule::cancel::Cancel;
use examples::schedule::check::{Findings, check};
use examples::schedule::duty::{Role, Task, work};
use examples::schedule::fault::Faults;
use examples::schedule::guarded::{Manner, Office};
use examples::schedule::rota::Rota;
use examples::schedule::run::{Staff, run};
use examples::schedule::swap::Request;
use examples::table::grouped;
use examples::workers::say;
use examples::{logging, program, workers};
use humantime::{format_duration, parse_duration};

/// A schedule of shifts is edited while its next block is generated: nothing is lost, and nobody booked twice.
///
/// Planners give the shifts of one block after the other to people, in fair shares; that takes them more than half a second a
/// block. Meanwhile staff swap shifts, also ahead, for one that is just being given away: such a swap is accepted as pending
/// and applied to the finished block. Two may want the same shift, or each would book a third one twice: one gets it, the
/// other is refused and told why. Editors change rooms and notes, and are told what somebody else has changed under their
/// hands; readers copy the board of a day, shift by shift, which may not show half of a swap. Real processes do all of this
/// at the same time. At the end what is stored is checked: bookings against times, swaps and edits against what was said to be
/// done, boards against what was true at one moment. Whatever is broken is named and makes the exit code 1. With --no-locks the
/// same workers run bare: see what they do to the rota.
///
/// A rota is drawn a name when it is made, and its locks are named after it, as rota-1f2e3d4c/person/ann: runs that share a
/// store do not get in each other's way. With --backend postgres://… the rota is in PostgreSQL, too: a swap and a block are
/// committed only while their locks are held, and an edit may lock the row.
#[derive(Parser, Debug)]
#[command(name = "schedule", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Looks for damage in a rota that was kept with --data, and names every offender
    Check {
        /// The place that was given to the run
        #[arg(long, value_name = "PLACE", env = DATA, hide_env_values = true)]
        data: Place,
    },
    /// One of the processes of a run
    #[command(hide = true)]
    Worker(Box<Worker>),
}

#[derive(Args, Debug)]
struct Run {
    /// The people, as name,hours
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/data/people.csv"))]
    people: PathBuf,
    /// The shifts, as id,block,starts,ends
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/data/shifts.csv"))]
    shifts: PathBuf,
    #[command(flatten)]
    options: Options,
    /// Processes that generate the blocks
    #[arg(long, value_name = "N", default_value_t = 2)]
    planners: usize,
    /// Processes that swap shifts
    #[arg(long, value_name = "N", default_value_t = 2)]
    staff: usize,
    /// Processes that edit assignments: half of the edits compare versions, half take a lock
    #[arg(long, value_name = "N", default_value_t = 2)]
    editors: usize,
    /// Processes that read boards
    #[arg(long, value_name = "N", default_value_t = 2)]
    readers: usize,
    /// How many swaps are asked for
    #[arg(long, value_name = "N", default_value_t = 300)]
    swaps: usize,
    /// How many edits are made
    #[arg(long, value_name = "N", default_value_t = 200)]
    edits: usize,
    /// How many boards are read
    #[arg(long, value_name = "N", default_value_t = 60)]
    boards: usize,
    #[command(flatten)]
    pace: Pace,
}

/// How fast a worker goes.
#[derive(Args, Debug)]
struct Pace {
    /// How long a planner thinks of a shift
    #[arg(long, value_name = "TIME", default_value = "12ms", value_parser = parse_duration)]
    thinking: Duration,
    /// How long people take between a look and what follows from it
    #[arg(long, value_name = "TIME", default_value = "5ms", value_parser = parse_duration)]
    latency: Duration,
    /// How long the work under a lock may take, and how long a job waits for its block
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    patience: Duration,
    /// How many jobs a worker does together; a planner does one
    #[arg(long, value_name = "N", default_value_t = 8)]
    at_once: usize,
}

impl Pace {
    fn to_args(&self) -> Vec<String> {
        let [thinking, latency, patience] =
            [self.thinking, self.latency, self.patience].map(|time| format_duration(time).to_string());
        let at_once = self.at_once.to_string();
        let args =
            ["--thinking", &thinking, "--latency", &latency, "--patience", &patience, "--at-once", &at_once];
        args.map(String::from).to_vec()
    }
}

#[derive(Args, Debug)]
struct Worker {
    role: Role,
    #[arg(long)]
    name: String,
    #[arg(long, default_value_t = 0)]
    seat: usize,
    #[arg(long, default_value_t = 1)]
    of: usize,
    /// How much there is for all of its role
    #[arg(long, default_value_t = 0)]
    all: usize,
    /// A swap that somebody wants, as PERSON:GIVES:TAKES
    #[arg(long = "ask", value_parser = request)]
    asked: Vec<Request>,
    /// How all edits are made
    #[arg(long)]
    manner: Option<Manner>,
    #[command(flatten)]
    faults: Faults,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    pace: Pace,
}

fn request(text: &str) -> Result<Request, String> {
    let [person, gives, takes] = text.split(':').collect::<Vec<_>>()[..] else {
        return Err("expected PERSON:GIVES:TAKES".to_owned());
    };
    Ok(Request { person: person.to_owned(), gives: gives.to_owned(), takes: takes.to_owned() })
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        None => start(cli.run).await,
        Some(Command::Check { data }) => inspect(data).await,
        Some(Command::Worker(worker)) => serve(*worker).await,
    };
    program::end(outcome)
}

async fn start(asked: Run) -> Result<ExitCode> {
    let Run { people, shifts, options, planners, staff, editors, readers, swaps, edits, boards, pace } =
        asked;
    ensure!(pace.at_once >= 1, "--at-once must be one or more");
    logging::start("warn");
    let interrupted = program::interruption()?;
    let staff = Staff { planners, staff, editors, readers, swaps, edits, boards };
    let outcome = run([&people, &shifts], &options, staff, &pace.to_args(), interrupted).await?;
    let Some(outcome) = outcome else { return Ok(program::interrupted()) };
    say(outcome.table.to_string().trim_end());
    outcome.casualties.iter().for_each(|casualty| say(casualty));
    program::show_some(&outcome.findings.offences);
    Ok(verdict(&outcome.findings, outcome.casualties.len()))
}

async fn inspect(data: Place) -> Result<ExitCode> {
    let rota = Rota::open(&data, Duration::MAX).await?;
    let findings = check(&rota).await?;
    let Findings { generated, executed, refused, edits, boards, .. } = findings;
    let [generated, executed, refused, edits, boards] =
        [generated, executed, refused, edits, boards].map(grouped);
    say(&format!(
        "{generated} blocks, {executed} swaps executed and {refused} refused, {edits} edits, {boards} boards"
    ));
    findings.offences.iter().for_each(|offence| say(&offence.to_string()));
    Ok(verdict(&findings, 0))
}

fn verdict(findings: &Findings, lost: usize) -> ExitCode {
    let clean = "every block is whole, nobody is booked twice, no swap, edit or board went wrong";
    program::verdict(findings.offences.len(), lost, clean, "the rota")
}

/// A worker process: does its share and ends. A planner that is interrupted cancels what it generates.
async fn serve(worker: Worker) -> Result<ExitCode> {
    let Worker { role, name, seat, of, all, asked, manner, faults, options, pace } = worker;
    logging::start(if options.no_locks { "error" } else { "warn" });
    let data = options.data.clone().context("a worker needs --data")?;
    let rota = Rota::open(&data, options.ttl).await?;
    let mut tasks = Task::dealt(role, seat, of, all, &rota.shifts().await?, manner);
    tasks.extend(asked.into_iter().map(Task::Ask));
    let locks = options.locks(&data, &name).await?;
    let Pace { thinking, latency, patience, at_once } = pace;
    let office = Office { locks: locks.clone(), rota, thinking, latency, patience, worker: name, faults };
    let (canceller, cancel) = Cancel::new();
    let at_once = if role == Role::Planner {
        canceller.cancel_after(program::interruption()?);
        1
    } else {
        at_once
    };
    let outcome = workers::serve(work(&office, tasks, at_once, &cancel)).await;
    if let Some(locks) = locks {
        locks.keys.close().await;
    }
    outcome.map(|()| ExitCode::SUCCESS)
}
