//! `b1` to `b5`: a bot must not trade twice inside its cooldown.

use std::time::Duration;

use crate::scene::{Scene, damages, program};
use crate::support::{Ended as _, Store};
use rstest::rstest;

/// Three bots with eight orders each.
fn three_bots(store: Store) -> Scene {
    Scene::on(store, (0..24).map(|n| format!("A-{n},aurora,BTC-USD,buy,1,100,bot-{}", n % 3)))
}

const MANY: &str = "--evaluators 4 --cooldown 40ms --latency 5ms";

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn b1_many_evaluate_a_bot_and_it_keeps_its_cooldown(#[case] store: Store) {
    let scene = three_bots(store);
    scene.run(MANY).assert_clean();
    assert_eq!(scene.findings().offences, []);
    assert_eq!(scene.number("SELECT count(*) FROM trades"), 24);
    scene.assert_nothing_was_refused();
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::postgres(Store::Postgres)]
fn b1_without_locks_it_trades_inside_its_cooldown(#[case] store: Store) {
    damages(&three_bots(store), MANY, |findings| findings.cooldowns() > 0);
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
#[tokio::test(flavor = "multi_thread")]
async fn b2_a_second_evaluation_is_refused_at_once(#[case] store: Store) {
    let scene = Scene::on(store, ["A-1,aurora,BTC-USD,buy,1,100,bot-1"]);
    scene.make(Duration::ZERO);
    let trading = scene.lock("bot/bot-1").await;
    let mut second = scene.worker("evaluator", "evaluator-1", "0/1", "--ttl 10m");
    second.go();
    second.hears("another trade is in progress");
    assert!(trading.is_held(), "it was told while the other still traded");
    assert_eq!(scene.number("SELECT count(*) FROM trades"), 0);
    trading.release().await.expect("held to the end");
    second.hears("recorded");
    assert!(second.ends().0.success());
    assert_eq!(scene.findings().offences, []);
}

/// Two orders of one bot, for two workers.
fn two_orders(store: Store) -> Scene {
    Scene::on(store, ["A-1,aurora,BTC-USD,buy,1,100,bot-1", "A-2,aurora,BTC-USD,buy,1,100,bot-1"])
}

/// What a worker is told, and what it says of it.
type End = (&'static str, &'static str);

const SUCCESS: End = ("", "recorded");
const ERROR: End = ("--fault error", "does not know the order");
const PANIC: End = ("--fault panic", "it panicked");
const TIMEOUT: End = ("--fault hang --patience 300ms", "gave up after 300ms");

// The ttl is so long that nothing lapses within the test: only a release lets the bot trade again.
#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn b3_a_bot_can_trade_again_after(
    #[case] store: Store,
    #[values(SUCCESS, ERROR, PANIC, TIMEOUT)] (fault, end): End,
) {
    let scene = two_orders(store);
    scene.make(Duration::ZERO);
    let mut first = scene.worker("evaluator", "evaluator-1", "0/2", &format!("--ttl 10m {fault}"));
    let mut second = scene.worker("evaluator", "evaluator-2", "1/2", "--ttl 10m");
    first.go();
    first.hears(end);
    second.go();
    for worker in [first, second] {
        let (status, said) = worker.ends();
        assert!(status.success(), "{said}");
    }
    assert_eq!(scene.findings().offences, []);
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn b3_a_bot_can_trade_again_within_the_ttl_after_its_worker_was_killed(#[case] store: Store) {
    let scene = two_orders(store);
    scene.make(Duration::ZERO);
    let mut killed = scene.worker("evaluator", "evaluator-1", "0/2", "--ttl 2s --patience 10m --fault hang");
    let mut other = scene.worker("evaluator", "evaluator-2", "1/2", "--ttl 2s");
    killed.go();
    killed.hears("the exchange fails");
    other.go();
    other.hears("another trade is in progress");
    killed.kill();
    other.hears("lock taken");
    assert!(other.ends().0.success());
    assert_eq!(scene.number("SELECT count(*) FROM trades WHERE order_id = 'A-2'"), 1);
    assert_eq!(
        scene.number("SELECT fills FROM positions"),
        1,
        "nothing of the killed worker's is in the books"
    );
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
#[tokio::test(flavor = "multi_thread")]
async fn b4_different_bots_never_block_each_other(#[case] store: Store) {
    let scene = Scene::on(store, (0..10).map(|n| format!("A-{n},aurora,BTC-USD,buy,1,100,bot-{}", n % 2)));
    scene.make(Duration::ZERO);
    let trading = scene.lock("bot/bot-0").await;
    let mut worker = scene.worker("evaluator", "evaluator-1", "0/1", "--ttl 10m");
    worker.go();
    scene.wait_for("SELECT count(*) FROM trades WHERE account = 'bot-1'", 5);
    assert!(trading.is_held(), "bot-1 traded all it had while bot-0 was taken");
    assert_eq!(scene.number("SELECT count(*) FROM trades WHERE account = 'bot-0'"), 0);
    trading.release().await.expect("held to the end");
    let (status, said) = worker.ends();
    assert!(status.success(), "{said}");
    assert_eq!(scene.findings().offences, []);
}

#[rstest]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
#[tokio::test(flavor = "multi_thread")]
async fn bots_of_other_books_are_other_bots_also_where_the_store_is_shared(#[case] store: Store) {
    let [ours, theirs] = [two_orders(store), two_orders(store)];
    [&ours, &theirs].iter().for_each(|scene| scene.make(Duration::ZERO));
    let trading = theirs.lock("bot/bot-1").await;
    let mut worker = ours.worker("evaluator", "evaluator-1", "0/1", "--ttl 10m");
    worker.go();
    let (status, said) = worker.ends();
    assert!(status.success() && !said.contains("another trade is in progress"), "{said}");
    assert!(trading.is_held(), "ours traded while theirs was taken");
    assert_eq!(ours.findings().offences, []);
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
#[tokio::test(flavor = "multi_thread")]
async fn b5_an_operator_finds_log_lines(#[case] store: Store) {
    let scene = two_orders(store);
    scene.make(Duration::from_secs(600));
    let trading = scene.lock("bot/bot-1").await;
    let mut worker = scene.worker("evaluator", "evaluator-1", "0/1", "");
    worker.go();
    let refused = worker.hears("refused: another trade is in progress");
    assert!(refused.contains("evaluator-1") && refused.contains("bot-1"), "{refused}");
    trading.release().await.expect("held to the end");
    let taken = worker.hears("lock taken");
    assert!(taken.contains("bot-1") && taken.contains("token="), "{taken}");
    let cooling = worker.hears("cooldown remaining");
    assert!(cooling.contains("bot-1") && cooling.contains("left="), "{cooling}");
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn b5_an_operator_has_a_command_that_names_offenders(#[case] store: Store) {
    let scene = three_bots(store);
    let check = || program().arg("check").arg("--data").arg(scene.data()).ended();

    scene.run(MANY).assert_clean();
    let clean = check();
    assert_eq!(clean.code, Some(0), "{}{}", clean.out, clean.err);
    assert!(clean.out.contains("clean"), "{}", clean.out);

    damages(&scene, MANY, |findings| findings.cooldowns() > 0);
    let broken = check();
    assert_eq!(broken.code, Some(1), "{}{}", broken.out, broken.err);
    assert!(broken.out.contains("inside its cooldown of 40 ms"), "{}", broken.out);
    let named = broken.out.lines().filter(|line| line.contains("inside its cooldown")).count();
    assert_eq!(named, scene.findings().cooldowns(), "every offender is named");
}
