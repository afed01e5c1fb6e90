//! `t1` to `t6`: an order is filled, and its fill arrives twice.

use std::time::Duration;

use crate::scene::{Held, Scene, damages};
use crate::support::{Ended as _, Store};
use rstest::rstest;

/// Quantities and prices are stored as hundred-millionths.
const ONE: i64 = 100_000_000;

/// One order, with one worker on each side.
fn one_order(store: Store) -> Scene {
    Scene::on(store, ["A-1,aurora,BTC-USD,buy,0.5,64000,"])
}

/// Slow enough for both to have looked before either writes.
const RACE: &str = "--sockets 1 --schedulers 1 --evaluators 0 --latency 100ms";

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn t1_socket_and_scheduler_process_one_order_at_once(#[case] store: Store) {
    let scene = one_order(store);
    let ran = scene.run(RACE);
    ran.assert_untroubled();
    assert_eq!(scene.findings().offences, []);
    assert_eq!(scene.number("SELECT count(*) FROM trades"), 1);
    assert_eq!(ran.figure("already recorded"), 1, "the loser sees that, and no error");
    scene.assert_nothing_was_refused();
    // A row that is locked has no token, and needs none.
    let tokens = i64::from(store != Store::Postgres);
    assert_eq!(
        scene.number("SELECT count(*) FROM trades WHERE token > 0"),
        tokens,
        "the trade keeps its token"
    );
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::postgres(Store::Postgres)]
fn t1_without_locks_the_database_has_to_refuse_the_second(#[case] store: Store) {
    damages(&one_order(store), RACE, |findings| findings.duplicates() == 1);
}

