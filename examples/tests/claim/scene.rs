//! Policies and events, and what is looked for in their ledger.

use std::ops::Deref;
use std::process::Command;
use std::time::Duration;

use examples::claim::check::{Findings, check};
use examples::claim::input::Input;
use examples::claim::ledger::Ledger;
use examples::data::Proof;
use examples::place::Home;

use crate::support::{self, Ended as _, Ran, Stage, Store, Worker, apart};

/// The program, with nothing of this process's own settings.
pub(crate) fn program() -> Command {
    support::program(env!("CARGO_BIN_EXE_claim"))
}

/// Files of policies and events, and a place for the data.
pub(crate) struct Scene(pub(crate) Stage);

impl Deref for Scene {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.0
    }
}

impl Scene {
    /// `policies` are lines of `id,region,cover,limit,from,to`, `events` of `id,region,tier,at`.
    pub(crate) fn on<L: AsRef<str>>(store: Store, policies: &[L], events: &[L]) -> Self {
        Self::at(Stage::new(store, Ledger::FILE), policies, events)
    }

    pub(crate) fn at<L: AsRef<str>>(stage: Stage, policies: &[L], events: &[L]) -> Self {
        let scene = Self(stage);
        scene.input("policies.csv", "id,region,cover,limit,from,to", policies);
        scene.input("events.csv", "id,region,tier,at", events);
        scene
    }

    /// Writes a file of the input.
    pub(crate) fn input<L: AsRef<str>>(&self, name: &str, header: &str, lines: &[L]) {
        let lines = lines.iter().map(AsRef::as_ref);
        self.write(name, [header].into_iter().chain(lines));
    }

    /// One policy that has one day, on which it pays 100, 250 and 500.
    pub(crate) fn one_day(store: Store) -> Self {
        Self::at(Stage::new(store, Ledger::FILE), &ONE_POLICY, &ONE_DAY)
    }

    /// Runs the whole program, in fresh data.
    pub(crate) fn run(&self, args: &str) -> Ran {
        self.command(args).ended()
    }

    /// The same, not yet started.
    pub(crate) fn command(&self, args: &str) -> Command {
        let mut program = program();
        program.arg("--policies").arg(self.path("policies.csv")).arg("--events").arg(self.path("events.csv"));
        self.0.command(program, args)
    }

    /// Makes the ledger, for workers that are started one by one.
    pub(crate) fn make(&self) {
        let input = self.read();
        apart(async {
            Home::kept(self.place()).await.expect("a place for the data");
            Ledger::create(&self.place(), &input).await.expect("a new ledger");
        });
    }

    fn read(&self) -> Input {
        Input::read(&self.path("policies.csv"), &self.path("events.csv")).expect("good input")
    }

    pub(crate) async fn ledger(&self) -> Ledger {
        Ledger::open(&self.place(), Duration::MAX).await.expect("the ledger")
    }

    /// The key of a day.
    pub(crate) async fn key(&self, policy: &str, day: &str) -> String {
        format!("{}/claim_calc/{policy}/{day}", self.ledger().await.name())
    }

    /// A worker, not yet started.
    pub(crate) fn asked(&self, name: &str, args: &str) -> Command {
        let mut command = program();
        command.args(["worker", "--name", name]).args(args.split_whitespace());
        command.arg("--answer").arg(self.path("answer"));
        command
    }

    /// Starts one worker, which logs everything.
    pub(crate) fn worker(&self, name: &str, args: &str) -> Worker {
        self.0.worker(self.asked(name, args))
    }

    /// Lets what stalls go on.
    pub(crate) fn answer(&self) {
        std::fs::write(self.path("answer"), "").expect("it is written");
    }

    /// What the checker finds in the ledger, looking at the input.
    pub(crate) fn findings(&self) -> Findings {
        let input = self.read();
        apart(async { check(&self.ledger().await, &input).await.expect("a check") })
    }

    /// All claims, as `policy day tier amount`.
    pub(crate) fn claims(&self) -> Vec<String> {
        let all = "SELECT policy_id || ' ' || day || ' ' || CAST(tier AS text) || ' ' || \
                   CAST(amount / 100000000 AS text) FROM policy_claims ORDER BY policy_id, day, tier, amount";
        apart(async {
            let mut tx = self.ledger().await.begin(Proof::None).await.expect("an answer").expect("no proof");
            let rows = tx.rows(all, []).await.expect("an answer");
            rows.iter().map(|row| row.text(0).expect("a text")).collect()
        })
    }

    /// Panics unless each claim is there once, all days were calculated, and nothing had to be refused.
    pub(crate) fn assert_paid_once(&self) {
        assert_eq!(self.findings().offences, []);
        assert_eq!(self.number("SELECT count(*) FROM refusals"), 0);
    }

    /// Panics unless there is nothing of any calculation.
    pub(crate) fn assert_nothing_is_stored(&self) {
        assert_eq!(
            self.number("SELECT (SELECT count(*) FROM policy_claims) + (SELECT count(*) FROM calculations)"),
            0
        );
    }
}

pub(crate) const ONE_POLICY: [&str; 1] = ["P-1,coast,1000,5000,2025-01-01,2025-12-31"];

/// Four events, three of which raise a claim.
pub(crate) const ONE_DAY: [&str; 4] = [
    "E-1,coast,1,2025-01-15T08:00:00Z",
    "E-2,coast,2,2025-01-15T09:00:00Z",
    "E-3,coast,3,2025-01-15T10:00:00Z",
    "E-4,coast,2,2025-01-15T11:00:00Z",
];

pub(crate) const DAY: &str = "2025-01-15";

/// Panics if nothing at all is wrong in the ledger after twenty bare runs.
pub(crate) fn damages(scene: &Scene, args: &str, damaged: impl Fn(&Findings) -> bool) {
    support::damages(|| (scene.run(&format!("{args} --no-locks")), damaged(&scene.findings())));
}

/// Panics if a worker does not end well; answers what it said.
pub(crate) fn ends_well(worker: Worker) -> String {
    let (status, said) = worker.ends();
    assert!(status.success(), "{said}");
    said
}
