//! How fast a backend is, beside the bare driver doing the same work in the same run.
//!
//! ```text
//! cargo bench -p conformance-tests --bench locks -- --backend sqlite:/tmp/locks.db
//! cargo bench -p conformance-tests --bench locks -- --backend redis://127.0.0.1
//! cargo bench -p conformance-tests --bench locks -- --backend redis: --only pair,held
//! cargo bench -p conformance-tests --bench locks -- --backend postgres:
//! cargo bench -p conformance-tests --bench locks -- --backend etcd:
//! ```
//!
//! Every figure is printed as measured; ratios are to the bare driver. Nothing here asserts.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads clocks, sleeps and spawns")]

mod contend;
mod etcd;
mod fairness;
mod held;
mod operations;
mod pairs;
mod postgres;
mod redis;
mod sqlite;
mod stats;
mod store;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use contend::{Failure, Layout};
use store::Store;

#[derive(Parser)]
struct Arguments {
    /// The store: `sqlite:PATH`, `redis://HOST`, `postgres://HOST`, `etcd://HOST`; `redis:`, `postgres:` or `etcd:` for a
    /// server of its own; or `memory:`.
    #[arg(long, default_value = "memory:")]
    backend: String,
    /// Which measures: pair, throughput, handover, fairness, operations, held.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Rounds, in which the library and the bare driver take turns.
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
    let done = store::open(&arguments.backend).map_err(Failure::from).and_then(|stores| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(measure(&arguments, &stores))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(arguments: &Arguments, stores: &[Arc<dyn Store>]) -> Result<(), Failure> {
    let (store, rounds) = (&*stores[0], arguments.rounds);
    if let Some(contenders) = arguments.contend {
        return contend::child(store, contenders, arguments.bare).await;
    }
    println!("backend {}, {rounds} rounds, medians", arguments.backend);
    for store in stores {
        if arguments.wants("pair") {
            pairs::latency(&**store, rounds).await?;
        }
        if arguments.wants("throughput") {
            pairs::throughput(&**store, rounds).await?;
        }
    }
    if arguments.wants("handover") {
        for contenders in [2, 16] {
            for layout in [Layout::OneClient, Layout::ClientEach, Layout::TwoProcesses] {
                if layout != Layout::TwoProcesses || store.url().is_some() {
                    contend::hand_over(store, layout, contenders, rounds).await?;
                }
            }
        }
    }
    if arguments.wants("fairness") {
        fairness::fairness(store, rounds).await?;
    }
    if arguments.wants("operations") {
        for waiters in [2, 16, 256] {
            operations::operations(store, waiters).await?;
        }
    }
    if arguments.wants("held") {
        // The most first: what is freed is used again, and does not show in what follows.
        for locks in [10_000, 2_000] {
            held::held(store, locks).await?;
        }
    }
    Ok(())
}
