//! A file of orders and its books, and what is looked for in them.

use std::ops::Deref;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use examples::data::{Proof, Tx};
use examples::place::Home;
use examples::trade::books::Books;
use examples::trade::check::{Findings, check};
use examples::trade::orders::{self, Order};
use lock_core::Guard;
use lock_postgres::RowWait;

use crate::support::{self, Ended as _, Ran, Stage, Store, Worker, apart};

/// The program, with nothing of this process's own settings.
pub(crate) fn program() -> Command {
    support::program(env!("CARGO_BIN_EXE_trade"))
}

/// A file of orders, and a place for the data.
pub(crate) struct Scene(Stage);

impl Deref for Scene {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.0
    }
}

impl Scene {
    /// `orders` are lines of `id,exchange,symbol,side,quantity,price,bot`.
    pub(crate) fn new<L: AsRef<str>>(orders: impl IntoIterator<Item = L>) -> Self {
        Self::on(Store::Sqlite, orders)
    }

    /// The same, with the locks in a store.
    pub(crate) fn on<L: AsRef<str>>(store: Store, orders: impl IntoIterator<Item = L>) -> Self {
        let scene = Self(Stage::new(store, Books::FILE));
        let orders = orders.into_iter().map(|line| line.as_ref().to_owned());
        let header = "id,exchange,symbol,side,quantity,price,bot".to_owned();
        scene.write("orders.csv", [header].into_iter().chain(orders));
        scene
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.path("orders.csv")
    }

    /// What is in it.
    pub(crate) fn orders(&self) -> Vec<Order> {
        orders::read(&self.file()).expect("good orders")
    }

    /// What a worker's exchange that stalls waits for.
    pub(crate) fn answer(&self) -> PathBuf {
        self.path("answer")
    }

    /// Runs the whole program on the orders, in fresh data.
    pub(crate) fn run(&self, args: &str) -> Ran {
        self.command(args).ended()
    }

    /// The same, not yet started.
    pub(crate) fn command(&self, args: &str) -> Command {
        let mut program = program();
        program.arg("--orders").arg(self.file());
        self.0.command(program, args)
    }

    /// Makes the books, for workers that are started one by one.
    pub(crate) fn make(&self, cooldown: Duration) {
        apart(async { drop(self.books(cooldown).await) });
    }

    /// The same, for the caller.
    pub(crate) async fn books(&self, cooldown: Duration) -> Books {
        Home::kept(self.place()).await.expect("a place for the data");
        Books::create(&self.place(), &self.orders(), cooldown).await.expect("new books")
    }

    async fn open(&self) -> Books {
        Books::open(&self.place(), Duration::MAX).await.expect("the books")
    }

    /// Takes a lock of these books, as a worker would.
    pub(crate) async fn lock(&self, what: &str) -> Guard {
        self.0.lock(&format!("{}/{what}", self.open().await.name())).await
    }

    /// Locks a position of the house, as a worker would.
    pub(crate) async fn lock_position(&self, exchange: &str, symbol: &str) -> Held {
        if !self.store.is_one() {
            return Held::Key(self.lock(&format!("position/{exchange}/{symbol}")).await);
        }
        let mut tx =
            self.open().await.begin(Proof::None).await.expect("an answer").expect("no proof is asked for");
        let row = format!("/{exchange}/{symbol}");
        assert!(tx.lock_row("positions", &row, RowWait::Block).await.expect("an answer"), "it is there");
        Held::Row(tx)
    }

    /// Starts one worker, which logs everything.
    pub(crate) fn worker(&self, role: &str, name: &str, seat: &str, args: &str) -> Worker {
        let mut command = program();
        command
            .args(["worker", role, "--name", name])
            .args(["--of", &seat[seat.len() - 1..], "--seat", &seat[..1]])
            .arg("--answer")
            .arg(self.answer())
            .args(args.split_whitespace());
        self.0.worker(command)
    }

    /// What the checker finds in the books, looking at the file of orders.
    pub(crate) fn findings(&self) -> Findings {
        apart(async { check(&self.open().await, &self.orders()).await.expect("a check") })
    }

    /// Panics if the database had to help out: by `UNIQUE`, or by the fence.
    pub(crate) fn assert_nothing_was_refused(&self) {
        assert_eq!(self.number("SELECT count(*) FROM refusals"), 0);
    }
}

/// A position that is locked.
pub(crate) enum Held {
    /// By a key.
    Key(Guard),
    /// By its row.
    Row(Tx),
}

impl Held {
    /// Panics if it is not locked any more.
    pub(crate) async fn release(self) {
        match self {
            Self::Key(guard) => guard.release().await.expect("held to the end"),
            Self::Row(tx) => tx.commit().await.expect("held to the end"),
        }
    }
}

/// Panics if nothing at all is wrong in the books after twenty runs.
pub(crate) fn damages(scene: &Scene, args: &str, damaged: impl Fn(&Findings) -> bool) {
    support::damages(|| (scene.run(&format!("{args} --no-locks")), damaged(&scene.findings())));
}
