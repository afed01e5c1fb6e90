//! One run: the workers are started, watched, and what they have stored is summed up.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::options::Options;
use crate::place::Place;
use crate::table::{Table, grouped};
use crate::tally::Tally;
use crate::trade::books::Books;
use crate::trade::check::{Findings, check};
use crate::trade::duty::{Role, Share};
use crate::trade::guarded::Answer;
use crate::trade::orders::{self, Order};

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
    let work = async |place: &Place| {
        let books = Books::create(place, &orders, cooldown).await?;
        announce(&orders, staff, &options.words(place));
        let looks = orders.iter().map(|order| if order.bot.is_some() { 1 } else { 2 }).sum();
        let mut tally = Tally::new(looks, "arrivals", &DONE);
        let common = [options.to_args(), pace.to_vec()].concat();
        if !tally.listen(staff.jobs(&common), &options.to_env(place), interrupted).await? {
            return Ok(None);
        }
        let findings = check(&books, &orders).await?;
        let table = table(&tally, &orders, &findings);
        Ok(Some(Outcome { findings, casualties: tally.casualties, table }))
    };
    options.at_home(work).await
}

/// What is heard of an arrival that is done with.
const DONE: [&str; 3] = [Answer::Recorded.word(), Answer::AlreadyRecorded.word(), Answer::Duplicate.word()];

fn announce(orders: &[Order], staff: Staff, locks: &str) {
    let Staff { sockets, schedulers, evaluators } = staff;
    eprintln!(
        "{} orders: {sockets} sockets, {schedulers} schedulers and {evaluators} evaluators, {locks}",
        grouped(orders.len())
    );
}

fn table(tally: &Tally, orders: &[Order], findings: &Findings) -> Table {
    let of = |answer: Answer| tally.of(answer.word());
    let mut table = Table::default();
    let looks = "in the file; each fill arrives twice, each bot's order at one evaluator";
    table.count("orders", orders.len(), looks);
    table.count("trades recorded", findings.trades, "in the books: should be one an order");
    table.count("already recorded", of(Answer::AlreadyRecorded), "the other arrival came first");
    table.count("skipped", of(Answer::Skipped), "the position was busy; queued, and done later");
    table.count("bots refused", of(Answer::InProgress), "another trade was in progress");
    table.count("bots cooling down", of(Answer::Cooling(Duration::ZERO)), "and came back");
    table.count("duplicates", findings.duplicates(), "recorded twice: the database refused the second");
    table.count("lost updates", findings.lost_updates(), "fills that left no trace in their position");
    table.count("cooldown violations", findings.cooldowns(), "trades of one bot too close to each other");
    table.count("errors", tally.errors(), "");
    table.time("time", tally.took, "");
    table
}
