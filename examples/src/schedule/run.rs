//! One run: the workers are started, watched, and what they have stored is summed up.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::options::Options;
use crate::place::Place;
use crate::schedule::check::{Findings, check};
use crate::schedule::duty::{REQUESTED, Role};
use crate::schedule::guarded::Answer;
use crate::schedule::rota::Rota;
use crate::schedule::shifts::{self, Shift};
use crate::table::{Table, grouped};
use crate::tally::Tally;

/// How many workers of each role there are, and what they have to do.
#[derive(Clone, Copy, Debug)]
pub struct Staff {
    /// Those who generate the blocks.
    pub planners: usize,
    /// Those who ask for swaps.
    pub staff: usize,
    /// Those who edit assignments.
    pub editors: usize,
    /// Those who read boards.
    pub readers: usize,
    /// How many swaps are asked for.
    pub swaps: usize,
    /// How many edits are made.
    pub edits: usize,
    /// How many boards are read.
    pub boards: usize,
}

impl Staff {
    /// Every role, its workers, and what they have to do.
    fn roles(self) -> [(Role, usize, usize); 4] {
        [
            (Role::Planner, self.planners, self.planners),
            (Role::Staff, self.staff, self.swaps),
            (Role::Editor, self.editors, self.edits),
            (Role::Reader, self.readers, self.boards),
        ]
    }

    /// Refuses to run with nobody there for some of the work.
    fn check(self) -> Result<()> {
        ensure!(self.planners >= 1, "somebody has to generate the blocks: --planners must be 1 or more");
        let work = [
            ("swaps", self.swaps, "staff", self.staff),
            ("edits", self.edits, "editors", self.editors),
            ("boards", self.boards, "readers", self.readers),
        ];
        for (work, many, workers, there) in work {
            ensure!(
                many == 0 || there >= 1,
                "nobody is there for the {work}: --{workers} must be 1 or more, or --{work} 0"
            );
        }
        Ok(())
    }

    /// The arguments of every worker: who it is, and its share.
    fn jobs(self, common: &[String]) -> Vec<(String, Vec<String>)> {
        let mut jobs = Vec::new();
        for (role, workers, work) in self.roles() {
            for seat in 0..workers {
                let name = format!("{role}-{}", seat + 1);
                let [seat, of, all] = [seat, workers, work].map(|number| number.to_string());
                let own = [
                    "worker",
                    &role.to_string(),
                    "--name",
                    &name,
                    "--seat",
                    &seat,
                    "--of",
                    &of,
                    "--all",
                    &all,
                ];
                jobs.push((
                    name.clone(),
                    own.map(String::from).into_iter().chain(common.iter().cloned()).collect(),
                ));
            }
        }
        jobs
    }
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// What was found in the rota.
    pub findings: Findings,
    /// Workers that did not end as they should, and how.
    pub casualties: Vec<String>,
    /// A table for people.
    pub table: Table,
}

/// Runs the workers on some people and shifts until every job has its answer, or until `interrupted` completes.
///
/// # Errors
///
/// Bad input, an unreachable store, a worker that cannot start: nothing was run. `Ok(None)` after an interruption.
pub async fn run(
    files: [&Path; 2],
    options: &Options,
    staff: Staff,
    pace: &[String],
    interrupted: impl Future<Output = ()>,
) -> Result<Option<Outcome>> {
    let [people, shifts] = files;
    let (people, shifts) = shifts::read(people, shifts)?;
    staff.check()?;
    let work = async |place: &Place| {
        let rota = Rota::create(place, &people, &shifts).await?;
        announce(&shifts, staff, people.len(), &options.words(place));
        let jobs = blocks(&shifts) + staff.swaps + staff.edits + staff.boards;
        let mut tally = Tally::new(jobs, "jobs", &DONE);
        let common = [options.to_args(), pace.to_vec()].concat();
        if !tally.listen(staff.jobs(&common), &options.to_env(place), interrupted).await? {
            return Ok(None);
        }
        let findings = check(&rota).await?;
        let table = table(&tally, blocks(&shifts), &findings);
        Ok(Some(Outcome { findings, casualties: tally.casualties, table }))
    };
    options.at_home(work).await
}

/// What is heard of a job that is done with.
const DONE: [&str; 5] = [
    Answer::Generated.word(),
    Answer::Executed.word(),
    Answer::Refused.word(),
    Answer::Edited.word(),
    Answer::Read.word(),
];

fn blocks(shifts: &[Shift]) -> usize {
    shifts.chunk_by(|one, next| one.block == next.block).count()
}

fn announce(shifts: &[Shift], staff: Staff, people: usize, locks: &str) {
    let Staff { planners, staff, editors, readers, .. } = staff;
    eprintln!(
        "{} shifts in {} blocks, {people} people: {planners} planners, {staff} staff, {editors} editors and {readers} readers, {locks}",
        grouped(shifts.len()),
        blocks(shifts)
    );
}

fn table(tally: &Tally, blocks: usize, findings: &Findings) -> Table {
    let mut table = Table::default();
    table.count("blocks", blocks, "of shifts in the file");
    table.count("blocks generated", findings.generated, "should be all of them");
    table.count("swaps asked for", tally.of(REQUESTED), "and accepted as pending at once");
    table.count(
        "asked for ahead",
        findings.ahead,
        "while their block was not generated; applied to the finished one",
    );
    table.count("swaps executed", findings.executed, "both shifts have changed hands");
    table.count("swaps refused", findings.refused, "with a conflict that is named beside the swap");
    table.count("edits saved", findings.edits, "");
    table.count("edit conflicts", tally.of(Answer::Outdated.word()), "told what had changed, and made again");
    table.count("boards read", findings.boards, "");
    table.count("double bookings", findings.double_bookings(), "somebody in two places at once");
    table.count("generated again", findings.generated_again(), "shifts given away by two planners");
    table.count(
        "lost swaps",
        findings.lost_swaps(),
        "executed, and overwritten by somebody who had not seen it",
    );
    table.count(
        "lost edits",
        findings.lost_edits(),
        "saved, and overwritten by somebody who had not seen it",
    );
    table.count("mixed boards", findings.mixed(), "show what was never true at one moment");
    table.count("errors", tally.errors(), "");
    table.time("time", tally.took, "");
    table
}
