//! A worker that was stopped for longer than its ttl, or killed.

use rstest::rstest;
use rustix::process::Signal;

use crate::scene::{Scene, TWO_DAYS};
use crate::support::Store;

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn a_late_swap_is_refused(#[case] store: Store) {
    let scene = Scene::on(store, TWO_DAYS);
    scene.generated(&["mon", "tue"]);
    let mut stopped = scene.worker("staff", "stopped", "--ttl 1s --ask bob:mon-b:mon-a --fault stall");
    stopped.go();
    stopped.hears("stalling: swap 1"); // it is decided: nothing but the write is left
    stopped.signal(Signal::STOP);
    let mut other = scene.worker("staff", "other", "--ttl 10m --ask cid:mon-c:mon-a");
    other.go();
    other.hears("executed"); // the other's locks have lapsed
    assert!(other.ends().0.success());
    scene.go_on();
    stopped.signal(Signal::CONT);
    stopped.hears("too late: the lock of swap 1 was lost");
    let told = stopped.hears("refused: ");
    assert!(told.contains("mon-a has changed hands since bob asked: it is cid's now"), "{told}");
    assert!(stopped.ends().0.success(), "it has asked again");
    assert_eq!(scene.number("SELECT count(*) FROM refusals WHERE what = 'swap 1'"), 1);
    assert_eq!(scene.holder("mon-a").as_deref(), Some("cid"));
    assert_eq!(scene.holder("mon-b").as_deref(), Some("bob"));
    scene.assert_right();
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn a_block_is_generated_by_another_within_the_ttl_after_its_planner_was_killed(#[case] store: Store) {
    let scene = Scene::on(store, &TWO_DAYS[..4]);
    scene.make();
    let mut killed = scene.worker("planner", "killed", "--ttl 2s --fault hang");
    killed.go();
    killed.hears("half written");
    let mut other = scene.worker("planner", "other", "--ttl 2s");
    other.go();
    killed.kill();
    other.hears("generated");
    assert!(other.ends().0.success());
    assert_eq!(scene.number("SELECT count(*) FROM handovers"), 4, "nothing of the killed planner's is there");
    scene.assert_right();
}

/// Halfway through its plan it is dropped. One that has planned it all writes at once: the data has to refuse it; where that
/// is a server, its answer takes long enough for the loss to be noticed first.
#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn a_planner_that_was_stopped_writes_nothing(#[case] store: Store, #[values("stall", "late")] fault: &str) {
    let scene = Scene::on(store, &TWO_DAYS[..4]);
    scene.make();
    let mut stopped = scene.worker("planner", "stopped", &format!("--ttl 1s --fault {fault}"));
    stopped.go();
    stopped.hears("stalling");
    stopped.signal(Signal::STOP);
    let mut other = scene.worker("planner", "other", "--ttl 10m");
    other.go();
    other.hears("generated");
    assert!(other.ends().0.success());
    scene.go_on();
    stopped.signal(Signal::CONT);
    let refused = fault == "late" && !store.has_schema();
    stopped.hears(if refused { "too late: the lock of mon was lost" } else { "was lost" });
    stopped.hears("already generated");
    assert!(stopped.ends().0.success());
    assert_eq!(scene.number("SELECT count(*) FROM blocks WHERE worker = 'other'"), 1);
    assert_eq!(scene.number("SELECT count(*) FROM handovers"), 4);
    scene.assert_right();
}

/// A board of which half is read when its reader is stopped is not kept; nor one that is read, and not kept yet.
#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn a_board_that_was_read_too_slowly_is_read_again(
    #[case] store: Store,
    #[values("stall", "late")] fault: &str,
) {
    let scene = Scene::on(store, &TWO_DAYS[..4]);
    scene.generated(&["mon"]);
    let mut stopped = scene.worker("reader", "stopped", &format!("--ttl 1s --all 1 --fault {fault}"));
    stopped.go();
    stopped.hears("stalling");
    stopped.signal(Signal::STOP);
    let mut staff = scene.worker("staff", "staff-1", "--ttl 10m --ask ann:mon-a:mon-d");
    staff.go();
    staff.hears("executed");
    assert!(staff.ends().0.success());
    scene.go_on();
    stopped.signal(Signal::CONT);
    // Half read, it is dropped; read, it is seen to be late.
    stopped.hears(if fault == "late" { "too late: the lock of a board was lost" } else { "was lost" });
    assert!(stopped.ends().0.success());
    assert_eq!(scene.number("SELECT count(*) FROM lines WHERE shift IN ('mon-a', 'mon-d') AND turn = 2"), 2);
    scene.assert_right();
}
