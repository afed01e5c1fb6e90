//! How fast a backend is, beside the bare driver doing the same work in the same run.
//!
//! ```text
//! cargo bench -p conformance-tests --bench locks -- --backend sqlite:/tmp/locks.db
//! cargo bench -p conformance-tests --bench locks -- --backend memory: --only pair,held
//! ```
//!
//! Every figure is printed as measured; ratios are to the bare driver. Nothing here asserts.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads clocks, sleeps and spawns")]

mod contend;
mod held;
mod pairs;
mod sqlite;
mod stats;
mod store;

use std::process::ExitCode;

use clap::Parser;

use store::Store;

#[derive(Parser)]
struct Arguments {
    /// The store: `sqlite:PATH` or `memory:`.
    #[arg(long, default_value = "memory:")]
    backend: String,
    /// Which measures: pair, throughput, handover, operations, held.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Rounds of the pair and throughput measures; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Contend in a process of its own, for the parent that started it: half of so many.
    #[arg(long, hide = true)]
    contend: Option<usize>,
    /// Contend for the bare driver's lock.
    #[arg(long, hide = true)]
    bare: bool,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    fn wants(&self, measure: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == measure)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    match runtime.block_on(measure(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::parse(&arguments.backend)?;
    if let Some(contenders) = arguments.contend {
        return contend::child(&store, contenders, arguments.bare).await;
    }
    println!("backend {}, {} rounds, medians", arguments.backend, arguments.rounds);
    for variant in store.variants() {
        if arguments.wants("pair") {
            pairs::latency(&variant, arguments.rounds).await?;
        }
        if arguments.wants("throughput") {
            pairs::throughput(&variant, arguments.rounds).await?;
        }
    }
    if arguments.wants("handover") {
        for contenders in [2, 16] {
            contend::within(&store, contenders).await?;
            if store.shared_by_processes() {
                contend::between(&store, &arguments.backend, contenders).await?;
            }
        }
    }
    if arguments.wants("operations") {
        for waiters in [2, 16, 256] {
            contend::operations(&store, waiters).await?;
        }
    }
    if arguments.wants("held") {
        held::held(&store, 10_000).await?;
    }
    Ok(())
}
