//! A worker that was stopped for longer than its ttl: it writes nothing any more.

use std::time::Duration;

use examples::data::Proof;
use examples::trade::books::{Books, Seen};
use examples::trade::entry::{Entry, Written};
use examples::trade::orders::{self, Order};
use examples::trade::position::Position;
use lock_core::{ErrorKind, Locker, Token};
use rstest::rstest;
use rustix::process::Signal;

use crate::scene::Scene;
use crate::support::{Store, Worker};

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn a_worker_that_was_stopped_beyond_its_ttl_learns_that_it_lost(#[case] store: Store) {
    let scene = Scene::on(store, ["A-1,aurora,BTC-USD,buy,1,100,"]);
    scene.make(Duration::ZERO);
    let mut stopped = scene.worker("socket", "socket-1", "0/1", "--ttl 1s --patience 10m --fault hang");
    let mut other = scene.worker("socket", "socket-2", "0/1", "--ttl 10m");
    stopped.go();
    stopped.hears("the exchange fails");
    stopped.signal(Signal::STOP);
    other.go();
    other.hears("recorded");
    assert!(other.ends().0.success());
    stopped.signal(Signal::CONT);
    // A row is lost with its transaction, which the server has ended.
    stopped.hears(if store == Store::Postgres { "ERROR" } else { "the lock was lost" });
    stopped.hears("already recorded");
    assert!(stopped.ends().0.success());
    assert_eq!(scene.findings().offences, []);
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn a_fill_is_recorded_by_another_within_the_ttl_after_its_worker_was_killed(#[case] store: Store) {
    let scene = Scene::on(store, ["A-1,aurora,BTC-USD,buy,1,100,"]);
    scene.make(Duration::ZERO);
    let mut killed = scene.worker("socket", "socket-1", "0/1", "--ttl 2s --patience 10m --fault hang");
    let mut other = scene.worker("socket", "socket-2", "0/1", "--ttl 2s");
    killed.go();
    killed.hears("the exchange fails");
    other.go();
    killed.kill();
    other.hears("recorded");
    assert!(other.ends().0.success());
    assert_eq!(scene.findings().offences, []);
    assert_eq!(
        scene.number("SELECT fills FROM positions"),
        1,
        "nothing of the killed worker's is in the books"
    );
}

const REFUSED: &str = "SELECT count(*) FROM refusals WHERE why = 'stale'";

/// Two workers have an order each, of the same position or bot. The first is stopped between its look and its write, and
/// the second one trades meanwhile. The first has asked the exchange on its own thread: it does not see that its lock is
/// lost before it has sent its write off.
fn one_is_stopped_before_its_write(store: Store, role: &str, bot: &str) -> (Scene, Worker) {
    let scene = Scene::on(store, ["A-1", "A-2"].map(|id| format!("{id},aurora,BTC-USD,buy,1,100,{bot}")));
    scene.make(Duration::from_secs(600));
    scene.change("UPDATE bots SET created_at = 0");
    let mut stopped = scene.worker(role, "stopped", "0/2", "--ttl 1s --fault stall");
    let mut other = scene.worker(role, "other", "1/2", "--ttl 10m");
    stopped.go();
    stopped.hears("the exchange fails");
    stopped.signal(Signal::STOP);
    other.go();
    // To its end: killed before it has released its lock, it would keep the first one waiting for ten minutes.
    assert!(other.ends().0.success());
    assert_eq!(scene.number("SELECT count(*) FROM trades WHERE order_id = 'A-2'"), 1);
    std::fs::write(scene.answer(), "").expect("it is written");
    stopped.signal(Signal::CONT);
    let [refused, recorded] =
        ["refusals", "trades"].map(|table| format!("(SELECT count(*) FROM {table} WHERE order_id = 'A-1')"));
    scene.wait_for(&format!("SELECT {refused} + {recorded} - {refused} * {recorded}"), 1);
    (scene, stopped)
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn a_late_write_to_a_position_is_refused_by_its_fence(#[case] store: Store) {
    let (scene, stopped) = one_is_stopped_before_its_write(store, "socket", "");
    assert!(stopped.ends().0.success(), "it asks again, and is recorded on top of the other");
    assert_eq!(scene.findings().offences, []);
    assert_eq!(scene.number("SELECT fills FROM positions"), 2);
    assert_eq!(scene.number(REFUSED), 1);
}

#[test]
fn a_late_write_to_a_row_is_lost_with_its_transaction() {
    let (scene, stopped) = one_is_stopped_before_its_write(Store::Postgres, "socket", "");
    assert!(stopped.ends().0.success(), "it asks again, and is recorded on top of the other");
    assert_eq!(scene.findings().offences, []);
    assert_eq!(scene.number("SELECT fills FROM positions"), 2);
    assert_eq!(scene.number(REFUSED), 0, "there was nothing left to refuse");
}

/// By its fence, or where the lock is in the database by that.
#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn a_late_trade_of_a_bot_is_refused(#[case] store: Store) {
    let (scene, mut stopped) = one_is_stopped_before_its_write(store, "evaluator", "bot-1");
    assert_eq!(scene.findings().cooldowns(), 0);
    stopped.hears("cooldown remaining"); // the other has just traded
    assert_eq!(scene.number("SELECT count(*) FROM trades"), 1);
    assert_eq!(scene.number(REFUSED), 1);
}

/// A database that says nothing to whoever writes to a table, until it does.
#[rstest]
#[case::a_write_by_key(Store::Apart, "socket", "", TRADES, "it may be in the books")]
#[case::a_write_to_a_row(Store::Postgres, "socket", "", TRADES, "it may be in the books")]
#[case::a_write_for_a_bot(Store::Postgres, "evaluator", "bot-1", TRADES, "it may be in the books")]
#[case::the_lock_of_a_row(Store::Postgres, "socket", "", POSITIONS, "gave up after")]
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_says_nothing_is_not_waited_for_for_ever(
    #[case] store: Store,
    #[case] role: &str,
    #[case] bot: &str,
    #[case] silence: &'static str,
    #[case] error: &str,
) {
    let scene = Scene::on(store, [format!("A-1,aurora,BTC-USD,buy,1,100,{bot}")]);
    let books = scene.books(Duration::ZERO).await;
    let mut silent = books.begin(Proof::None).await.expect("an answer").expect("no proof is asked for");
    silent.rows(silence, []).await.expect("nobody else's");
    let mut worker = scene.worker(role, "worker-1", "0/1", "--patience 3s");
    worker.go();
    worker.hears(error);
    silent.commit().await.expect("an answer");
    assert!(worker.ends().0.success(), "it has looked again");
    assert_eq!(scene.findings().offences, []);
    assert_eq!(scene.number("SELECT fills FROM positions"), 1);
}

/// It can be looked at all the same.
const TRADES: &str = "LOCK TABLE trades IN EXCLUSIVE MODE";

/// Nor can a row be locked.
const POSITIONS: &str = "LOCK TABLE positions IN EXCLUSIVE MODE";

/// Two evaluations, one after the other, and what the first one has to write when the second one is done.
#[tokio::test(flavor = "multi_thread")]
async fn b1_a_commit_is_confirmed_only_while_the_lock_is_held() {
    let scene =
        Scene::on(Store::Postgres, ["A-1", "A-2"].map(|id| format!("{id},aurora,BTC-USD,buy,1,100,bot-1")));
    let books = scene.books(Duration::from_secs(600)).await;
    scene.change("UPDATE bots SET created_at = 0");
    let store = scene.place().locks().postgres().await.expect("the server is there");
    let brief = Locker::new(store.clone()).with_ttl(Duration::from_secs(5)).with_renewal(false);
    let [first, second] = &orders::read(&scene.file()).expect("good orders")[..] else {
        panic!("two orders")
    };

    let key = format!("{}/bot/bot-1", books.name());
    let mut entries = Vec::new();
    for order in [first, second] {
        let guard = brief.lock(&key).acquire().await.expect("free, or lapsed soon");
        let mut tx = books.begin(Proof::Held(&store, &guard)).await.expect("an answer").expect("it is held");
        let seen = Books::look(&mut tx, order).await.expect("an answer");
        tx.commit().await.expect("an answer");
        assert!(seen.cooldown.is_zero() && !seen.recorded, "nobody has traded yet");
        entries.push((entry(order), guard));
    }
    let [(early, lost), (late, held)] = &entries[..] else { panic!("two of them") };
    let proof = |guard| Proof::Held(&store, guard);
    assert_eq!(books.write(None, proof(lost), early).await.expect("an answer"), Written::Stale);
    assert_eq!(scene.number("SELECT count(*) FROM trades"), 0);
    // Whoever wants the lock waits for a transaction that has confirmed it, though it lapses meanwhile.
    let open = books.begin(proof(held)).await.expect("an answer").expect("it is held");
    held.lost().await;
    let next = brief.lock(&key).timeout(Duration::from_millis(700)).acquire().await;
    let error = next.expect_err("it is confirmed");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    let written = books.write(Some(open), proof(held), late).await;
    assert_eq!(written.expect("an answer"), Written::Recorded);
    assert_eq!(
        books.write(None, proof(held), early).await.expect("an answer"),
        Written::Stale,
        "it has lapsed"
    );
    assert_eq!(scene.findings().cooldowns(), 0);
    assert_eq!(scene.number("SELECT count(*) FROM trades"), 1);
    assert_eq!(scene.number(REFUSED), 2);
}

fn entry(order: &Order) -> Entry {
    let position = Position { fills: 1, ..Default::default() };
    Entry { order: order.clone(), position, worker: "worker-1".into() }
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::postgres(Store::Apart)]
#[tokio::test(flavor = "multi_thread")]
async fn a_position_refuses_a_token_lower_than_one_it_has_seen(#[case] store: Store) {
    let scene = Scene::on(store, ["A-1,aurora,BTC-USD,buy,1,100,", "A-2,aurora,BTC-USD,buy,1,100,"]);
    let books = scene.books(Duration::ZERO).await;
    let [first, second] = &orders::read(&scene.file()).expect("good orders")[..] else {
        panic!("two orders")
    };
    let write = async |order, token| {
        let resource = first.resource();
        let proof = Proof::Token(&resource, Token::new(token));
        books.write(None, proof, &entry(order)).await.expect("an answer")
    };
    assert_eq!(write(first, 8).await, Written::Recorded);
    assert_eq!(write(second, 7).await, Written::Stale);
    assert_eq!(write(first, 7).await, Written::Stale, "and is no duplicate");
    assert_eq!(write(first, 8).await, Written::Duplicate);
    assert_eq!(scene.number("SELECT count(*) FROM trades"), 1, "nothing was written");
    assert_eq!(scene.number("SELECT token FROM lock_fences"), 8);
    let seen = look(&books, second, 10).await.expect("the highest token");
    assert_eq!(seen.position.fills, 1);
    assert_eq!(look(&books, second, 9).await, None, "too late to look");
    assert_eq!(write(second, 9).await, Written::Stale, "nor to write what the later one has not seen");
    let orders = books.orders().await.expect("orders");
    assert_eq!(orders, orders::read(&scene.file()).expect("good orders"), "the books know what was read");
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::postgres(Store::Apart)]
#[tokio::test(flavor = "multi_thread")]
async fn a_bot_refuses_a_token_lower_than_one_it_has_seen(#[case] store: Store) {
    let scene = Scene::on(store, ["A-1,aurora,BTC-USD,buy,1,100,bot-1"]);
    let books = scene.books(Duration::ZERO).await;
    let [first] = &orders::read(&scene.file()).expect("good orders")[..] else { panic!("one order") };
    let seen = look(&books, first, 8).await.expect("the highest token");
    assert_eq!(seen.cooldown, Duration::ZERO);
    assert_eq!(look(&books, first, 7).await, None);
    let resource = first.resource();
    let late = books.write(None, Proof::Token(&resource, Token::new(7)), &entry(first)).await;
    assert_eq!(late.expect("an answer"), Written::Stale);
    assert_eq!(scene.number("SELECT count(*) FROM trades"), 0);
}

async fn look(books: &Books, order: &Order, token: u64) -> Option<Seen> {
    let mut tx = books.begin(Proof::Token(&order.resource(), Token::new(token))).await.expect("an answer")?;
    let seen = Books::look(&mut tx, order).await.expect("an answer");
    tx.commit().await.expect("an answer");
    Some(seen)
}
