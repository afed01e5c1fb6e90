//! A worker that was stopped for longer than its ttl: it writes nothing any more.

use std::time::Duration;

use examples::trade::books::Books;
use examples::trade::entry::{Entry, Written};
use examples::trade::orders;
use lock_core::Token;
use rstest::rstest;
use rustix::process::Signal;

use crate::support::{Scene, Store, Worker};

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
fn a_worker_that_was_stopped_beyond_its_ttl_learns_that_it_lost(#[case] store: Store) {
    let scene = Scene::on(store, ["A-1,aurora,BTC-USD,buy,1,100,"]);
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

const REFUSED: &str = "SELECT count(*) FROM refusals WHERE why = 'stale token'";

/// Two workers have an order each, of the same position or bot. The first is stopped between its look and its write, and
/// the second one trades meanwhile. The first has asked the exchange on its own thread: it does not see that its lock is
/// lost before it has sent its write off.
fn one_is_stopped_before_its_write(store: Store, role: &str, bot: &str) -> (Scene, Worker) {
    let scene = Scene::on(store, ["A-1", "A-2"].map(|id| format!("{id},aurora,BTC-USD,buy,1,100,{bot}")));
    drop(scene.books(Duration::from_secs(600)));
    scene.change("UPDATE bots SET created_at = 0");
    let mut stopped = scene.worker(role, "stopped", "0/2", "--ttl 1s --fault stall");
    let mut other = scene.worker(role, "other", "1/2", "--ttl 10m");
    stopped.go();
    stopped.hears("the exchange fails");
    stopped.signal(Signal::STOP);
    other.go();
    scene.wait_for("SELECT count(*) FROM trades WHERE order_id = 'A-2'", 1);
    std::fs::write(scene.data().join("answer"), "").expect("it is written");
    stopped.signal(Signal::CONT);
    let refused = "EXISTS (SELECT 1 FROM refusals WHERE order_id = 'A-1')";
    let recorded = "EXISTS (SELECT 1 FROM trades WHERE order_id = 'A-1')";
    scene.wait_for(&format!("SELECT {refused} OR {recorded}"), 1);
    (scene, stopped)
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
fn a_late_write_to_a_position_is_refused_by_its_fence(#[case] store: Store) {
    let (scene, stopped) = one_is_stopped_before_its_write(store, "socket", "");
    assert!(stopped.ends().0.success(), "it asks again, and is recorded on top of the other");
    assert_eq!(scene.findings().offences, []);
    assert_eq!(scene.number("SELECT fills FROM positions"), 2);
    assert_eq!(scene.number(REFUSED), 1);
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
fn a_late_trade_of_a_bot_is_refused_by_its_fence(#[case] store: Store) {
    let (scene, mut stopped) = one_is_stopped_before_its_write(store, "evaluator", "bot-1");
    assert_eq!(scene.findings().cooldowns(), 0);
    stopped.hears("cooldown remaining"); // the other has just traded
    assert_eq!(scene.number("SELECT count(*) FROM trades"), 1);
    assert_eq!(scene.number(REFUSED), 1);
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
    assert_eq!(scene.number("SELECT token FROM lock_fences"), 8);
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
    let left = books.cooldown_left(first, Some(Token::new(8))).await.expect("an answer");
    assert_eq!(left, Some(Duration::ZERO));
    assert_eq!(books.cooldown_left(first, Some(Token::new(7))).await.expect("an answer"), None);
    let late = Entry {
        order: first.clone(),
        position: Default::default(),
        worker: "evaluator-1".into(),
        token: Some(Token::new(7)),
    };
    assert_eq!(books.write(late).await.expect("an answer"), Written::Stale);
    assert_eq!(scene.number("SELECT count(*) FROM trades"), 0);
}
