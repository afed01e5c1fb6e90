//! One run: the workers are started, watched, and what they have stored is summed up.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::logging;
use crate::options::Options;
use crate::place::Home;
use crate::table::{Table, grouped};
use crate::trade::books::Books;
use crate::trade::check::{Findings, check};
use crate::trade::duty::{FAILED, Role, Share};
use crate::trade::guarded::Answer;
use crate::trade::orders::{self, Order};
use crate::workers::{Crew, Heard};

/// How many workers of each role there are.
#[derive(Clone, Copy, Debug)]
pub struct Staff {
    /// Sockets.
    pub sockets: usize,
    /// Schedulers.
    pub schedulers: usize,
    /// Evaluators.
    pub evaluators: usize,
}

impl Staff {
    /// Refuses to run with nobody there for some of the orders.
    fn check(self, orders: &[Order]) -> Result<()> {
        let bots = orders.iter().filter(|order| order.bot.is_some()).count();
        ensure!(
            bots == orders.len() || self.sockets + self.schedulers >= 2,
            "each fill arrives twice: --sockets and --schedulers must be 2 or more together"
        );
        ensure!(
            bots == 0 || self.evaluators >= 1,
            "bots want to be evaluated: --evaluators must be 1 or more"
        );
        Ok(())
    }

    /// The arguments of every worker: who it is, and its share.
    fn jobs(self, common: &[String]) -> Vec<(String, Vec<String>)> {
        let sides = [
            (Role::Socket, self.sockets, self.schedulers),
            (Role::Scheduler, self.schedulers, self.sockets),
            // A bot's order is traded by one evaluator, but all of them trade for every bot.
            (Role::Evaluator, self.evaluators, 1),
        ];
        let mut jobs = Vec::new();
        for (role, own, others) in sides {
            for (number, Share { seats, of }) in Share::deal(own, others).enumerate() {
                let name = format!("{role}-{}", number + 1);
                let mut args = ["worker", &role.to_string(), "--name", &name, "--of", &of.to_string()]
                    .map(String::from)
                    .to_vec();
                args.extend(seats.iter().flat_map(|seat| ["--seat".to_owned(), seat.to_string()]));
                args.extend_from_slice(common);
                jobs.push((name, args));
            }
        }
        jobs
    }
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// What was found in the books.
    pub findings: Findings,
    /// Workers that did not end as they should, and how.
    pub casualties: Vec<String>,
    /// A table for people.
    pub table: Table,
}

/// Runs the workers on a file of orders until every order has its answer, or until `interrupted` completes.
///
/// # Errors
///
/// Bad input, an unreachable store, a worker that cannot start: nothing was run. `Ok(None)` after an interruption.
pub async fn run(
    file: &Path,
    options: &Options,
    staff: Staff,
    cooldown: Duration,
    pace: &[String],
    interrupted: impl Future<Output = ()>,
) -> Result<Option<Outcome>> {
    let orders = orders::read(file)?;
    staff.check(&orders)?;
    let home = options.home().await?;
    let outcome = work(&home, &orders, options, staff, cooldown, pace, interrupted).await;
    let ended = home.end().await;
    outcome.and_then(|outcome| ended.map(|()| outcome))
}

async fn work(
    home: &Home,
    orders: &[Order],
    options: &Options,
    staff: Staff,
    cooldown: Duration,
    pace: &[String],
    interrupted: impl Future<Output = ()>,
) -> Result<Option<Outcome>> {
    let place = home.place();
    let books = Books::create(place, orders, cooldown).await?;
    let url = options.url(place);
    let locks = if options.no_locks { "no locks".to_owned() } else { format!("locks in {url}") };
    announce(orders, staff, &locks);

    let common = [options.to_args(), pace.to_vec()].concat();
    let begun = Instant::now();
    let mut tally = Tally::new(orders);
    let mut crew = Crew::start(staff.jobs(&common), &options.to_env(place))?;
    let watched = tokio::select! {
        watched = watch(&mut crew, &mut tally) => watched.map(|()| true),
        () = interrupted => Ok(false),
    };
    crew.stop().await;
    tally.progress.finish_and_clear();
    if !watched? {
        return Ok(None);
    }
    let took = begun.elapsed();
    let findings = check(&books, orders).await?;
    let table = tally.table(orders, &findings, took);
    Ok(Some(Outcome { findings, casualties: tally.casualties, table }))
}

async fn watch(crew: &mut Crew, tally: &mut Tally) -> Result<()> {
    crew.go().await.context("the workers did not start")?;
    while let Some((name, heard)) = crew.next().await {
        match heard {
            Heard::Line(word) => tally.hear(word),
            Heard::Ended(status) if status.success() => {}
            Heard::Ended(status) => tally.casualties.push(format!("{name} ended with {status}")),
        }
    }
    Ok(())
}

fn announce(orders: &[Order], staff: Staff, locks: &str) {
    let Staff { sockets, schedulers, evaluators } = staff;
    eprintln!(
        "{} orders: {sockets} sockets, {schedulers} schedulers and {evaluators} evaluators, {locks}",
        grouped(orders.len())
    );
}

/// What the workers have said so far.
struct Tally {
    words: BTreeMap<String, usize>,
    casualties: Vec<String>,
    progress: ProgressBar,
}

impl Tally {
    fn new(orders: &[Order]) -> Self {
        let looks: usize = orders.iter().map(|order| if order.bot.is_some() { 1 } else { 2 }).sum();
        let shown = std::io::stderr().is_terminal() && !logging::asked_for();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{elapsed:>3} {bar:40} {human_pos}/{human_len} arrivals");
        let progress = ProgressBar::with_draw_target(Some(looks as u64), target)
            .with_style(style.expect("the template is well formed"));
        Self { words: BTreeMap::new(), casualties: Vec::new(), progress }
    }

    fn hear(&mut self, word: String) {
        if [Answer::Recorded, Answer::AlreadyRecorded, Answer::Duplicate]
            .iter()
            .any(|done| done.word() == word)
        {
            self.progress.inc(1);
        }
        *self.words.entry(word).or_default() += 1;
    }

    fn of(&self, answer: Answer) -> usize {
        self.words.get(answer.word()).copied().unwrap_or_default()
    }

    fn table(&self, orders: &[Order], findings: &Findings, took: Duration) -> Table {
        let mut table = Table::default();
        table.count(
            "orders",
            orders.len(),
            "in the file; each fill arrives twice, each bot's order at one evaluator",
        );
        table.count("trades recorded", findings.trades, "in the books: should be one an order");
        table.count("already recorded", self.of(Answer::AlreadyRecorded), "the other arrival came first");
        table.count("skipped", self.of(Answer::Skipped), "the position was busy; queued, and done later");
        table.count("bots refused", self.of(Answer::InProgress), "another trade was in progress");
        table.count("bots cooling down", self.of(Answer::Cooling(Duration::ZERO)), "and came back");
        table.count("duplicates", findings.duplicates(), "recorded twice: the database refused the second");
        table.count("lost updates", findings.lost_updates(), "fills that left no trace in their position");
        table.count("cooldown violations", findings.cooldowns(), "trades of one bot too close to each other");
        let failed = self.words.get(FAILED).copied().unwrap_or_default();
        table.count("errors", failed + self.casualties.len(), "");
        table.time("time", took, "");
        table
    }
}
