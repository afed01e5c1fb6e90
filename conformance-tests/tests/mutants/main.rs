//! The test of the suite: stores that are wrong on purpose, each of which some case has to catch, and cases each of
//! which has to catch some.
//!
//! [`table`] says which cases catch which mutant; a run checks exactly that, and that no case is missing from it.
//! Whoever adds a case finds its mutants, and whoever adds a mutant its cases, with
//!
//! ```text
//! MATRIX=law::case cargo test -p conformance-tests --test mutants          # the mutants that a case catches
//! MATRIX= cargo test -p conformance-tests --test mutants -- QueueIgnored   # the cases that catch a mutant
//! ```
//!
//! Both take a part of a name; none at all runs every case on every mutant, for some minutes.
#![allow(clippy::disallowed_methods, reason = "tests wait, spawn and read the clock on purpose")]

mod fault;
mod matrix;
mod model;
mod mutant;
mod queue;
mod rewrite;
mod rule;
mod subject;
mod table;
mod veneer;
mod wired;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use conformance_tests::{Needs, all};
use libtest_mimic::{Arguments, Failed, Trial};

use crate::mutant::Mutant;
use crate::subject::InFile;

fn main() -> ExitCode {
    // Panics are what is looked for.
    std::panic::set_hook(Box::new(|_| {}));
    conformance_tests::main(|address| match address {
        // The helper process of a case is this program once more.
        Some(address) => InFile::at(&address),
        None => test(),
    })
}

fn test() -> ! {
    let mut arguments = Arguments::from_args();
    if let Ok(case) = std::env::var("MATRIX") {
        matrix::print(arguments.filter.as_deref().unwrap_or_default(), &case);
        std::process::exit(0);
    }
    arguments.test_threads.get_or_insert(16);
    // A file is sound in the suite's own run.
    let in_memory = all().filter(|case| !case.needs.contains(&Needs::Processes));
    let sound = in_memory.map(|case| {
        let name = format!("sound::{}", mutant::name(&case));
        Trial::test(name, move || Mutant::SOUND.check(case, Duration::from_secs(120)).map_err(Failed::from))
    });
    let pairs = table::MUTANTS.iter().flat_map(|(mutant, by)| by.iter().map(|name| (*mutant, *name)));
    let caught = pairs.map(|(mutant, name)| {
        Trial::test(format!("caught::{mutant} by {name}"), move || caught(mutant, name))
    });
    let mut trials: Vec<_> = sound.chain(caught).collect();
    trials.push(Trial::test("every_case_catches_a_mutant_and_every_mutant_is_caught", complete));
    libtest_mimic::run(&arguments, trials).exit()
}

fn caught(mutant: Mutant, name: &str) -> Result<(), Failed> {
    let case = all().find(|case| mutant::name(case) == name).ok_or("there is no such case")?;
    match mutant.check(case, Duration::from_secs(5)) {
        Err(_) => Ok(()),
        Ok(()) => Err("it passes".into()),
    }
}

fn complete() -> Result<(), Failed> {
    let named: BTreeSet<_> = table::MUTANTS.iter().flat_map(|(_, by)| by.iter().copied()).collect();
    let harmless: Vec<_> = all().map(|case| mutant::name(&case)).filter(|n| !named.contains(&**n)).collect();
    let survivors: Vec<_> = table::MUTANTS.iter().filter(|(_, by)| by.is_empty()).collect();
    if harmless.is_empty() && survivors.is_empty() {
        return Ok(());
    }
    Err(format!("cases that catch nothing: {harmless:#?}; mutants that nothing catches: {survivors:?}")
        .into())
}
