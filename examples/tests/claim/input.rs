//! What is refused before anything runs: in one clear line, or a line for each bad one.

use std::path::Path;

use rstest::rstest;

use crate::scene::{ONE_DAY, ONE_POLICY, Scene, program};
use crate::support::{Database, Ended as _, Store};

#[rstest]
#[case::no_number(
    "P-2,coast,abc,1,2025-01-01,2025-02-01",
    r#"column "cover": "abc" is not a decimal number"#
)]
#[case::nothing("P-2,coast,0,1,2025-01-01,2025-02-01", r#"column "cover": "0" is not above zero"#)]
#[case::below_zero("P-2,coast,1,-1,2025-01-01,2025-02-01", r#"column "limit": "-1" is not above zero"#)]
#[case::a_slash("P/2,coast,1,1,2025-01-01,2025-02-01", r#"column "id": "P/2" may have letters"#)]
#[case::no_region("P-2,,1,1,2025-01-01,2025-02-01", r#"column "region": is empty"#)]
#[case::no_day(
    "P-2,coast,1,1,yesterday,2025-02-01",
    r#"column "from": "yesterday" is no day, as 2025-01-15"#
)]
#[case::a_day_that_is_none("P-2,coast,1,1,2025-01-01,2025-02-29", r#"column "to": "2025-02-29" is no day"#)]
#[case::backwards(
    "P-2,coast,1,1,2025-02-01,2025-01-01",
    r#"column "to": "2025-01-01" is before its first day"#
)]
#[case::twice("P-1,coast,1,1,2025-01-01,2025-02-01", r#"column "id": "P-1" is on line 2 already"#)]
#[case::too_few("P-2,coast", "2 columns where there should be 6")]
fn a_bad_policy_is_named(#[case] line: &str, #[case] error: &str) {
    let scene = Scene::on(Store::Sqlite, &[ONE_POLICY[0], line], &ONE_DAY);
    refused(&scene, &format!("policies.csv:3: {error}"));
}

#[rstest]
#[case::no_tier(
    "E-5,coast,high,2025-01-15T08:00:00Z",
    r#"column "tier": "high" is no tier; expected 1, 2 or 3"#
)]
#[case::tier_four("E-5,coast,4,2025-01-15T08:00:00Z", r#"column "tier": "4" is no tier"#)]
#[case::tier_none("E-5,coast,0,2025-01-15T08:00:00Z", r#"column "tier": "0" is no tier"#)]
#[case::no_time("E-5,coast,1,2025-01-15", r#"column "at": "2025-01-15" is no time, as 2025-01-15T13:45:00Z"#)]
#[case::no_hour("E-5,coast,1,2025-01-15T25:00:00Z", r#"column "at": "2025-01-15T25:00:00Z" is no time"#)]
#[case::twice("E-1,coast,1,2025-01-15T08:00:00Z", r#"column "id": "E-1" is on line 2 already"#)]
#[case::too_many("E-5,coast,1,2025-01-15T08:00:00Z,", "5 columns where there should be 4")]
fn a_bad_event_is_named(#[case] line: &str, #[case] error: &str) {
    let scene = Scene::on(Store::Sqlite, &ONE_POLICY, &ONE_DAY);
    scene.input("events.csv", "id,region,tier,at", &[&ONE_DAY[..], &[line]].concat());
    refused(&scene, &format!("events.csv:6: {error}"));
}

#[rstest]
#[case::other_columns(
    "id,region\nP-1,coast\n",
    r#"policies.csv:1: the columns are "id,region"; expected "id,region,cover"#
)]
#[case::no_policies("id,region,cover,limit,from,to\n", "policies.csv: has no policies")]
fn a_bad_file_is_refused(#[case] content: &str, #[case] error: &str) {
    let scene = Scene::on(Store::Sqlite, &ONE_POLICY, &ONE_DAY);
    std::fs::write(scene.path("policies.csv"), content).expect("it is written");
    refused(&scene, error);
}

