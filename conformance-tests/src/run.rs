//! The `main` of a target: lists the cases as trials, runs them, and ends the store with the run.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use lock_core::{Mode, Profile};
use tokio::time::timeout;

use crate::{Case, Means, Subject, World, all, helper};

/// Runs the suite on a store: the whole `main` of a target with `harness = false`.
///
/// `start` is called with `None` to start or find the store, and in helper processes with the
/// [address](Subject::address) of the store that the run started.
///
/// ```no_run
/// # use std::{sync::Arc, time::Duration};
/// # use lock_core::{Backend, Memory, Result};
/// # struct InMemory(Memory);
/// # #[async_trait::async_trait]
/// # impl conformance_tests::Subject for InMemory {
/// #     fn name(&self) -> &str { "memory" }
/// #     fn ttl(&self) -> Duration { Duration::from_secs(1) }
/// #     async fn client(&self) -> Result<Arc<dyn Backend>> { Ok(Arc::new(self.0.clone())) }
/// # }
/// fn main() -> std::process::ExitCode {
///     conformance_tests::main(|_| InMemory(Memory::new())) // `InMemory` is the one of `Subject`'s example
/// }
/// ```
pub fn main<S: Subject>(start: impl FnOnce(Option<String>) -> S) -> ExitCode {
    if let Some(address) = helper::address() {
        return block_on(helper::serve(Arc::new(start(Some(address)))));
    }
    let mut arguments = Arguments::from_args();
    // Most cases wait, for a lapse or for each other: more of them than cores can run at once.
    arguments.test_threads.get_or_insert(8);
    let subject: Arc<dyn Subject> = Arc::new(start(None));
    let profile = block_on(subject.client()).expect("a client of the store under test").profile();
    let means = Means {
        processes: subject.address().is_some(),
        cut: block_on(subject.cuttable()).expect("a client of the store under test").is_some(),
        counted: block_on(subject.connections()).expect("an answer of the store under test").is_some(),
        users: subject.users().is_some(),
    };
    let store = Store { subject, profile, means };
    let trials = all().flat_map(|case| trials(&store, case)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// How long a case may take: one that starts hundreds of processes takes minutes on a busy machine, and none takes that
/// long unless it hangs. What it waits for has a limit of its own.
const END: Duration = Duration::from_secs(600);

/// The store under test, and what is asked of it once.
struct Store {
    subject: Arc<dyn Subject>,
    profile: Profile,
    means: Means,
}

/// A case as a trial, and once more as a permit of one if it is about exclusion.
fn trials(store: &Store, case: Case) -> Vec<Trial> {
    let one = Mode::permit_of(1).expect("one is not zero");
    let mut modes = vec![(Mode::Exclusive, "")];
    if case.exclusive {
        modes.push((one, " (permit of 1)"));
    }
    modes.into_iter().map(|(mode, suffix)| trial(store, case, mode, suffix)).collect()
}

fn trial(store: &Store, case: Case, mode: Mode, suffix: &str) -> Trial {
    let permit = (mode != Mode::Exclusive).then_some(crate::Needs::Permits);
    let missing = |needs: crate::Needs| needs.missing(&store.profile, store.means);
    let missing = case.needs.iter().copied().chain(permit).find_map(missing);
    let subject = store.subject.clone();
    let run = move || {
        let case = (case.run)(World::new(subject, mode));
        // A wait without end of its own, on a store that never answers, ends the case and not the run.
        block_on(async { timeout(END, case).await }).map_err(|_| format!("no end within {END:?}").into())
    };
    let name = format!("{}::{}{suffix}", case.law, case.name);
    match missing {
        Some(reason) => Trial::test(format!("{name} [{reason}]"), run).with_ignored_flag(true),
        None => Trial::test(name, run),
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime for the case").block_on(future)
}
