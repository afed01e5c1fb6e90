//! `c5`, `c6`, and the limit: what is locked by rows, and what is done where there are none.

use examples::data::Proof;
use lock_postgres::RowWait;
use rstest::rstest;

use crate::scene::{DAY, ONE_DAY, ONE_POLICY, Scene, ends_well};
use crate::support::{LIMIT, Store, run};

/// How many wait for a row, among those who have something to do with a table.
fn waiting(table: &str) -> String {
    format!(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN
            (SELECT pid FROM pg_locks WHERE relation = '{table}'::regclass)"
    )
}

/// Two policies that share the events of a day.
fn two_policies(store: Store) -> Scene {
    let policies = ["P-1", "P-2"].map(|id| format!("{id},coast,1000,5000,2025-01-01,2025-12-31"));
    Scene::on(store, &policies, &ONE_DAY.map(String::from))
}

#[rstest]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
fn c5_who_wants_the_events_waits_until_the_first_has_committed(
    #[case] store: Store,
    #[values("stall@calculation", "stall@write")] fault: &str,
) {
    let scene = two_policies(store);
    scene.make();
    let mut first = scene.worker("worker-1", &format!("--policy P-1 --ttl 10m --fault {fault}"));
    let mut second = scene.worker("worker-2", "--policy P-2 --ttl 10m");
    first.go();
    first.hears("something goes wrong");
    second.go();
    second.hears("lock held"); // it is another policy
    scene.wait_for(&waiting("events"), 1);
    scene.assert_nothing_is_stored();
    scene.answer();
    ends_well(first);
    let said = ends_well(second);
    assert!(said.contains("events read"), "{said}");
    scene.assert_paid_once();
    let order = "SELECT (SELECT id FROM calculations WHERE policy_id = 'P-1') - \
                 (SELECT id FROM calculations WHERE policy_id = 'P-2')";
    assert!(scene.number(order) < 0, "the first came first");
}

#[rstest]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
fn c5_a_correction_waits_until_what_was_calculated_from_the_event_is_committed(#[case] store: Store) {
    let scene = Scene::one_day(store);
    scene.make();
    let mut worker = scene.worker("worker-1", "--ttl 10m --fault stall@calculation");
    worker.go();
    worker.hears("something goes wrong");
    std::thread::scope(|scope| {
        let correct = || run(&scene.data(), "UPDATE events SET tier = 1 WHERE id = 'E-3'");
        let correction = scope.spawn(correct);
        scene.wait_for(&waiting("events"), 1);
        scene.answer();
        correction.join().expect("it is corrected");
    });
    ends_well(worker);
    assert_eq!(
        scene.number("SELECT count(*) FROM policy_claims WHERE tier = 3"),
        1,
        "as it was when it was read"
    );
    assert_eq!(scene.number("SELECT count(*) FROM calculations"), 1);
}

#[rstest]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[tokio::test(flavor = "multi_thread")]
async fn c5_who_waits_for_a_correction_calculates_from_what_he_then_finds(#[case] store: Store) {
    let scene = Scene::one_day(store);
    scene.make();
    let mut tx = scene.ledger().await.begin(Proof::None).await.expect("an answer").expect("no proof");
    tx.rows("UPDATE events SET tier = 1 WHERE id = 'E-3'", []).await.expect("it is corrected");
    let mut worker = scene.worker("worker-1", "--ttl 10m");
    worker.go();
    worker.hears("lock held");
    scene.wait_for(&waiting("events"), 1);
    tx.commit().await.expect("it is corrected");
    ends_well(worker);
    assert_eq!(scene.claims(), CORRECTED);
}

/// What is paid when the third event is one of the first tier.
const CORRECTED: [&str; 2] = ["P-1 2025-01-15 1 100", "P-1 2025-01-15 2 250"];

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn c5_where_no_row_is_locked_a_correction_is_noticed_before_anything_is_written(#[case] store: Store) {
    let scene = Scene::one_day(store);
    scene.make();
    let mut worker = scene.worker("worker-1", "--ttl 10m --fault stall@calculation");
    worker.go();
    worker.hears("something goes wrong");
    scene.change("UPDATE events SET tier = 1 WHERE id = 'E-3'");
    scene.answer();
    worker.hears("its events were corrected meanwhile");
    ends_well(worker);
    assert_eq!(scene.claims(), CORRECTED, "from the events as they are now");
}

