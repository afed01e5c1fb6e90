//! The whole run: on the input that is shipped, and what an operator sees of it.

use rstest::rstest;
use rustix::process::Signal;

use crate::scene::{Scene, damages, program};
use crate::support::{Database, Ended as _, Store, Worker};

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn the_shipped_input_comes_out_right_and_nothing_is_left_behind(#[case] store: Store) {
    shipped_input_comes_out_right(&store.backend());
}

#[test]
fn the_shipped_input_comes_out_right_in_postgres_and_nothing_is_left_behind() {
    let database = Database::new();
    let before = database.objects();
    shipped_input_comes_out_right(&["--backend".to_owned(), database.0.clone()]);
    assert_eq!(database.objects(), before);
}

fn shipped_input_comes_out_right(backend: &[String]) {
    let temporary = tempfile::tempdir().expect("a directory");
    let ran = program().args(backend).env("TMPDIR", temporary.path()).ended();
    ran.assert_clean();
    let days = ran.figure("days");
    assert_eq!(ran.figure("calculated"), days, "{}", ran.out);
    assert_eq!(ran.figure("already calculated"), 2 * days, "by the other two:\n{}", ran.out);
    assert_eq!(std::fs::read_dir(temporary.path()).expect("the directory").count(), 0);
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::postgres(Store::Postgres)]
fn without_locks_the_shipped_input_comes_out_wrong(#[case] store: Store) {
    let ran = program().arg("--no-locks").args(store.backend()).ended();
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    assert!(ran.figure("duplicates") > 0 && ran.figure("over the limit") > 0, "{}", ran.out);
    assert!(ran.out.contains("BROKEN"), "{}", ran.out);
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[case::postgres(Store::Postgres)]
#[case::apart(Store::Apart)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn an_operator_has_a_command_that_names_offenders(#[case] store: Store) {
    let scene = Scene::one_day(store);
    let check = || program().arg("check").arg("--data").arg(scene.data()).ended();
    scene.run("").assert_clean();
    let clean = check();
    assert_eq!(clean.code, Some(0), "{}{}", clean.out, clean.err);
    assert!(clean.out.contains("clean"), "{}", clean.out);

    damages(&scene, "--workers 5 --latency 20ms", |findings| findings.duplicates() > 0);
    let broken = check();
    assert_eq!(broken.code, Some(1), "{}{}", broken.out, broken.err);
    assert!(broken.out.contains("tier 3 of P-1 on 2025-01-15 was paid "), "{}", broken.out);
}

/// What may be wrong with a ledger that is right otherwise, and what is said of it.
#[rstest]
#[case::a_day_left_out("DELETE FROM calculations", "P-1 was not calculated for 2025-01-15")]
#[case::a_claim_left_out(
    "DELETE FROM policy_claims WHERE tier = 2",
    "tier 2 of P-1 on 2025-01-15 was paid 0; its events make it 250"
)]
#[case::too_much(
    "UPDATE policy_claims SET amount = amount + 1 WHERE tier = 1",
    "was paid 100.00000001; its events make it 100"
)]
#[case::twice(
    "INSERT INTO policy_claims (policy_id, day, tier, event_id, amount) SELECT policy_id, day, tier, event_id, amount FROM policy_claims",
    "tier 1 of P-1 on 2025-01-15 was paid 2 times"
)]
#[case::of_no_event(
    "INSERT INTO policy_claims (policy_id, day, tier, event_id, amount) VALUES ('P-1', '2025-01-16', 1, 'E-9', 7)",
    "tier 1 of P-1 on 2025-01-16 was paid 0.00000007; its events make it 0"
)]
#[case::beyond_the_limit(
    "UPDATE policies SET most = 84999999999",
    "P-1 was paid 850, over its limit of 849.99999999"
)]
fn whatever_is_wrong_is_found(#[case] damage: &str, #[case] offence: &str) {
    let scene = Scene::one_day(Store::Sqlite);
    scene.run("").assert_clean();
    scene.change(damage);
    let ran = program().arg("check").arg("--data").arg(scene.data()).ended();
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains(offence), "{}", ran.out);
}

#[test]
fn an_interrupted_run_leaves_nothing() {
    let temporary = tempfile::tempdir().expect("a directory");
    let mut command = program();
    command.args(["--latency", "10m", "--patience", "1h"]).env("TMPDIR", temporary.path());
    let mut parent = Worker::start(command);
    parent.hears("skipped"); // they are at work
    parent.signal(Signal::INT);
    let (status, said) = parent.ends();
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(said.contains("interrupted"), "{said}");
    assert_eq!(std::fs::read_dir(temporary.path()).expect("the directory").count(), 0);
}

#[test]
fn a_password_is_in_no_output() {
    let database = Database::new();
    // Whoever is trusted may say any.
    let url = database.0.replace("postgres@", "postgres:secret@");
    let scene = Scene::one_day(Store::Sqlite);
    let mut command = program();
    command.arg("--policies").arg(scene.path("policies.csv")).arg("--events").arg(scene.path("events.csv"));
    let ran = command.args(["--backend", &url]).env("RUST_LOG", "trace").ended();
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(!ran.err.contains("secret") && !ran.out.contains("secret"), "{}{}", ran.out, ran.err);
}
