//! `s6`, `s7` and `s9`: swaps of the same shifts and of the same people.

use std::time::Duration;

use examples::schedule::guarded::{Answer, Office};
use examples::schedule::swap::Request;
use rstest::rstest;

use crate::scene::{Scene, TWO_DAYS, damages, wish};
use crate::support::Store;

/// All are asked for before any is settled, and then settled at once, each by an office of its own.
async fn settled_at_once(scene: &Scene, wishes: &[Request], bare: bool) -> Vec<Answer> {
    let mut swaps = Vec::new();
    for (number, wish) in wishes.iter().enumerate() {
        let worker = format!("staff-{number}");
        let mut office = scene.office(&worker).await;
        // Long enough for all to have looked before any writes, if nothing is in the way.
        office.latency = Duration::from_millis(50);
        if bare {
            office.locks = None;
        }
        let swap = office.request(wish).await.expect("it is accepted");
        swaps.push((office, swap));
    }
    let settle = |(office, swap): (Office, i64)| tokio::spawn(async move { office.settle(swap).await });
    let settling: Vec<_> = swaps.into_iter().map(settle).collect();
    let mut answers = Vec::new();
    for answer in settling {
        answers.push(answer.await.expect("no panic").expect("no error"));
    }
    answers
}

/// The same without locks, until it goes wrong: twenty times at most.
async fn goes_wrong(store: Store, wishes: &[Request], wrong: impl Fn(&Scene) -> bool) {
    for _ in 0..20 {
        let scene = two_days(store);
        settled_at_once(&scene, wishes, true).await;
        if wrong(&scene) {
            return;
        }
    }
    panic!("twenty times nothing went wrong");
}

fn two_days(store: Store) -> Scene {
    let scene = Scene::on(store, TWO_DAYS);
    scene.generated(&["mon", "tue"]);
    scene
}

fn sorted(mut answers: Vec<Answer>) -> Vec<Answer> {
    answers.sort_by_key(|answer| answer.word());
    answers
}

/// Bob and cid both want ann's shift.
fn one_shift_for_two() -> [Request; 2] {
    [wish("bob", "mon-b", "mon-a"), wish("cid", "mon-c", "mon-a")]
}

