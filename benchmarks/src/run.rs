//! A run: all cells of the stores, in rounds in which the rivals take turns.

use clap::ValueEnum;

use crate::Arguments;
use crate::job::{Cell, Outcome};
use crate::machine::Machine;
use crate::measure::Measure;
use crate::record::{Line, Record, Run, Setting};
use crate::report::{Results, tables};
use crate::rival::{Failure, Kind, Rival};
use crate::store::Store;

pub(crate) async fn run(arguments: &Arguments, stores: &[Box<dyn Store>]) -> Result<(), Failure> {
    let mut record = Record::new(arguments.record.as_deref())?;
    let date = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    let (machine, rounds, quick) = (Machine::here(), arguments.rounds, arguments.quick);
    record.add(Line::Run(Run { date, machine, rounds, quick }))?;
    let mut failed = false;
    for store in stores {
        record.add(Line::Store(Setting::of(&**store).await?))?;
        let rivals = store.rivals();
        let plan = plan(arguments, &**store, &rivals);
        for (n, (round, measure, size, rival)) in plan.iter().enumerate() {
            let (store_name, rival_name) = (store.name().to_owned(), rival.name().to_owned());
            let cell = Cell { store: store_name, measure: *measure, size: *size, rival: rival_name };
            // What others left on a server lapses while somebody else is measured; what they needed it keeps; and what was freed
            // is used again, and would not show in its memory.
            let server = store.fresh().unwrap_or(store.url());
            let outcome = cell.measure(server, *rival, quick).await;
            let what = format!("{} {size}, {}", name(*measure), rival.name());
            let progress = format!("{} {}/{} round {}", store.name(), n + 1, plan.len(), round + 1);
            eprintln!("{progress}: {what}: {}", brief(&outcome));
            failed |= rival.kind() == Kind::Ours && matches!(outcome, Outcome::Failed(_));
            record.add(Line::Cell { cell, round: *round, outcome })?;
        }
    }
    let results = Results::new(record.lines);
    for setting in results.settings() {
        println!("{}", tables::store(&results, setting));
    }
    if failed { Err("this project failed in some of it".into()) } else { Ok(()) }
}

/// In which order: within a round one rival comes after another, so that whatever drifts meets all of them alike.
fn plan<'a>(
    arguments: &Arguments,
    store: &dyn Store,
    rivals: &'a [Box<dyn Rival>],
) -> Vec<(usize, Measure, usize, &'a dyn Rival)> {
    let wanted = |measure: &&Measure| arguments.wants(**measure) && store.measures(**measure);
    let all = rivals.iter().map(|rival| &**rival);
    let compared: Vec<&dyn Rival> = all.filter(|rival| arguments.compares(rival.name())).collect();
    let mut plan = Vec::new();
    for round in 0..arguments.rounds {
        for measure in Measure::value_variants().iter().filter(wanted) {
            if round >= measure.rounds(arguments.rounds) {
                continue;
            }
            for size in measure.sizes(arguments.quick) {
                // What somebody cannot do need not be said in every round.
                let able = |rival: &&dyn Rival| round == 0 || rival.unable(*measure, *size).is_none();
                let each = compared.iter().copied().filter(able);
                plan.extend(each.map(|rival| (round, *measure, *size, rival)));
            }
        }
    }
    plan
}

pub(crate) fn name(measure: Measure) -> String {
    measure.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

fn brief(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Measured(values) => {
            values.iter().map(|(name, value)| format!("{name} {value:.1}")).collect::<Vec<_>>().join(", ")
        }
        Outcome::Unable(reason) => reason.clone(),
        Outcome::Failed(reason) => format!("failed: {reason}"),
    }
}
