//! The whole run: on the orders that are shipped, and when it is stopped.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use lock_core::Token;
use rustix::process::Signal;

use crate::support::{Ended as _, LIMIT, Scene, Worker, program};
use examples::trade::books::Books;
use examples::trade::entry::{Entry, Written};
use examples::trade::orders;

#[test]
fn the_shipped_orders_come_out_right_and_nothing_is_left_behind() {
    let temporary = tempfile::tempdir().expect("a directory");
    let ran = program().env("TMPDIR", temporary.path()).ended();
    ran.assert_clean();
    assert_eq!(ran.figure("orders"), 3000);
    assert_eq!(ran.figure("trades recorded"), 3000);
    assert!(ran.figure("already recorded") >= 2880, "the other arrival of every fill:\n{}", ran.out);
    assert_eq!(entries(temporary.path()), 0, "no temporary file is left");
}

#[test]
fn without_locks_the_shipped_orders_come_out_wrong() {
    let ran = program().arg("--no-locks").ended();
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
        let temporary = tempfile::tempdir().expect("a directory");
        let mut command = program();
        command.args(LONG.split_whitespace()).env("TMPDIR", temporary.path());
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

#[test]
fn a_worker_that_was_stopped_beyond_its_ttl_learns_that_it_lost() {
    let scene = Scene::new(["A-1,aurora,BTC-USD,buy,1,100,"]);
    drop(scene.books(Duration::ZERO));
    let mut stopped = scene.worker("socket", "socket-1", "0/1", "--ttl 1s --patience 10m --fault hang");
    let mut other = scene.worker("socket", "socket-2", "0/1", "--ttl 10m");
    stopped.go();
    stopped.hears("the exchange fails");
    stopped.signal(Signal::STOP);
    other.go();
    other.hears("recorded");
    assert!(other.ends().0.success());
    stopped.signal(Signal::CONT);
    stopped.hears("the lock was lost");
    stopped.hears("already recorded");
    assert!(stopped.ends().0.success());
    assert_eq!(scene.findings().offences, []);
}

#[tokio::test]
async fn a_position_refuses_a_token_lower_than_one_it_has_seen() {
    let scene = Scene::new(["A-1,aurora,BTC-USD,buy,1,100,", "A-2,aurora,BTC-USD,buy,1,100,"]);
    let books = scene.books(Duration::ZERO);
    let [first, second] = &orders::read(&scene.file()).expect("good orders")[..] else {
        panic!("two orders")
    };
    let entry = |order: &orders::Order, token| Entry {
        order: order.clone(),
        position: examples::trade::position::Position { fills: 1, ..Default::default() },
        worker: "socket-1".into(),
        token: Some(Token::new(token)),
    };
    assert_eq!(books.write(entry(first, 8)).await.expect("an answer"), Written::Recorded);
    assert_eq!(books.write(entry(second, 7)).await.expect("an answer"), Written::Stale);
    assert_eq!(books.write(entry(first, 7)).await.expect("an answer"), Written::Stale, "and is no duplicate");
    assert_eq!(books.write(entry(first, 8)).await.expect("an answer"), Written::Duplicate);
    assert_eq!(scene.number("SELECT count(*) FROM trades"), 1, "nothing was written");
    assert_eq!(scene.number("SELECT token FROM positions"), 8);
    let seen = books.position(second, Some(Token::new(10))).await.expect("an answer");
    assert_eq!(seen.expect("the highest token").fills, 1);
    assert_eq!(
        books.position(second, Some(Token::new(9))).await.expect("an answer"),
        None,
        "too late to look"
    );
    let written = books.write(entry(second, 9)).await.expect("an answer");
    assert_eq!(written, Written::Stale, "nor to write what the later one has not seen");
    let orders = books.orders().await.expect("orders");
    assert_eq!(orders, orders::read(&scene.file()).expect("good orders"), "the books know what was read");
    drop(Books::open(&scene.data()).expect("a second connection"));
}

#[tokio::test]
async fn a_bot_refuses_a_token_lower_than_one_it_has_seen() {
    let scene = Scene::new(["A-1,aurora,BTC-USD,buy,1,100,bot-1"]);
    let books = scene.books(Duration::ZERO);
    let [first] = &orders::read(&scene.file()).expect("good orders")[..] else { panic!("one order") };
    let left = books.cooldown_left("bot-1", Some(Token::new(8))).await.expect("an answer");
    assert_eq!(left, Some(Duration::ZERO));
    assert_eq!(books.cooldown_left("bot-1", Some(Token::new(7))).await.expect("an answer"), None);
    let late = Entry {
        order: first.clone(),
        position: Default::default(),
        worker: "evaluator-1".into(),
        token: Some(Token::new(7)),
    };
    assert_eq!(books.write(late).await.expect("an answer"), Written::Stale);
    assert_eq!(scene.number("SELECT count(*) FROM trades"), 0);
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