const WHY: &str = "SELECT count(*) FROM swaps WHERE state = 'refused' AND why LIKE ";

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
#[tokio::test(flavor = "multi_thread")]
async fn s6_one_of_two_gets_the_shift_and_the_other_is_told_why_not(#[case] store: Store) {
    let scene = two_days(store);
    let answers = settled_at_once(&scene, &one_shift_for_two(), false).await;
    assert_eq!(sorted(answers), [Answer::Executed, Answer::Refused]);
    let holder = scene.holder("mon-a").expect("somebody's");
    let other = if holder == "bob" { "cid" } else { "bob" };
    let why = format!("{WHY} 'mon-a has changed hands since {other} asked: it is {holder}''s now'");
    assert_eq!(scene.number(&why), 1);
    assert_eq!(
        scene.number("SELECT turn FROM assignments WHERE id = 'mon-a'"),
        2,
        "it has changed hands once"
    );
    assert_eq!(scene.number("SELECT count(*) FROM assignments WHERE person = 'ann' AND turn = 2"), 1);
    scene.assert_right();
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::postgres(Store::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn s6_without_locks_both_get_it_and_one_swap_is_lost(#[case] store: Store) {
    goes_wrong(store, &one_shift_for_two(), |scene| scene.findings().lost_swaps() > 0).await;
}

/// Whose the shifts of tuesday are, in their order: who of them wants what depends on it.
fn tuesday(scene: &Scene) -> [String; 4] {
    ["tue-a", "tue-b", "tue-c", "tue-d"].map(|shift| scene.holder(shift).expect("somebody's"))
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
#[tokio::test(flavor = "multi_thread")]
async fn s7_two_compatible_swaps_of_one_persons_shifts_are_both_executed(#[case] store: Store) {
    let scene = two_days(store);
    assert_eq!(tuesday(&scene), ["ann", "bob", "cid", "dee"]);
    let wishes = [wish("ann", "mon-a", "mon-d"), wish("ann", "tue-a", "tue-d")];
    let answers = settled_at_once(&scene, &wishes, false).await;
    assert_eq!(answers, [Answer::Executed, Answer::Executed]);
    for (shift, holder) in [("mon-a", "dee"), ("mon-d", "ann"), ("tue-a", "dee"), ("tue-d", "ann")] {
        assert_eq!(scene.holder(shift).as_deref(), Some(holder), "{shift}");
    }
    scene.assert_right();
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
#[tokio::test(flavor = "multi_thread")]
async fn s7_all_that_a_swap_touches_is_locked_in_one_step(#[case] store: Store) {
    let scene = two_days(store);
    let mut staff = scene.worker("staff", "staff-1", "--ask ann:mon-a:tue-d --ttl 10m --fault stall");
    staff.go();
    let taken = staff.hears("locks taken");
    assert!(taken.contains("person/ann person/dee shift/mon-a shift/tue-d"), "{taken}");
    staff.hears("stalling");
    for touched in ["person/ann", "person/dee", "shift/mon-a", "shift/tue-d", "block/mon", "block/tue"] {
        scene.assert_busy(scene.ask(&[touched]).await).await;
    }
    // Whoever touches nothing of it goes on beside it, also in the same blocks.
    let mut other = scene.worker("staff", "staff-2", "--ask bob:mon-b:mon-c --ttl 10m");
    other.go();
    other.hears("executed");
    assert!(other.ends().0.success());
    scene.go_on();
    assert!(staff.ends().0.success());
    assert_eq!(scene.holder("tue-d").as_deref(), Some("ann"));
    scene.assert_right();
}

/// Each of them may be, but not both: tue-c and tue-d are at one time. They share no shift, only the person.
fn booked_twice() -> [Request; 2] {
    [wish("ann", "mon-a", "tue-d"), wish("ann", "tue-a", "tue-c")]
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
#[tokio::test(flavor = "multi_thread")]
async fn s7_of_two_swaps_that_would_book_somebody_twice_one_is_refused(#[case] store: Store) {
    let scene = two_days(store);
    let answers = settled_at_once(&scene, &booked_twice(), false).await;
    assert_eq!(answers.iter().filter(|answer| **answer == Answer::Refused).count(), 1, "{answers:?}");
    assert_eq!(scene.number(&format!("{WHY} 'ann would be at % at once'")), 1);
    scene.assert_right();
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::postgres(Store::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn s7_without_locks_somebody_is_booked_twice(#[case] store: Store) {
    goes_wrong(store, &booked_twice(), |scene| scene.findings().double_bookings() > 0).await;
}

/// Swaps of two days by four processes, eight at once in each: every one meets others.
const MANY: &str = "--staff 4 --swaps 160 --edits 0 --boards 0 --latency 3ms --thinking 0s";

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn s9_many_swaps_of_overlapping_shifts_all_finish(#[case] store: Store) {
    let scene = Scene::on(store, TWO_DAYS);
    let ran = scene.run(MANY);
    ran.assert_clean();
    assert_eq!(ran.figure("swaps executed") + ran.figure("swaps refused"), 160, "{}", ran.out);
    assert!(ran.figure("swaps executed") > 0, "{}", ran.out);
    assert_eq!(scene.number("SELECT count(*) FROM swaps WHERE state = 'pending'"), 0);
    assert_eq!(scene.number("SELECT count(*) FROM refusals"), 0);
    scene.assert_right();
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::postgres(Store::Postgres)]
fn s9_without_locks_swaps_are_lost(#[case] store: Store) {
    damages(&Scene::on(store, TWO_DAYS), MANY, |findings| findings.lost_swaps() > 0);
}

/// The same two shifts both ways, over and over.
#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
#[tokio::test(flavor = "multi_thread")]
async fn s9_swaps_that_cross_each_other_never_deadlock(#[case] store: Store) {
    let scene = two_days(store);
    let mut offices = Vec::new();
    for (person, gives, takes) in [
        ("ann", "mon-a", "mon-d"),
        ("dee", "mon-d", "mon-a"),
        ("dee", "mon-d", "mon-b"),
        ("bob", "mon-b", "mon-d"),
    ] {
        offices.push((scene.office(person).await, wish(person, gives, takes)));
    }
    let swaps = offices.into_iter().map(|(office, wish)| {
        tokio::spawn(async move {
            for _ in 0..20 {
                let swap = office.request(&wish).await.expect("it is accepted");
                office.settle(swap).await.expect("no error");
            }
        })
    });
    for swaps in swaps.collect::<Vec<_>>() {
        tokio::time::timeout(crate::support::LIMIT, swaps).await.expect("all finish").expect("no panic");
    }
    assert_eq!(scene.number("SELECT count(*) FROM swaps WHERE state <> 'pending'"), 80);
    scene.assert_right();
}
