//! `s3` to `s5`: a block is generated, while somebody wants a shift of it; it is cancelled, and dropped.

use examples::schedule::cancel::Cancel;
use examples::schedule::fault::{Fault, Faults};
use examples::schedule::guarded::{Answer, Office};
use rstest::rstest;
use rustix::process::Signal;

use crate::scene::{Scene, TWO_DAYS, there_is};
use crate::support::Store;

/// The time that a block takes is at least half a second: four shifts, and 150 ms for each.
const SLOW: &str = "--thinking 150ms";

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
#[tokio::test(flavor = "multi_thread")]
async fn s3_a_swap_is_accepted_while_a_block_is_generated_and_applied_to_the_finished_one(
    #[case] store: Store,
) {
    let scene = Scene::on(store, TWO_DAYS);
    scene.generated(&["mon"]);
    let mut planner = scene.worker("planner", "planner-1", &format!("{SLOW} --fault stall"));
    planner.go();
    planner.hears("stalling"); // half of tuesday is planned
    let mut staff = scene.worker("staff", "staff-1", "--ask ann:mon-a:tue-d --ttl 10m");
    staff.go();
    staff.hears("accepted as pending");
    assert_eq!(scene.number("SELECT count(*) FROM swaps WHERE state = 'pending'"), 1);
    assert_eq!(scene.holder("tue-d"), None, "the block is not generated");
    scene.assert_busy(scene.ask(&["block/tue"]).await.shared()).await;
    scene.go_on();
    assert!(planner.ends().0.success());
    let (status, said) = staff.ends();
    assert!(status.success() && said.contains("executed"), "{said}");
    assert!(
        !said.contains("not-yet"),
        "it has waited for the lock, and did not come back for the block:\n{said}"
    );
    assert_eq!(scene.holder("tue-d").as_deref(), Some("ann"));
    let given = "SELECT count(*) FROM handovers AS old JOIN assignments AS new ON new.person = old.person
        WHERE old.shift = 'tue-d' AND old.turn = 1 AND new.id = 'mon-a'";
    assert_eq!(scene.number(given), 1, "whoever had tue-d has mon-a");
    let order = "SELECT count(*) FROM swaps, blocks WHERE blocks.id = 'tue' AND requested_at < generated_at AND generated_at <= settled_at";
    assert_eq!(scene.number(order), 1);
    scene.assert_right();
}

/// Panics if anything of a block is there, or anybody has to wait for its lock.
async fn nothing_is_left(scene: &Scene, block: &str) {
    // Held for ten minutes if nobody had released it.
    scene.free(&[&format!("block/{block}")]).await.release().await.expect("held to the end");
    assert_eq!(scene.number("SELECT count(*) FROM assignments"), 0);
    assert_eq!(scene.number("SELECT count(*) FROM handovers"), 0);
    assert_eq!(scene.number("SELECT count(generated_at) FROM blocks"), 0);
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
#[tokio::test(flavor = "multi_thread")]
async fn s4_a_generation_that_is_cancelled_stops_and_leaves_nothing(
    #[case] store: Store,
    #[values(("--thinking 10m", "1 of 4 shifts"), ("--fault hang", "half written"))] midway: (&str, &str),
) {
    let scene = Scene::on(store, &TWO_DAYS[..4]);
    scene.make();
    let (how, sign) = midway;
    let mut planner = scene.worker("planner", "planner-1", &format!("--ttl 10m --patience 1h {how}"));
    planner.go();
    planner.hears(sign);
    scene.assert_busy(scene.ask(&["block/mon"]).await).await;
    planner.signal(Signal::TERM);
    let (status, said) = planner.ends();
    assert!(status.success() && said.contains("cancelled"), "{said}");
    assert!(!said.contains("4 of 4 shifts") || how.contains("hang"), "it stopped early:\n{said}");
    nothing_is_left(&scene, "mon").await;
    let mut next = scene.worker("planner", "planner-2", "");
    next.go();
    next.hears("generated");
    assert!(next.ends().0.success());
    assert_eq!(scene.number("SELECT count(*) FROM assignments"), 4);
    scene.assert_right();
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
#[tokio::test(flavor = "multi_thread")]
async fn s5_a_generation_that_is_dropped_leaves_nothing(#[case] store: Store) {
    let scene = Scene::on(store, &TWO_DAYS[..4]);
    scene.make();
    let half = |fault| Faults::of(fault, scene.answer());
    let office = Office { faults: half(Fault::Hang), ..scene.office("planner-1").await };
    let generation = tokio::spawn(async move { office.generate("mon", &Cancel::new().1).await });
    there_is(scene.answer()).await; // half of it is written
    scene.assert_busy(scene.ask(&["block/mon"]).await).await;
    generation.abort();
    assert!(generation.await.expect_err("it was dropped").is_cancelled());
    nothing_is_left(&scene, "mon").await;
    let next = scene.office("planner-2").await.generate("mon", &Cancel::new().1).await;
    assert_eq!(next.expect("nobody else is there"), Answer::Generated);
    scene.assert_right();
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
#[tokio::test(flavor = "multi_thread")]
async fn s5_a_planner_that_waits_in_line_can_be_cancelled_and_dropped(#[case] store: Store) {
    let scene = Scene::on(store, &TWO_DAYS[..4]);
    scene.make();
    let held = scene.free(&["block/mon"]).await;
    let (canceller, cancel) = Cancel::new();
    let [one, two] = [scene.office("planner-1").await, scene.office("planner-2").await];
    let cancelled = tokio::spawn(async move { one.generate("mon", &cancel).await });
    let dropped = tokio::spawn(async move { two.generate("mon", &Cancel::new().1).await });
    tokio::task::yield_now().await;
    canceller.cancel();
    assert_eq!(cancelled.await.expect("no panic").expect("no error"), Answer::Cancelled);
    dropped.abort();
    let _ = dropped.await;
    held.release().await.expect("held to the end");
    nothing_is_left(&scene, "mon").await;
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::postgres(Store::Postgres)]
fn s3_without_locks_two_planners_generate_one_block(#[case] store: Store) {
    let scene = Scene::on(store, &TWO_DAYS[..4]);
    let args = "--planners 2 --swaps 0 --edits 0 --boards 0 --thinking 20ms";
    scene.run(args).assert_clean();
    assert_eq!(scene.findings().generated_again(), 0);
    crate::scene::damages(&scene, args, |findings| findings.generated_again() == 4);
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn s3_a_block_that_takes_longer_than_the_ttl_is_generated_all_the_same(#[case] store: Store) {
    let scene = Scene::on(store, &TWO_DAYS[..4]);
    let ran = scene.run("--planners 2 --swaps 0 --edits 0 --boards 0 --ttl 2s --thinking 1s");
    ran.assert_clean();
    assert_eq!(scene.number("SELECT count(*) FROM refusals"), 0);
    scene.assert_right();
}
