//! `s1`, `s2` and `s8`: an assignment is edited by two at once; a board is read while it changes.

use rstest::rstest;

use crate::scene::{Scene, TWO_DAYS, damages};
use crate::support::{Ended as _, Store};

/// One shift: whatever is edited is this one.
fn one_shift(store: Store) -> Scene {
    Scene::on(store, &TWO_DAYS[..1])
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn s1_the_second_of_two_who_edit_is_told_what_has_changed_and_both_edits_stand(#[case] store: Store) {
    let scene = one_shift(store);
    scene.generated(&["mon"]);
    let share = |seat| format!("--manner version --all 2 --of 2 --seat {seat}");
    let mut second = scene.worker("editor", "editor-1", &format!("{} --fault stall", share(0)));
    second.go();
    second.hears("stalling"); // its form is open
    let mut first = scene.worker("editor", "editor-2", &share(1));
    first.go();
    assert!(first.ends().0.success());
    scene.go_on();
    let told = second.hears("conflict");
    assert!(told.contains(r#"mon-a was opened at version 1 and is at 2: room "" is "room-1" now"#), "{told}");
    assert!(second.ends().0.success());
    let both = "SELECT count(*) FROM assignments WHERE note = 'note-0' AND room = 'room-1' AND version = 3";
    assert_eq!(scene.number(both), 1);
    scene.assert_right();
}

/// Forty edits of one shift by two editors, many of each at once.
const MANY: &str = "--swaps 0 --boards 0 --edits 40 --at-once 4 --latency 10ms --thinking 0s";

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn s1_whoever_edits_and_however_every_edit_stands(#[case] store: Store) {
    let scene = one_shift(store);
    let ran = scene.run(MANY);
    ran.assert_clean();
    assert!(ran.figure("edit conflicts") > 0, "{}", ran.out);
    assert_eq!(scene.number("SELECT version FROM assignments"), 41);
    scene.assert_right();
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::postgres(Store::Postgres)]
fn s1_without_versions_the_last_one_to_save_wins(#[case] store: Store) {
    damages(&one_shift(store), MANY, |findings| findings.lost_edits() > 0);
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn s2_edits_under_a_lock_are_strictly_one_after_the_other(#[case] store: Store) {
    let scene = one_shift(store);
    scene.generated(&["mon"]);
    let share = |seat| format!("--manner lock --all 30 --of 2 --seat {seat} --at-once 4 --latency 5ms");
    let mut editors = [0, 1].map(|seat| scene.worker("editor", &format!("editor-{seat}"), &share(seat)));
    editors.iter_mut().for_each(|editor| editor.go());
    for editor in editors {
        let (status, said) = editor.ends();
        assert!(status.success(), "{said}");
        assert!(!said.contains("conflict"), "nobody has changed what another had open:\n{said}");
    }
    assert_eq!(scene.number("SELECT count(*) FROM edits"), 30);
    assert_eq!(scene.number("SELECT version FROM assignments"), 31);
    scene.assert_right();
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
#[tokio::test(flavor = "multi_thread")]
async fn s2_in_sqlite_the_shift_is_locked_from_opening_to_saving(#[case] store: Store) {
    let scene = one_shift(store);
    scene.generated(&["mon"]);
    let mut editor = scene.worker("editor", "editor-1", "--manner lock --all 1 --fault stall");
    editor.go();
    editor.hears("stalling");
    scene.assert_busy(scene.ask(&["shift/mon-a"]).await).await;
    scene.go_on();
    assert!(editor.ends().0.success());
    scene.free(&["shift/mon-a"]).await.release().await.expect("held to the end");
}

#[rstest]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
fn s2_in_postgres_the_second_waits_for_the_row(#[case] store: Store) {
    let scene = one_shift(store);
    scene.generated(&["mon"]);
    let share = |seat| format!("--manner lock --all 2 --of 2 --seat {seat}");
    let mut first = scene.worker("editor", "editor-1", &format!("{} --fault stall", share(0)));
    first.go();
    first.hears("stalling");
    let mut second = scene.worker("editor", "editor-2", &share(1));
    second.go();
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN
        (SELECT pid FROM pg_locks WHERE relation = 'assignments'::regclass)";
    scene.wait_for(waits, 1);
    scene.go_on();
    first.hears("saved");
    let opened = second.hears("opened");
    assert!(opened.contains("version=2"), "it sees what the first has saved: {opened}");
    assert!(first.ends().0.success() && second.ends().0.success());
    assert_eq!(scene.number("SELECT version FROM assignments"), 3);
    scene.assert_right();
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
#[tokio::test(flavor = "multi_thread")]
async fn s8_while_a_board_is_read_others_may_read_and_nobody_may_swap(#[case] store: Store) {
    let scene = Scene::on(store, TWO_DAYS);
    scene.generated(&["mon", "tue"]);
    let mut reader = scene.worker("reader", "reader-1", "--all 1 --fault stall");
    reader.go();
    reader.hears("stalling"); // half of monday is read
    let busy = scene.ask(&["shift/mon-d", "person/dee"]).await;
    scene.assert_busy(busy).await;
    for (shared, others) in [(true, "mon-d"), (false, "tue-d")] {
        let lock = scene.ask(&[&format!("shift/{others}")]).await;
        let lock = if shared { lock.shared() } else { lock };
        let guard = lock.try_acquire().await.expect("an answer").expect("it is free");
        guard.release().await.expect("held to the end");
    }
    let mut staff = scene.worker("staff", "staff-1", "--ask ann:mon-a:mon-d");
    staff.go();
    staff.hears("accepted as pending");
    scene.go_on();
    assert!(reader.ends().0.success());
    let (status, said) = staff.ends();
    assert!(status.success() && said.contains("executed"), "{said}");
    assert_eq!(scene.number("SELECT count(*) FROM lines"), 4);
    assert_eq!(scene.number("SELECT count(*) FROM lines WHERE turn = 1"), 4, "all of it is old");
    scene.assert_right();
}

/// Swaps of one day, and boards of it all the while.
const READ_AND_SWAP: &str = "--edits 0 --swaps 120 --boards 40 --latency 3ms --thinking 0s";

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn s8_a_board_is_old_or_new_and_never_a_mixture(#[case] store: Store) {
    // All boards may have been read before the first swap, or after the last one.
    let between_swaps = (0..10).any(|_| {
        let scene = Scene::on(store, &TWO_DAYS[..4]);
        let ran = scene.run(READ_AND_SWAP);
        ran.assert_clean();
        assert_eq!(ran.figure("boards read"), 40);
        scene.assert_right();
        scene.number("SELECT count(DISTINCT turn) FROM lines") > 2
    });
    assert!(between_swaps, "the boards were read while shifts changed hands");
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::postgres(Store::Postgres)]
fn s8_without_locks_boards_are_mixed(#[case] store: Store) {
    damages(&Scene::on(store, &TWO_DAYS[..4]), READ_AND_SWAP, |findings| findings.mixed() > 0);
}

/// A board that is read while its block is generated.
const READ_AND_GENERATE: &str =
    "--planners 1 --readers 3 --edits 0 --swaps 0 --boards 30 --latency 20ms --thinking 200ms";

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn s8_a_board_has_all_of_a_block_or_nothing(#[case] store: Store) {
    let scene = Scene::on(store, &TWO_DAYS[..4]);
    let mut command = scene.command(READ_AND_GENERATE);
    command.ended().assert_clean();
    assert_eq!(scene.number("SELECT count(*) FROM lines WHERE turn = 0"), 0);
    scene.assert_right();
}