const TWO_TRADES: [&str; 2] = ["A-1,aurora,BTC-USD,buy,1,100,", "A-2,aurora,BTC-USD,buy,3,200,"];
const ALL_AT_ONCE: &str = "--sockets 2 --schedulers 2 --evaluators 0 --latency 100ms";

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn t2_two_trades_update_one_position_at_once(#[case] store: Store) {
    let scene = Scene::on(store, TWO_TRADES);
    scene.run(ALL_AT_ONCE).assert_clean();
    assert_eq!(scene.findings().offences, []);
    assert_eq!(scene.number("SELECT quantity FROM positions"), 4 * ONE);
    assert_eq!(scene.number("SELECT average_price FROM positions"), 175 * ONE);
    scene.assert_nothing_was_refused();
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::postgres(Store::Postgres)]
fn t2_without_locks_an_update_is_lost(#[case] store: Store) {
    damages(&Scene::on(store, TWO_TRADES), ALL_AT_ONCE, |findings| findings.lost_updates() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn t2_a_socket_waits_for_the_row_and_adds_to_what_it_then_finds() {
    let scene = one_order(Store::Postgres);
    scene.make(Duration::ZERO);
    let Held::Row(mut tx) = scene.lock_position("aurora", "BTC-USD").await else { panic!("a row") };
    let mut socket = scene.worker("socket", "socket-1", "0/1", "");
    socket.go();
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN
        (SELECT pid FROM pg_locks WHERE relation = 'positions'::regclass)";
    scene.wait_for(waits, 1);
    tx.rows("UPDATE positions SET quantity = 100000000, average_price = 100000000, fills = 41", [])
        .await
        .expect("nobody else has the row");
    tx.commit().await.expect("held to the end");
    assert!(socket.ends().0.success());
    assert_eq!(scene.number("SELECT fills FROM positions"), 42);
    assert_eq!(scene.number("SELECT quantity FROM positions"), ONE + ONE / 2);
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn t3_a_limit_order_is_filled_end_to_end_by_both(#[case] store: Store) {
    let scene = one_order(store);
    let ran = scene.command(RACE).env("RUST_LOG", "info").ended();
    ran.assert_untroubled();
    assert_eq!(scene.number("SELECT count(*) FROM trades"), 1);
    assert_eq!(scene.number("SELECT quantity FROM positions"), ONE / 2);
    assert_eq!(scene.number("SELECT average_price FROM positions"), 64_000 * ONE);
    assert!(ran.err.contains("socket-1") && ran.err.contains("scheduler-1"), "both had it:\n{}", ran.err);
    assert!(ran.err.contains("already recorded"), "{}", ran.err);
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn t4_a_hundred_times_over_there_is_one_trade_an_order(#[case] store: Store) {
    // Two at a time, each in a place of its own: what a process does to start is most of it.
    std::thread::scope(|threads| (0..2).for_each(|_| drop(threads.spawn(|| fifty_times(store)))));
}

fn fifty_times(store: Store) {
    let scene = one_order(store);
    for round in 0..50 {
        let ran = scene.run("--sockets 1 --schedulers 1 --evaluators 0 --latency 2ms");
        ran.assert_clean();
        assert_eq!(scene.number("SELECT count(*) FROM trades"), 1, "round {round}");
        assert_eq!(ran.figure("already recorded"), 1, "round {round}: {}", ran.out);
        assert_eq!(scene.findings().offences, [], "round {round}");
    }
}

fn one_position(store: Store) -> Scene {
    Scene::on(store, (1..=30).map(|n| format!("A-{n},aurora,BTC-USD,buy,{n},{},", 100 + n)))
}

const TEN_THAT_SKIP: &str = "--sockets 0 --schedulers 10 --evaluators 0 --latency 2ms";

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn t5_ten_workers_on_one_position_skip_and_come_back(#[case] store: Store) {
    let scene = one_position(store);
    let ran = scene.run(TEN_THAT_SKIP);
    ran.assert_clean();
    assert!(ran.figure("skipped") > 0, "{}", ran.out);
    assert_eq!(scene.findings().offences, []);
    assert_eq!(scene.number("SELECT fills FROM positions"), 30, "every skipped fill is applied in the end");
    assert_eq!(scene.number("SELECT quantity FROM positions"), 465 * ONE, "and none twice");
    assert_eq!(ran.figure("already recorded"), 30, "{}", ran.out);
    scene.assert_nothing_was_refused();
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::postgres(Store::Postgres)]
fn t5_without_locks_fills_are_lost(#[case] store: Store) {
    damages(&one_position(store), TEN_THAT_SKIP, |findings| findings.lost_updates() > 0);
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
#[tokio::test(flavor = "multi_thread")]
async fn t5_a_scheduler_skips_a_position_that_is_locked_and_comes_back(#[case] store: Store) {
    let scene = one_order(store);
    scene.make(Duration::ZERO);
    let locked = scene.lock_position("aurora", "BTC-USD").await;
    let mut scheduler = scene.worker("scheduler", "scheduler-1", "0/1", "");
    scheduler.go();
    scheduler.hears("skipped: the position is busy");
    assert_eq!(scene.number("SELECT count(*) FROM trades"), 0);
    locked.release().await;
    assert!(scheduler.ends().0.success());
    assert_eq!(scene.findings().offences, []);
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
#[tokio::test(flavor = "multi_thread")]
async fn t6_eth_and_btc_are_liquidated_on_one_exchange_and_neither_waits_for_the_other(#[case] store: Store) {
    for (held, free) in [("ETH-USD", "BTC-USD"), ("BTC-USD", "ETH-USD")] {
        let scene = Scene::on(
            store,
            [
                "E-1,aurora,ETH-USD,buy,2,3000,",
                "B-1,aurora,BTC-USD,buy,1,64000,",
                "E-2,aurora,ETH-USD,sell,2,2900,",
                "B-2,aurora,BTC-USD,sell,1,63000,",
            ],
        );
        scene.make(Duration::ZERO);
        let locked = scene.lock_position("aurora", held).await;
        let mut workers = [
            scene.worker("socket", "socket-1", "0/1", "--ttl 10m"),
            scene.worker("scheduler", "scheduler-1", "0/1", "--ttl 10m"),
        ];
        workers.iter_mut().for_each(|worker| worker.go());
        let closed = |symbol: &str| {
            format!("SELECT count(*) FROM positions WHERE symbol = '{symbol}' AND fills = 2 AND quantity = 0")
        };
        scene.wait_for(&closed(free), 1);
        assert_eq!(scene.number(&format!("SELECT count(*) FROM trades WHERE symbol = '{held}'")), 0);
        locked.release().await; // that long it was held, while the other one closed
        scene.wait_for(&closed(held), 1);
        for worker in workers {
            let (status, said) = worker.ends();
            assert!(status.success(), "{said}");
        }
        assert_eq!(scene.findings().offences, []);
    }
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn an_exchange_that_takes_longer_than_the_ttl_loses_nobody_its_lock(#[case] store: Store) {
    let scene = one_order(store);
    scene.run("--sockets 1 --schedulers 1 --evaluators 0 --ttl 2s --latency 5s").assert_clean();
    scene.assert_nothing_was_refused();
}
