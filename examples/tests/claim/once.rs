//! `c1`, `c3`, `c7` to `c9`, `c11`: a day is calculated by many, and paid once.

use rstest::rstest;

use crate::scene::{DAY, ONE_DAY, ONE_POLICY, Scene, damages, ends_well};
use crate::support::{Store, Worker};

/// What was said, each once and in this order.
fn assert_in_order(said: &str, words: &[&str]) {
    let places: Vec<_> = words.iter().map(|word| said.match_indices(word).map(|(at, _)| at)).collect();
    let places: Vec<_> = places.into_iter().flatten().collect();
    assert!(places.len() == words.len() && places.is_sorted(), "{words:?} at {places:?} in\n{said}");
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
#[tokio::test(flavor = "multi_thread")]
async fn c1_the_lock_is_held_before_the_first_read_and_released_after_the_commit(
    #[case] store: Store,
    #[values(("calculation", 0), ("write", 0), ("commit", 3))] (point, stored): (&str, i64),
) {
    let scene = Scene::one_day(store);
    scene.make();
    let key = scene.key("P-1", DAY).await;
    let mut worker = scene.worker("worker-1", &format!("--ttl 10m --fault stall@{point}"));
    assert!(scene.is_free(&key).await, "it has not begun");
    worker.go();
    worker.hears("something goes wrong");
    assert!(!scene.is_free(&key).await, "it is held here");
    assert_eq!(scene.number("SELECT count(*) FROM policy_claims"), stored);
    scene.answer();
    let said = ends_well(worker);
    assert_in_order(&said, &["lock held", "events read", "committed", "lock released"]);
    assert!(scene.is_free(&key).await, "it is free again");
    scene.assert_paid_once();
    assert_eq!(scene.claims(), THREE);
}

/// What one calculation gives.
const THREE: [&str; 3] = ["P-1 2025-01-15 1 100", "P-1 2025-01-15 2 250", "P-1 2025-01-15 3 500"];

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
#[tokio::test(flavor = "multi_thread")]
async fn c3_a_second_worker_skips_and_says_so(#[case] store: Store) {
    let scene = Scene::one_day(store);
    scene.make();
    let held = scene.lock(&scene.key("P-1", DAY).await).await;
    let mut second = scene.worker("worker-2", "--ttl 10m");
    second.go();
    let skipped = second.hears("skipped: somebody else is calculating it");
    assert!(["worker-2", "P-1", DAY].iter().all(|word| skipped.contains(word)), "{skipped}");
    second.hears("skipped"); // it has come back
    scene.assert_nothing_is_stored();
    assert!(held.is_held(), "it was told while the other still calculated");
    held.release().await.expect("held to the end");
    let said = ends_well(second);
    let (before, _) = said.split_once("lock held").expect("it was its turn");
    assert!(!before.contains("events read"), "it reads nothing without the lock:\n{said}");
    scene.assert_paid_once();
}

const FIVE: &str = "--workers 5 --latency 20ms";

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn c7_five_workers_on_one_day_pay_what_one_calculation_gives(#[case] store: Store) {
    let scene = Scene::one_day(store);
    let ran = scene.run(FIVE);
    ran.assert_untroubled();
    scene.assert_paid_once();
    assert_eq!(scene.claims(), THREE);
    assert_eq!(ran.figure("calculated"), 1, "{}", ran.out);
    assert_eq!(ran.figure("already calculated"), 4, "{}", ran.out);
    assert_eq!(scene.number("SELECT count(*) FROM calculations WHERE token > 0"), 1, "it keeps its token");
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::postgres(Store::Postgres)]
fn c7_without_locks_claims_are_paid_twice(#[case] store: Store) {
    damages(&Scene::one_day(store), FIVE, |findings| findings.duplicates() > 0);
}

/// What happens on five days: more than the limit allows for.
fn five_days() -> Vec<String> {
    let tiers = ["3", "2", "1", "3", "2", "1", "3"];
    let event = |(n, tier): (usize, &&str)| format!("E-{n},coast,{tier},2025-01-1{}T0{n}:00:00Z", 1 + n % 5);
    tiers.iter().enumerate().map(event).collect()
}

const LIMITED: [&str; 1] = ["P-1,coast,1000,1400,2025-01-01,2025-12-31"];

/// What those events make, however they arrive.
const OF_FIVE_DAYS: [&str; 5] = [
    "P-1 2025-01-11 1 100",
    "P-1 2025-01-11 3 500",
    "P-1 2025-01-12 2 250",
    "P-1 2025-01-12 3 500",
    "P-1 2025-01-13 1 50", // of 100, and nothing for the days after
];

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn c8_in_whatever_order_events_arrive_the_claims_are_the_same(#[case] store: Store) {
    let mut events = five_days();
    for _ in 0..3 {
        let scene = Scene::on(store, &LIMITED.map(String::from), &events);
        scene.run("--workers 3").assert_untroubled();
        scene.assert_paid_once();
        assert_eq!(scene.claims(), OF_FIVE_DAYS, "{events:?}");
        events.reverse();
        events.rotate_left(2);
    }
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn c9_calculated_twice_the_result_is_the_same(#[case] store: Store) {
    let scene = Scene::on(store, &LIMITED.map(String::from), &five_days());
    let mut results = Vec::new();
    for _ in 0..2 {
        scene.run("").assert_untroubled();
        results.push(scene.claims());
    }
    let mut again = scene.worker("again", "");
    again.go();
    let said = ends_well(again);
    assert_eq!(said.matches("already calculated").count(), 5, "{said}");
    results.push(scene.claims());
    assert_eq!(results, [OF_FIVE_DAYS, OF_FIVE_DAYS, OF_FIVE_DAYS]);
    scene.assert_paid_once();
    assert_eq!(scene.number("SELECT count(*) FROM calculations"), 5, "nothing was calculated again");
}

/// Five events for each of ten policies; half of those are limited to less than they would pay.
fn ten_policies(store: Store) -> Scene {
    let limit = |n: usize| if n.is_multiple_of(2) { "5000" } else { "700" };
    let policies = |n: usize| format!("P-{n},region-{n},1000,{},2025-01-01,2025-12-31", limit(n));
    let events = (0..50).map(|n| {
        let (policy, day) = (n / 5, 1 + n % 3); // some fall on one day
        format!("E-{n},region-{policy},{},2025-02-0{day}T0{}:00:00Z", 1 + n % 3, n % 5)
    });
    Scene::on(store, &(0..10).map(policies).collect::<Vec<_>>(), &events.collect::<Vec<_>>())
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn c11_three_processes_for_each_of_ten_policies_pay_once_and_keep_every_limit(#[case] store: Store) {
    let scene = ten_policies(store);
    scene.make();
    let start =
        |n: usize| scene.worker(&format!("worker-{n}"), &format!("--policy P-{} --latency 5ms", n / 3));
    let mut workers: Vec<_> = (0..30).map(start).collect();
    workers.iter_mut().for_each(Worker::go);
    workers.into_iter().for_each(|worker| drop(ends_well(worker)));
    scene.assert_paid_once();
    let paid = |more: &str| format!("SELECT count(DISTINCT policy_id) FROM policy_claims{more}");
    assert_eq!(scene.number(&paid("")), 10, "every policy was calculated");
    let over = "SELECT count(*) FROM (SELECT 1 FROM policy_claims JOIN policies ON policies.id = policy_id
        GROUP BY policies.id, most HAVING sum(amount) > most) AS those";
    assert_eq!(scene.number(over), 0);
    let used_up = over.replace("> most", "= most");
    assert_eq!(scene.number(&used_up), 5, "that of every other one is used up");
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::postgres(Store::Postgres)]
fn c11_without_locks_claims_are_paid_twice_and_limits_overrun(#[case] store: Store) {
    let damaged =
        |findings: &examples::claim::check::Findings| findings.duplicates() > 0 && findings.over_limit() > 0;
    damages(&ten_policies(store), "--workers 3 --latency 5ms", damaged);
}

#[rstest]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn policies_of_another_ledger_are_others_also_where_the_store_is_shared(#[case] store: Store) {
    let [ours, theirs] = [Scene::on(store, &ONE_POLICY, &ONE_DAY), Scene::on(store, &ONE_POLICY, &ONE_DAY)];
    [&ours, &theirs].iter().for_each(|scene| scene.make());
    let mut calculating = theirs.worker("theirs", "--ttl 10m --fault stall@calculation");
    calculating.go();
    calculating.hears("something goes wrong");
    let mut worker = ours.worker("ours", "--ttl 10m");
    worker.go();
    worker.hears("lock held");
    let said = ends_well(worker);
    assert!(!said.contains("skipped"), "{said}");
    theirs.assert_nothing_is_stored(); // ours was calculated while theirs was taken
    ours.assert_paid_once();
}
