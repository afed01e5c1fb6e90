//! One run: the workers are started, watched, and what they have stored is summed up.

use anyhow::{Result, ensure};

use crate::claim::check::{Findings, check};
use crate::claim::guarded::Answer;
use crate::claim::input::Input;
use crate::claim::ledger::Ledger;
use crate::options::Options;
use crate::place::Place;
use crate::table::{Table, grouped};
use crate::tally::Tally;

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// What was found in the ledger.
    pub findings: Findings,
    /// Workers that did not end as they should, and how.
    pub casualties: Vec<String>,
    /// A table for people.
    pub table: Table,
}

/// Runs the workers until every day of every policy has been looked at by each, or until `interrupted` completes.
///
/// # Errors
///
/// An unreachable store, a worker that cannot start: nothing was run. `Ok(None)` after an interruption.
pub async fn run(
    input: &Input,
    options: &Options,
    workers: usize,
    pace: &[String],
    interrupted: impl Future<Output = ()>,
) -> Result<Option<Outcome>> {
    ensure!(workers >= 1, "somebody has to calculate: --workers must be 1 or more");
    let cases = input.cases().len();
    let work = async |place: &Place| {
        let ledger = Ledger::create(place, input).await?;
        eprintln!(
            "{} policies, {} events: {workers} workers, {}",
            grouped(input.policies.len()),
            grouped(input.events.len()),
            options.words(place)
        );
        let mut tally = Tally::new(cases * workers, "looks", &DONE);
        if !tally.listen(jobs(workers, options, pace), &options.to_env(place), interrupted).await? {
            return Ok(None);
        }
        let findings = check(&ledger, input).await?;
        let table = table(&tally, cases, &findings);
        Ok(Some(Outcome { findings, casualties: tally.casualties, table }))
    };
    options.at_home(work).await
}

/// What is heard of a day that is done with.
const DONE: [&str; 2] = [Answer::Calculated.word(), Answer::AlreadyCalculated.word()];

/// The arguments of every worker. Each goes through all the days.
fn jobs(workers: usize, options: &Options, pace: &[String]) -> Vec<(String, Vec<String>)> {
    let job = |number: usize| {
        let name = format!("worker-{number}");
        let mut args = ["worker", "--name", &name].map(String::from).to_vec();
        args.extend(options.to_args());
        args.extend_from_slice(pace);
        (name, args)
    };
    (1..=workers).map(job).collect()
}

fn table(tally: &Tally, cases: usize, findings: &Findings) -> Table {
    let of = |answer: Answer| tally.of(answer.word());
    let mut table = Table::default();
    table.count("days", cases, "of policies on which something happened; every worker looks at each");
    table.count("calculated", of(Answer::Calculated), "should be once a day");
    table.count("already calculated", of(Answer::AlreadyCalculated), "another worker came first");
    table.count("skipped", of(Answer::Skipped), "somebody was calculating it; queued, and looked at later");
    let remark = format!("in the ledger: should be {}", grouped(findings.expected));
    table.count("claims", findings.claims, &remark);
    table.count("duplicates", findings.duplicates(), "a tier of a day that was paid again");
    table.count("over the limit", findings.over_limit(), "policies that paid more than they may");
    table.count("errors", tally.errors(), "");
    table.time("time", tally.took, "");
    table
}
