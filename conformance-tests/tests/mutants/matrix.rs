//! Every case on every mutant, to see what catches what.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use conformance_tests::Case;

use crate::mutant::{self, Mutant};
use crate::table::MUTANTS;

/// As many cases at once: most of them wait most of the time.
const THREADS: usize = 64;

/// Prints, for each mutant, the cases that catch it and how, sharpest first; then, for each case, the mutants that it
/// catches. Of mutants and cases, those whose names contain these parts.
pub(crate) fn print(mutants: &str, cases: &str) {
    let mutants: Vec<_> =
        MUTANTS.iter().map(|(m, _)| *m).filter(|m| m.to_string().contains(mutants)).collect();
    let cases: Vec<_> = conformance_tests::all().filter(|case| mutant::name(case).contains(cases)).collect();
    let runs = mutants.iter().flat_map(|mutant| cases.iter().map(|case| (*mutant, *case)));
    let caught = run_all(&runs.collect::<Vec<_>>());
    let catches = |name: &str| caught.iter().filter(|(_, by, _)| by == name).count();
    for mutant in mutants {
        let mut by: Vec<_> = caught.iter().filter(|(caught, ..)| *caught == mutant).collect();
        by.sort_by_key(|(_, name, _)| catches(name));
        println!("{mutant}: {}", if by.is_empty() { "nothing catches it" } else { "" });
        by.iter().for_each(|(_, name, how)| println!("    {name}: {how}"));
    }
    println!();
    for name in cases.iter().map(mutant::name) {
        let mutants: Vec<_> =
            caught.iter().filter(|(_, by, _)| *by == name).map(|(m, ..)| m.to_string()).collect();
        println!("{name} catches {}: {}", mutants.len(), mutants.join(", "));
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
                    if let Err(how) = mutant.check(*case, Duration::from_secs(10)) {
                        let how = how.lines().flat_map(str::chars).take(80).collect();
                        let _ = sender.send((*mutant, mutant::name(case), how));
                    }
                }
            });
        }
    });
    drop(sender);
    caught.into_iter().collect()
}
