//! What was measured, as medians; and where it is written.

pub(crate) mod charts;
pub(crate) mod tables;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::job::{Cell, Outcome};
use crate::measure::{Measure, median};
use crate::record::{Line, Run, Setting, read};
use crate::rival::{Failure, Kind};

/// What a record says.
pub(crate) struct Results {
    pub(crate) runs: Vec<Run>,
    settings: Vec<Setting>,
    cells: BTreeMap<Cell, Vec<Outcome>>,
}

impl Results {
    pub(crate) fn new(lines: Vec<Line>) -> Self {
        let (mut runs, mut settings, mut cells) = (Vec::new(), Vec::<Setting>::new(), BTreeMap::new());
        for line in lines {
            match line {
                Line::Run(run) => runs.push(run),
                Line::Store(setting) if settings.iter().any(|known| known.name == setting.name) => {}
                Line::Store(setting) => settings.push(setting),
                Line::Cell { cell, outcome, .. } => cells.entry(cell).or_insert_with(Vec::new).push(outcome),
            }
        }
        Self { runs, settings, cells }
    }

    pub(crate) fn settings(&self) -> impl Iterator<Item = &Setting> {
        let known = |setting: &&Setting| self.cells.keys().any(|cell| cell.store == setting.name);
        self.settings.iter().filter(known)
    }

    /// The median of all rounds.
    pub(crate) fn figure(&self, cell: &Cell, name: &str) -> Option<f64> {
        let rounds = self.cells.get(cell)?.iter().filter_map(|outcome| match outcome {
            Outcome::Measured(values) => values.get(name).copied(),
            Outcome::Unable(_) | Outcome::Failed(_) => None,
        });
        let rounds: Vec<_> = rounds.collect();
        if rounds.is_empty() { None } else { Some(median(rounds)) }
    }

    /// The sizes in which a measure was tried on a store.
    pub(crate) fn sizes(&self, store: &str, measure: Measure) -> Vec<usize> {
        let here = self.cells.keys().filter(|cell| cell.store == store && cell.measure == measure);
        let mut sizes: Vec<_> = here.map(|cell| cell.size).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    /// What rivals of a store could not do: who, what, in which sizes, and why.
    pub(crate) fn undone(&self, store: &str) -> BTreeMap<(&str, Measure, String), Vec<usize>> {
        let mut undone = BTreeMap::<_, Vec<_>>::new();
        for (cell, outcomes) in self.cells.iter().filter(|(cell, _)| cell.store == store) {
            for outcome in outcomes {
                let reason = match outcome {
                    Outcome::Measured(_) => continue,
                    Outcome::Unable(reason) => reason.clone(),
                    Outcome::Failed(reason) => format!("failed: {reason}"),
                };
                let sizes = undone.entry((&*cell.rival, cell.measure, reason)).or_default();
                if !sizes.contains(&cell.size) {
                    sizes.push(cell.size);
                }
            }
        }
        undone
    }

    /// The best figure of a kind of rival, and whose it is.
    pub(crate) fn best<'a>(
        &self,
        setting: &'a Setting,
        kind: Kind,
        asked: &Asked<'_>,
    ) -> Option<(f64, &'a str)> {
        let of = setting.rivals.iter().filter(|who| who.kind == kind);
        let figures = of.filter_map(|who| {
            let cell = asked.cell(&setting.name, &who.name);
            Some((self.figure(&cell, asked.name)?, &*who.name))
        });
        let (sign, all) = (if asked.more_is_better() { -1.0 } else { 1.0 }, figures);
        all.min_by(|one, other| (sign * one.0).total_cmp(&(sign * other.0)))
    }
}

/// A figure that is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) measure: Measure,
    pub(crate) size: usize,
    pub(crate) name: &'a str,
}

impl Asked<'_> {
    pub(crate) fn cell(&self, store: &str, rival: &str) -> Cell {
        let (store, rival) = (store.to_owned(), rival.to_owned());
        Cell { store, measure: self.measure, size: self.size, rival }
    }

    fn more_is_better(&self) -> bool {
        self.name.ends_with("/s") && self.name != "requests/s" || self.name == "fewest %"
    }

    /// How many times better one figure is than another.
    pub(crate) fn ahead(&self, one: f64, other: f64) -> f64 {
        if self.more_is_better() { one / other } else { other / one }
    }
}

/// Writes `RESULTS.md` and `charts/` beside a directory of records.
pub(crate) fn draw(directory: &Path) -> Result<(), Failure> {
    let results = Results::new(read(directory)?);
    let beside = directory.canonicalize()?;
    let beside = beside.parent().ok_or("records are in a directory")?;
    let pictures = beside.join("charts");
    fs::create_dir_all(&pictures)?;
    for setting in results.settings() {
        charts::draw(&results, setting, &pictures.join(charts::file(&setting.name)))?;
    }
    fs::write(beside.join("RESULTS.md"), tables::document(&results))?;
    eprintln!("written: {}", beside.join("RESULTS.md").display());
    Ok(())
}
