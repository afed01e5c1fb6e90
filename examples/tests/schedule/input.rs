//! What is refused before anything runs: in one clear line, or a line for each bad one.

use std::path::Path;

use rstest::rstest;

use crate::scene::{Scene, TWO_DAYS, program};
use crate::support::{Ended as _, Store};

const GOOD: &str = "ok,mon,2025-01-06 06:00,2025-01-06 14:00";

#[rstest]
#[case::no_time(
    "a,mon,six,2025-01-06 14:00",
    r#"shifts.csv:3: column "starts": "six" is no time; expected 2025-01-31 14:00"#
)]
#[case::no_such_day(
    "a,mon,2025-02-30 06:00,2025-01-06 14:00",
    r#"shifts.csv:3: column "starts": "2025-02-30 06:00" is no time"#
)]
#[case::back_in_time(
    "a,mon,2025-01-06 06:00,2025-01-06 05:00",
    r#"shifts.csv:3: column "ends": has to be after the beginning"#
)]
#[case::for_days(
    "a,mon,2025-01-06 06:00,2025-01-08 05:00",
    r#"shifts.csv:3: column "ends": has to be after the beginning, and within a day of it"#
)]
#[case::no_id(",mon,2025-01-06 06:00,2025-01-06 14:00", r#"shifts.csv:3: column "id": is empty"#)]
#[case::a_slash(
    "a/b,mon,2025-01-06 06:00,2025-01-06 14:00",
    r#"shifts.csv:3: column "id": "a/b" may have letters"#
)]
#[case::no_block("a,,2025-01-06 06:00,2025-01-06 14:00", r#"shifts.csv:3: column "block": is empty"#)]
#[case::twice(GOOD, r#"shifts.csv:3: column "id": "ok" is on line 2 already"#)]
#[case::too_few("a,mon", "shifts.csv:3: 2 columns where there should be 4")]
#[case::another_block(
    "a,tue,2025-01-06 13:00,2025-01-06 15:00",
    r#"shifts.csv: "a" begins before block "mon" has ended"#
)]
fn a_bad_shift_is_named(#[case] line: &str, #[case] error: &str) {
    refused(&Scene::on(Store::Sqlite, [GOOD, line]), error);
}

#[rstest]
#[case::no_hours("ann,many", r#"people.csv:2: column "hours": "many" is no whole number from 1 to 168"#)]
#[case::none("ann,0", r#"people.csv:2: column "hours": "0" is no whole number from 1 to 168"#)]
#[case::no_name(",40", r#"people.csv:2: column "name": is empty"#)]
#[case::twice("ann,40\nann,20", r#"people.csv:3: column "name": "ann" is on line 2 already"#)]
#[case::nobody("", "people.csv: has no people")]
#[case::too_few_of_them(
    "ann,40\nbob,40",
    r#"shifts.csv: when "mon-c" begins there are 3 shifts at once, for 2 people"#
)]
fn a_bad_person_is_named(#[case] lines: &str, #[case] error: &str) {
    let scene = Scene::on(Store::Sqlite, TWO_DAYS);
    scene.write("people.csv", ["name,hours", lines]);
    refused(&scene, error);
}

#[test]
fn all_bad_lines_are_named() {
    let scene = Scene::on(Store::Sqlite, ["a,mon,six,seven", GOOD, "b,mon"]);
    let ran = scene.run("");
    ran.assert_refused_in(3, "shifts.csv:2: column \"starts\"");
    let said = ran.err;
    assert!(
        said.contains("shifts.csv:2: column \"ends\"") && said.contains("shifts.csv:4: 2 columns"),
        "{said}"
    );
    assert!(!Path::new(&scene.data()).exists(), "nothing was begun");
}

fn refused(scene: &Scene, error: &str) {
    scene.run("").assert_refused(error);
    assert!(!Path::new(&scene.data()).exists(), "nothing was begun");
}

#[rstest]
#[case::no_such_file("--shifts /nonexistent/shifts.csv", "cannot read /nonexistent/shifts.csv: No such file")]
#[case::no_people("--people /nonexistent/people.csv", "cannot read /nonexistent/people.csv: No such file")]
#[case::unknown_scheme(
    "--backend mysql://me:secret@host",
    "--backend mysql: is not a store known here; expected sqlite:PATH"
)]
#[case::nobody_listens("--backend redis://me:secret@127.0.0.1:1", "redis://127.0.0.1:1: connect on redis: ")]
#[case::no_server("--backend postgres://me:secret@127.0.0.1:1/d", "postgres://127.0.0.1:1#lock-examples-")]
#[case::no_place_for_data("--data mysql://me:secret@127.0.0.1/d", "--data mysql: is no place for data")]
#[case::no_planner("--planners 0", "somebody has to generate the blocks: --planners must be 1 or more")]
#[case::no_staff("--staff 0", "nobody is there for the swaps: --staff must be 1 or more, or --swaps 0")]
#[case::no_editor("--editors 0", "nobody is there for the edits: --editors must be 1 or more, or --edits 0")]
#[case::no_reader(
    "--readers 0",
    "nobody is there for the boards: --readers must be 1 or more, or --boards 0"
)]
#[case::nothing_at_once("--at-once 0", "--at-once must be one or more")]
#[case::a_short_ttl("--ttl 1ms", "ttl")]
fn what_cannot_run_is_said_in_one_line(#[case] args: &str, #[case] error: &str) {
    program().args(args.split_whitespace()).ended().assert_refused(error);
}

#[rstest]
#[case::sqlite(Store::Sqlite, "rota.db is there already")]
#[case::postgres(Store::Postgres, " is there already: remove it, or choose another schema")]
fn a_rota_is_never_overwritten(#[case] store: Store, #[case] error: &str) {
    let scene = Scene::on(store, &TWO_DAYS[..1]);
    scene.run("--swaps 0 --edits 2 --boards 1").assert_clean();
    let again = program().arg("--data").arg(scene.data()).ended();
    assert_eq!(again.code, Some(2), "{}", again.out);
    assert!(again.err.contains(error), "{}", again.err);
    assert_eq!(scene.number("SELECT count(*) FROM edits"), 2);
}

#[test]
fn a_check_of_no_rota_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let ran = program().arg("check").arg("--data").arg(dir.path()).ended();
    assert_eq!(ran.code, Some(2), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("cannot open") && ran.err.lines().count() == 1, "{}", ran.err);
    assert!(!dir.path().join("rota.db").exists(), "a check makes nothing");
}

#[test]
fn help_explains_the_scenario_and_names_the_stores_that_are_known() {
    let ran = program().arg("--help").ended();
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let words = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(examples::backend::KNOWN), "{}", ran.out);
    assert!(words.contains("With --no-locks the same workers run bare"), "{}", ran.out);
}
