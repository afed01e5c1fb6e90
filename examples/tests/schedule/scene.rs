//! People, shifts and their rota, and what is looked for in it.

use std::ops::Deref;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use examples::backend::Url;
use examples::options::Options;
use examples::place::Home;
use examples::schedule::cancel::Cancel;
use examples::schedule::check::{Findings, check};
use examples::schedule::fault::Faults;
use examples::schedule::guarded::{Answer, Office};
use examples::schedule::rota::Rota;
use examples::schedule::shifts;
use examples::schedule::swap::Request;
use lock_core::{Guard, Lock, Locker};

use crate::support::{self, Ended as _, LIMIT, Ran, Stage, Store, Worker, apart};

/// The program, with nothing of this process's own settings.
pub(crate) fn program() -> Command {
    support::program(env!("CARGO_BIN_EXE_schedule"))
}

/// Four people, and a place for the rota of their shifts.
pub(crate) struct Scene(Stage);

impl Deref for Scene {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.0
    }
}

/// Two days of four shifts. Generated, the first one is ann's, bob's, cid's and dee's, in this order.
pub(crate) const TWO_DAYS: [&str; 8] = [
    "mon-a,mon,2025-01-06 06:00,2025-01-06 14:00",
    "mon-b,mon,2025-01-06 06:00,2025-01-06 14:00",
    "mon-c,mon,2025-01-06 10:00,2025-01-06 18:00",
    "mon-d,mon,2025-01-06 14:00,2025-01-06 22:00",
    "tue-a,tue,2025-01-07 06:00,2025-01-07 14:00",
    "tue-b,tue,2025-01-07 06:00,2025-01-07 14:00",
    "tue-c,tue,2025-01-07 10:00,2025-01-07 18:00",
    "tue-d,tue,2025-01-07 14:00,2025-01-07 22:00",
];

impl Scene {
    /// `shifts` are lines of `id,block,starts,ends`.
    pub(crate) fn on<L: AsRef<str>>(store: Store, shifts: impl IntoIterator<Item = L>) -> Self {
        let scene = Self(Stage::new(store, Rota::FILE));
        scene.write("people.csv", ["name,hours", "ann,40", "bob,40", "cid,40", "dee,40"]);
        let shifts = shifts.into_iter().map(|line| line.as_ref().to_owned());
        scene.write("shifts.csv", ["id,block,starts,ends".to_owned()].into_iter().chain(shifts));
        scene
    }

    /// What a worker that stalls waits for.
    pub(crate) fn answer(&self) -> PathBuf {
        self.path("answer")
    }

    pub(crate) fn go_on(&self) {
        std::fs::write(self.answer(), "").expect("it is written");
    }

    /// Runs the whole program, in fresh data.
    pub(crate) fn run(&self, args: &str) -> Ran {
        self.command(args).ended()
    }

    /// The same, not yet started.
    pub(crate) fn command(&self, args: &str) -> Command {
        let mut program = program();
        program.arg("--people").arg(self.path("people.csv")).arg("--shifts").arg(self.path("shifts.csv"));
        self.0.command(program, args)
    }

    /// Makes the rota, with nothing generated, for workers that are started one by one.
    pub(crate) fn make(&self) {
        let make = async {
            Home::kept(self.place()).await.expect("a place for the data");
            let files = shifts::read(&self.path("people.csv"), &self.path("shifts.csv"));
            let (people, shifts) = files.expect("good files");
            Rota::create(&self.place(), &people, &shifts).await.expect("a new rota")
        };
        apart(async { drop(make.await) });
    }

    /// The same, and generates some of its blocks.
    pub(crate) fn generated(&self, blocks: &[&str]) {
        self.make();
        apart(async {
            let office = self.office("planner-0").await;
            for block in blocks {
                let answer = office.generate(block, &Cancel::new().1).await;
                assert_eq!(answer.expect("nobody else is there"), Answer::Generated);
            }
            office.locks.expect("it has locks").keys.close().await;
        });
    }

    /// An office with clients of its own, which waits for nothing.
    pub(crate) async fn office(&self, worker: &str) -> Office {
        let options = Options {
            backend: Some(Url::from(self.url())),
            no_locks: false,
            ttl: Duration::from_secs(600),
            data: Some(self.place()),
        };
        Office {
            locks: options.locks(&self.place(), worker).await.expect("a store"),
            rota: self.rota().await,
            thinking: Duration::ZERO,
            latency: Duration::ZERO,
            patience: LIMIT,
            worker: worker.to_owned(),
            faults: Faults::default(),
        }
    }

    async fn rota(&self) -> Rota {
        Rota::open(&self.place(), Duration::from_secs(600)).await.expect("the rota")
    }

    /// Asks for locks of this rota, as a worker would.
    pub(crate) async fn ask(&self, what: &[&str]) -> Lock {
        let store = Url::from(self.url()).connect().await.expect("a store");
        let rota = self.rota().await;
        let keys: Vec<_> = what.iter().map(|what| format!("{}/{what}", rota.name())).collect();
        Locker::new(store).lock(keys)
    }

    /// Panics unless it is locked.
    pub(crate) async fn assert_busy(&self, lock: Lock) {
        assert!(lock.try_acquire().await.expect("an answer").is_none(), "it is free");
    }

    /// Panics if somebody has to wait for it to lapse.
    pub(crate) async fn free(&self, what: &[&str]) -> Guard {
        self.ask(what).await.timeout(LIMIT).acquire().await.expect("it is free at once")
    }

    /// Starts one worker, which logs everything.
    pub(crate) fn worker(&self, role: &str, name: &str, args: &str) -> Worker {
        let mut command = program();
        command.args(["worker", role, "--name", name]).arg("--answer").arg(self.answer());
        command.args(args.split_whitespace());
        self.0.worker(command)
    }

    /// Whose a shift is, if it is somebody's.
    pub(crate) fn holder(&self, shift: &str) -> Option<String> {
        let assignments = apart(async { self.rota().await.assignments().await.expect("assignments") });
        assignments.into_iter().find(|its| its.shift.id == shift).map(|its| its.person)
    }

    /// What the checker finds in the rota.
    pub(crate) fn findings(&self) -> Findings {
        apart(async { check(&self.rota().await).await.expect("a check") })
    }

    /// Panics if a check finds anything.
    pub(crate) fn assert_right(&self) {
        assert_eq!(self.findings().offences, []);
    }
}

/// What somebody wants: he gives one shift, and takes another.
pub(crate) fn wish(person: &str, gives: &str, takes: &str) -> Request {
    Request { person: person.to_owned(), gives: gives.to_owned(), takes: takes.to_owned() }
}

/// Waits until there is a file.
pub(crate) async fn there_is(file: PathBuf) {
    let begun = Instant::now();
    while !file.exists() {
        assert!(begun.elapsed() < LIMIT, "there is no {}", file.display());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Panics if nothing at all is wrong in the rota after twenty bare runs.
pub(crate) fn damages(scene: &Scene, args: &str, damaged: impl Fn(&Findings) -> bool) {
    support::damages(|| (scene.run(&format!("{args} --no-locks")), damaged(&scene.findings())));
}
