//! The whole run: on the orders that are shipped, and when it is stopped.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use examples::options::{BACKEND, DATA};
use rstest::rstest;
use rustix::process::Signal;

use crate::scene::{Scene, program};
use crate::support::{Database, Ended as _, LIMIT, Store, Worker};

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn the_shipped_orders_come_out_right_and_nothing_is_left_behind(#[case] store: Store) {
    shipped_orders_come_out_right(store.backend());
}

#[test]
fn the_shipped_orders_come_out_right_in_postgres_and_nothing_is_left_behind() {
    let database = Database::new();
    let before = database.objects();
    shipped_orders_come_out_right(["--backend".to_owned(), database.0.clone()]);
    assert_eq!(database.objects(), before);
}

fn shipped_orders_come_out_right(backend: impl IntoIterator<Item = String>) {
    let temporary = tempfile::tempdir().expect("a directory");
    let ran = program().args(backend).env("TMPDIR", temporary.path()).ended();
    ran.assert_clean();
    assert_eq!(ran.figure("orders"), 3000);
    assert_eq!(ran.figure("trades recorded"), 3000);
    assert_eq!(ran.figure("already recorded"), 2880, "the other arrival of every fill:\n{}", ran.out);
    assert_eq!(entries(temporary.path()), 0, "no temporary file is left");
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::postgres(Store::Postgres)]
fn without_locks_the_shipped_orders_come_out_wrong(#[case] store: Store) {
    let ran = program().arg("--no-locks").args(store.backend()).ended();
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    assert!(ran.figure("duplicates") + ran.figure("lost updates") > 0, "{}", ran.out);
    assert!(ran.out.contains("BROKEN"), "{}", ran.out);
}

#[test]
fn a_reader_who_has_seen_enough_is_no_error() {
    let scene = Scene::new(["A-1,aurora,BTC-USD,buy,1,100,"]);
    scene.run("").assert_clean();
    let mut check = program();
    check.arg("check").arg("--data").arg(scene.data()).stderr(Stdio::piped());
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let ran = check.stdout(writer).spawn().expect("it starts").wait_with_output().expect("it ends");
    assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
}

/// Long enough not to end by itself.
const LONG: &str = "--latency 10m --patience 1h";

#[test]
fn an_interrupted_run_stops_its_workers_and_leaves_nothing() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        interrupted(signal, &[]);
    }
}

#[test]
fn an_interrupted_run_leaves_nothing_in_postgres() {
    let database = Database::new();
    let before = database.objects();
    interrupted(Signal::INT, &["--backend", &database.0]);
    assert_eq!(database.objects(), before);
}

fn interrupted(signal: Signal, backend: &[&str]) {
    let temporary = tempfile::tempdir().expect("a directory");
    let mut command = program();
    command.args(LONG.split_whitespace()).args(backend).env("TMPDIR", temporary.path());
    let mut parent = Worker::start(command);
    parent.hears("refused: another trade is in progress"); // the last to start is at work
    let workers = workers_of(parent.id());
    parent.signal(signal);
    let (status, said) = parent.ends();
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(said.contains("interrupted"), "{said}");
    assert_eq!(alive(&workers), 0);
    assert_eq!(entries(temporary.path()), 0, "no temporary file is left");
}

#[test]
fn workers_end_when_their_parent_is_killed() {
    // Work for every one of the six.
    let orders = ["", "", "bot-1", "bot-1"].iter().enumerate();
    let scene = Scene::new(orders.map(|(n, bot)| format!("A-{n},aurora,BTC-USD,buy,1,100,{bot}")));
    let mut parent = Worker::start(scene.command(LONG));
    parent.hears("refused: another trade is in progress"); // the last to start is at work
    let workers = workers_of(parent.id());
    parent.kill();
    let begun = Instant::now();
    while alive(&workers) > 0 {
        assert!(begun.elapsed() < LIMIT, "workers outlive their parent");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[rstest]
#[case::of_the_locks_and_the_data(false)]
#[case::of_the_data(true)]
fn a_password_is_in_no_arguments(#[case] bare: bool) {
    let database = Database::new();
    // Whoever is trusted may say any.
    let secret = |schema: &str| format!("{}#{schema}", database.0.replace("postgres@", "postgres:secret@"));
    let mut command = program();
    command.args(LONG.split_whitespace()).env(DATA, secret("friday")).env(BACKEND, secret("locks"));
    if bare {
        command.arg("--no-locks");
    }
    let mut parent = Worker::start(command);
    parent.hears(if bare { "no locks" } else { "refused: another trade is in progress" });
    let workers = workers_of(parent.id());
    for process in workers.into_iter().chain([parent.id()]) {
        let args = std::fs::read_to_string(format!("/proc/{process}/cmdline")).expect("it is there");
        assert!(args.contains("trade") && !args.contains("secret"), "{args}");
    }
    parent.signal(Signal::INT);
    let (status, said) = parent.ends();
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(!said.contains("secret"), "{said}");

    let shown = program().arg("--help").env(BACKEND, secret("locks")).env(DATA, secret("friday")).ended();
    assert!(shown.out.contains(BACKEND) && !shown.out.contains("secret"), "{}", shown.out);
    let checked = program().arg("check").env(DATA, secret("friday")).ended();
    assert_eq!(checked.code, Some(1), "{}{}", checked.out, checked.err); // nothing is recorded yet
}

/// Waits until there are all six of them.
fn workers_of(parent: u32) -> Vec<u32> {
    let begun = Instant::now();
    loop {
        let workers: Vec<u32> =
            processes().filter(|(_, parent_of)| *parent_of == parent).map(|(pid, _)| pid).collect();
        if workers.len() == 6 {
            return workers;
        }
        assert!(begun.elapsed() < LIMIT, "only {workers:?} were started");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Every process that runs, and its parent.
fn processes() -> impl Iterator<Item = (u32, u32)> {
    let all = std::fs::read_dir("/proc").expect("a /proc").flatten();
    all.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name of the program stands in brackets before, and may have any character.
        let (_, after) = stat.rsplit_once(')')?;
        let mut fields = after.split_whitespace();
        let ended = fields.next()? == "Z";
        (!ended).then_some((pid, fields.next()?.parse().ok()?))
    })
}

fn alive(workers: &[u32]) -> usize {
    processes().filter(|(process, _)| workers.contains(process)).count()
}

fn entries(dir: &Path) -> usize {
    std::fs::read_dir(dir).expect("the directory").count()
}
