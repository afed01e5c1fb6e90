//! A store that is wrong on purpose, as a subject of the suite.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use conformance_tests::{Case, Needs, Subject, World};
use lock_core::{Backend, Mode};

use crate::fault::Fault;
use crate::model::Model;
use crate::rule::Rule;
use crate::subject::{InFile, InMemory};
use crate::veneer::Veneer;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mutant {
    /// The model with a broken rule.
    Model(Rule),
    /// `Memory` behind a wrong veneer.
    Veneer(Fault),
}

impl Mutant {
    /// The model with no rule broken: what the mutants have in common passes every case.
    pub(crate) const SOUND: Self = Self::Model(Rule::Sound);

    /// A store of its own, for one case; `None` if it cannot run the case.
    fn subject(self, case: &Case) -> Option<Arc<dyn Subject>> {
        let processes = case.needs.contains(&Needs::Processes);
        Some(match self {
            Self::Model(_) if processes => return None,
            Self::Veneer(fault) if processes => Arc::new(InFile::new(fault)),
            Self::Model(rule) => {
                let model = Model::new(rule);
                Arc::new(InMemory::new(move || Arc::new(model.client()), None))
            }
            Self::Veneer(fault) => {
                let veneer = Veneer::new(fault);
                let client = move || {
                    let client = Arc::new(veneer.client());
                    if fault == Fault::ClientsStay {
                        std::mem::forget(client.clone());
                    }
                    client as Arc<dyn Backend>
                };
                Arc::new(InMemory::new(client, Some(fault)))
            }
        })
    }

    /// Runs a case, and once more as a permit of one if it is about exclusion. A case that takes longer than the
    /// limit has failed too; a case that the mutant cannot run has passed.
    pub(crate) fn check(self, case: Case, limit: Duration) -> Result<(), String> {
        let one = Mode::permit_of(1).expect("one is not zero");
        let modes = if case.exclusive { vec![Mode::Exclusive, one] } else { vec![Mode::Exclusive] };
        modes.into_iter().try_for_each(|mode| self.run(case, mode, limit))
    }

    fn run(self, case: Case, mode: Mode, limit: Duration) -> Result<(), String> {
        let Some(subject) = self.subject(&case) else { return Ok(()) };
        let world = World::new(subject, mode);
        let (done, end) = mpsc::channel::<()>();
        let body = move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            let runtime = runtime.expect("a runtime for the case");
            // Dropped in a panic too, which ends the wait below.
            let _done = done;
            runtime.block_on((case.run)(world));
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name(case.name.to_owned()).spawn(body);
        let thread = thread.expect("a thread for the case");
        match end.recv_timeout(limit) {
            Err(mpsc::RecvTimeoutError::Timeout) => Err(format!("no end within {limit:?}")),
            _ => thread.join().map_err(|panic| message(&*panic)),
        }
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(rule) => write!(f, "{rule:?}"),
            Self::Veneer(fault) => write!(f, "{fault:?}"),
        }
    }
}

pub(crate) fn name(case: &Case) -> String {
    format!("{}::{}", case.law, case.name)
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
}