fn refused(scene: &Scene, error: &str) {
    scene.run("").assert_refused(error);
    assert!(!Path::new(&scene.data()).exists(), "nothing was begun");
}

#[test]
fn all_bad_lines_of_both_files_are_named() {
    let scene =
        Scene::on(Store::Sqlite, &["P-1,coast,x,y,2025-01-01,2025-02-01", "P-2"], &["E-1,coast,9,noon"]);
    let ran = scene.run("");
    let named: Vec<_> = ran.err.lines().map(|line| line.rsplit('/').next().unwrap_or(line)).collect();
    assert_eq!(
        named,
        [
            r#"policies.csv:2: column "cover": "x" is not a decimal number"#,
            r#"policies.csv:2: column "limit": "y" is not a decimal number"#,
            "policies.csv:3: 1 columns where there should be 6",
            r#"events.csv:2: column "tier": "9" is no tier; expected 1, 2 or 3"#,
            r#"events.csv:2: column "at": "noon" is no time, as 2025-01-15T13:45:00Z"#,
        ]
    );
}

#[rstest]
#[case::no_such_file("--policies /nonexistent/p.csv", "cannot read /nonexistent/p.csv: No such file")]
#[case::unknown_scheme("--backend mysql://me:secret@host", "--backend mysql: is not a store known here")]
#[case::nobody_listens("--backend redis://me:secret@127.0.0.1:1", "redis://127.0.0.1:1: connect on redis: ")]
#[case::no_server("--backend postgres://me:secret@127.0.0.1:1/d", "postgres://127.0.0.1:1#lock-examples-")]
#[cfg_attr(
    feature = "etcd",
    case::no_etcd("--backend etcd://me:secret@127.0.0.1:1", "etcd://127.0.0.1:1: connect on etcd: ")
)]
#[case::no_place_for_data("--data mysql://me:secret@127.0.0.1/d", "--data mysql: is no place for data")]
#[case::nobody_there("--workers 0", "--workers must be 1 or more")]
#[case::nothing_at_once("--at-once 0", "--at-once must be one or more")]
#[case::no_attempt("--attempts 0", "--attempts must be one or more")]
#[case::a_short_ttl("--ttl 1ms", "ttl")]
fn what_cannot_run_is_said_in_one_line(#[case] args: &str, #[case] error: &str) {
    program().args(args.split_whitespace()).ended().assert_refused(error);
}

#[test]
fn help_explains_and_names_the_stores_and_a_ttl_of_its_own() {
    let ran = program().arg("--help").ended();
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let words = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for told in [examples::backend::KNOWN, "Parametric insurance", "[default: 120s]"] {
        assert!(words.contains(told), "{}", ran.out);
    }
}

#[rstest]
#[case::sqlite(Store::Sqlite, "claims.db is there already")]
#[case::postgres(Store::Postgres, " is there already: remove it, or choose another schema")]
fn a_ledger_is_never_overwritten(#[case] store: Store, #[case] error: &str) {
    let scene = Scene::one_day(store);
    scene.run("").assert_clean();
    let again = program().arg("--data").arg(scene.data()).ended();
    assert_eq!(again.code, Some(2), "{}", again.out);
    assert!(again.err.contains(error), "{}", again.err);
    scene.assert_paid_once();
}

#[test]
fn a_check_of_no_ledger_says_so() {
    let (dir, database) = (tempfile::tempdir().expect("a directory"), Database::new());
    let before = database.objects();
    let schema = format!("{}#friday", database.0);
    for data in [dir.path().to_str().expect("text"), &schema] {
        let ran = program().args(["check", "--data", data]).ended();
        assert_eq!(ran.code, Some(2), "{}{}", ran.out, ran.err);
        assert!(ran.err.contains("cannot open") && ran.err.lines().count() == 1, "{}", ran.err);
    }
    assert_eq!(database.objects(), before, "a check makes nothing");
    assert_eq!(std::fs::read_dir(dir.path()).expect("the directory").count(), 0);
}
