//! `c2`, `c4`, `c10`: a calculation fails, or its worker dies.

use std::time::{Duration, Instant};

use rstest::rstest;

use crate::scene::{DAY, Scene, ends_well};
use crate::support::Store;

// The ttl is so long that nothing lapses within the test: only a release frees the day.
#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
#[tokio::test(flavor = "multi_thread")]
async fn c2_after_a_failure_the_lock_is_released_and_nothing_is_stored(
    #[case] store: Store,
    #[values(
        ("error@calculation", "the calculation of P-1 on 2025-01-15 failed"),
        ("error@write", "the calculation of P-1 on 2025-01-15 failed"),
        ("panic@write", "it panicked"),
        ("hang@calculation", "gave up after 300ms")
    )]
    (fault, end): (&str, &str),
) {
    let scene = Scene::one_day(store);
    scene.make();
    let mut failing =
        scene.worker("worker-1", &format!("--ttl 10m --patience 300ms --attempts 1 --fault {fault}"));
    failing.go();
    failing.hears(end);
    let (status, said) = failing.ends();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("gave up 1 days after 1 attempts"), "{said}");
    scene.assert_nothing_is_stored();
    assert!(scene.is_free(&scene.key("P-1", DAY).await).await, "it is free again");
    let mut next = scene.worker("worker-2", "");
    next.go();
    ends_well(next);
    scene.assert_paid_once();
}

const TTL: Duration = Duration::from_secs(4);

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn c4_a_day_whose_worker_was_killed_is_calculated_by_another_after_the_ttl_and_not_before(
    #[case] store: Store,
    #[values("hang@calculation", "hang@write")] fault: &str,
) {
    let scene = Scene::one_day(store);
    scene.make();
    let mut killed = scene.worker("worker-1", &format!("--ttl 4s --patience 10m --fault {fault}"));
    let mut other = scene.worker("worker-2", "--ttl 4s");
    let begun = Instant::now(); // before the lock can have been taken
    killed.go();
    killed.hears("something goes wrong");
    other.go();
    other.hears("skipped");
    killed.kill();
    other.hears("skipped"); // that was said after the last, but may have been meant before
    other.hears("lock held");
    assert!(begun.elapsed() >= TTL, "it had the lock of one who had it for less than a ttl");
    scene.wait_for("SELECT count(*) FROM calculations", 1);
    ends_well(other);
    scene.assert_paid_once();
    let by_other = "SELECT count(*) FROM calculations WHERE worker = 'worker-2'";
    assert_eq!(scene.number(by_other), 1, "nothing of the killed worker's is in the ledger");
}

/// How the first worker ends, and what is stored then.
type End = (&'static str, i64);

const SUCCESS: End = ("", 3);
const BEFORE: End = ("--attempts 1 --fault error@calculation", 0);
const BEFORE_COMMIT: End = ("--attempts 1 --fault error@write", 0);
const AFTER_COMMIT: End = ("--attempts 1 --fault error@commit", 3);
const KILLED_AFTER_COMMIT: End = ("--fault hang@commit --patience 10m --ttl 2s", 3);

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn c10_the_whole_task_retried_adds_nothing_and_leaves_nothing_out(
    #[case] store: Store,
    #[values(SUCCESS, BEFORE, BEFORE_COMMIT, AFTER_COMMIT, KILLED_AFTER_COMMIT)] (how, stored): End,
) {
    let scene = Scene::one_day(store);
    scene.make();
    let mut first = scene.worker("worker-1", how);
    first.go();
    if how.contains("hang") {
        first.hears("something goes wrong");
        first.kill();
    } else {
        let (status, said) = first.ends();
        assert_eq!(status.success(), how.is_empty(), "{said}");
    }
    assert_eq!(scene.number("SELECT count(*) FROM policy_claims"), stored);
    for again in ["worker-2", "worker-3"] {
        let mut worker = scene.worker(again, "");
        worker.go();
        ends_well(worker);
        scene.assert_paid_once();
    }
    assert_eq!(scene.number("SELECT count(*) FROM calculations"), 1);
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn c10_a_worker_that_tries_again_itself_pays_once(
    #[case] store: Store,
    #[values("error@calculation", "panic@write", "error@write", "error@commit")] fault: &str,
) {
    let scene = Scene::one_day(store);
    scene.make();
    let mut worker = scene.worker("worker-1", &format!("--ttl 10m --fault {fault}"));
    worker.go();
    let said = ends_well(worker);
    assert!(said.contains("ERROR"), "{said}");
    assert_eq!(said.contains("already calculated"), fault == "error@commit", "{said}");
    scene.assert_paid_once();
    assert_eq!(scene.number("SELECT count(*) FROM calculations"), 1);
}

/// That a day is done is seen in its claims, not in a mark that was left: what is corrected later is paid later.
#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn c10_a_done_day_is_done_again_only_after_a_correction(#[case] store: Store) {
    let scene = Scene::one_day(store);
    scene.make();
    for (name, tier, answer) in
        [("worker-1", 1, "committed"), ("worker-2", 1, "already calculated"), ("worker-3", 3, "committed")]
    {
        scene.change(&format!("UPDATE events SET tier = {tier} WHERE id = 'E-3'"));
        let mut worker = scene.worker(name, "");
        worker.go();
        worker.hears(answer);
        ends_well(worker);
    }
    assert_eq!(scene.claims(), ["P-1 2025-01-15 1 100", "P-1 2025-01-15 2 250", "P-1 2025-01-15 3 500"]);
    assert_eq!(scene.number("SELECT count(*) FROM calculations"), 2);
}
