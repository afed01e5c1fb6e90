//! Every case on every mutant, to see what catches what.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use conformance_tests::Case;

use crate::mutant::{self, Mutant};
use crate::table::MUTANTS;

/// As many cases at once: most of them wait most of the time.
const THREADS: usize = 64;

/// Prints, for each mutant whose name contains `part`, the cases that catch it and how, sharpest first; then, for each
/// case, how many mutants it catches.
pub(crate) fn print(part: &str) {
    let mutants: Vec<_> = MUTANTS.iter().map(|(m, _)| *m).filter(|m| m.to_string().contains(part)).collect();
    let cases: Vec<_> = conformance_tests::all().collect();
    let runs = mutants.iter().flat_map(|mutant| cases.iter().map(|case| (*mutant, *case)));
    let caught = run_all(&runs.collect::<Vec<_>>());
    let count = |name: &str| caught.iter().filter(|(_, by, _)| *by == name).count();
    let counts: BTreeMap<_, _> =
        cases.iter().map(mutant::name).map(|name| (name.clone(), count(&name))).collect();
    for mutant in mutants {
        let mut by: Vec<_> = caught.iter().filter(|(caught, ..)| *caught == mutant).collect();
        by.sort_by_key(|(_, name, _)| counts[name]);
        println!("{mutant}: {}", if by.is_empty() { "SURVIVES" } else { "" });
        by.iter().for_each(|(_, name, why)| println!("    {name} ({}): {why}", counts[name]));
    }
    println!();
    for (name, count) in counts {
        println!("{count:4} {name}");
    }
}

/// The pairs where the case catches the mutant, and how it failed.
fn run_all(runs: &[(Mutant, Case)]) -> Vec<(Mutant, String, String)> {
    let next = AtomicUsize::new(0);
    let (sender, caught) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some((mutant, case)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(why) = mutant.check(*case, Duration::from_secs(10)) {
                        let why = why.lines().flat_map(str::chars).take(80).collect();
                        let _ = sender.send((*mutant, mutant::name(case), why));
                    }
                }
            });
        }
    });
    drop(sender);
    caught.into_iter().collect()
}