/// How often two are at it.
const ROUNDS: usize = 50;

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
#[tokio::test(flavor = "multi_thread")]
async fn c6_who_want_the_same_keys_in_another_order_do_not_deadlock(#[case] store: Store) {
    let scene = Scene::one_day(store);
    scene.make();
    let keys = [scene.key("P-1", DAY).await, scene.key("P-2", DAY).await];
    let turns = async |keys: [String; 2]| {
        let locks = scene.locks().await;
        for _ in 0..ROUNDS {
            let guard = locks.lock(keys.clone()).timeout(LIMIT).acquire().await.expect("no deadlock");
            tokio::task::yield_now().await;
            guard.release().await.expect("held to the end");
        }
    };
    let [one, two] = keys.clone();
    tokio::join!(turns(keys), turns([two, one]));
}

#[rstest]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[tokio::test(flavor = "multi_thread")]
async fn c6_who_want_the_same_rows_in_another_order_do_not_deadlock(#[case] store: Store) {
    let scene = Scene::one_day(store);
    scene.make();
    let turns = async |ids: [&str; 2]| {
        let (ids, ledger) = (ids.map(str::to_owned), scene.ledger().await);
        for _ in 0..ROUNDS {
            let mut tx = ledger.begin(Proof::None).await.expect("an answer").expect("no proof is asked for");
            let locked = tx.lock_rows("events", &ids, RowWait::Block).await.expect("no deadlock");
            assert_eq!(locked, 2);
            tx.commit().await.expect("an answer");
        }
    };
    tokio::join!(turns(["E-1", "E-2"]), turns(["E-2", "E-1"]));
}

/// A policy that has been paid 750 of 1,000, and two earlier days that would pay 500 each: they were reported late.
fn reported_late(store: Store) -> Scene {
    let policy = ONE_POLICY[0].replace("5000", "1000");
    let events = ["E-1,coast,3,2025-01-15T08:00:00Z", "E-2,coast,2,2025-01-15T09:00:00Z"];
    let scene = Scene::on(store, &[policy.as_str()], &events);
    scene.make();
    let mut first = scene.worker("first", "");
    first.go();
    ends_well(first);
    assert_eq!(scene.number(PAID), 750);
    scene.change(
        "INSERT INTO events (id, region, tier, at, day) VALUES
            ('L-1', 'coast', 3, '2025-01-11T08:00:00Z', '2025-01-11'),
            ('L-2', 'coast', 3, '2025-01-12T08:00:00Z', '2025-01-12')",
    );
    scene
}

const PAID: &str = "SELECT CAST(sum(amount) / 100000000 AS bigint) FROM policy_claims";

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn c11_two_days_of_a_policy_at_once_do_not_overrun_its_limit(#[case] store: Store) {
    let scene = reported_late(store);
    let mut early = scene.worker("early", "--day 2025-01-11 --ttl 10m --fault stall@calculation");
    early.go();
    early.hears("something goes wrong"); // it has seen that 750 are paid
    let mut other = scene.worker("other", "--day 2025-01-12 --ttl 10m");
    other.go();
    ends_well(other);
    assert_eq!(scene.number(PAID), 1000);
    scene.answer();
    ends_well(early);
    assert_eq!(scene.number(PAID), 1000);
    assert_eq!(scene.number("SELECT count(*) FROM calculations WHERE day = '2025-01-11'"), 1);
}

#[rstest]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
fn c11_who_writes_for_a_policy_waits_for_the_other_writes_for_it(#[case] store: Store) {
    let scene = reported_late(store);
    let mut early = scene.worker("early", "--day 2025-01-11 --ttl 10m --fault stall@write");
    early.go();
    early.hears("something goes wrong"); // 250 are spent, and not committed
    let mut other = scene.worker("other", "--day 2025-01-12 --ttl 10m");
    other.go();
    other.hears("events read");
    scene.wait_for(&waiting("policies"), 1);
    scene.answer();
    [early, other].into_iter().for_each(|worker| drop(ends_well(worker)));
    assert_eq!(scene.number(PAID), 1000);
    assert_eq!(
        scene.number("SELECT count(*) FROM policy_claims WHERE day = '2025-01-12'"),
        0,
        "nothing was left"
    );
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::postgres(Store::Postgres)]
fn c11_without_locks_two_days_of_a_policy_overrun_its_limit(#[case] store: Store) {
    let scene = reported_late(store);
    let mut early = scene.worker("early", "--day 2025-01-11 --no-locks --fault stall@calculation");
    let mut other = scene.worker("other", "--day 2025-01-12 --no-locks");
    early.go();
    early.hears("something goes wrong");
    other.go();
    ends_well(other);
    scene.answer();
    ends_well(early);
    assert_eq!(scene.number(PAID), 1250);
    assert_eq!(scene.findings().over_limit(), 1);
}
