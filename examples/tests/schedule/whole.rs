//! The whole run: on what is shipped, and when it is stopped.

use rstest::rstest;
use rustix::process::Signal;

use crate::scene::{Scene, TWO_DAYS, program};
use crate::support::{Database, Ended as _, Store, Worker};

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::redis(Store::Redis)]
#[cfg_attr(feature = "etcd", case::etcd(Store::Etcd))]
fn the_shipped_shifts_come_out_right_and_nothing_is_left_behind(#[case] store: Store) {
    shipped_shifts_come_out_right(store.backend());
}

#[test]
fn the_shipped_shifts_come_out_right_in_postgres_and_nothing_is_left_behind() {
    let database = Database::new();
    let before = database.objects();
    shipped_shifts_come_out_right(["--backend".to_owned(), database.0.clone()]);
    assert_eq!(database.objects(), before);
}

fn shipped_shifts_come_out_right(backend: impl IntoIterator<Item = String>) {
    let temporary = tempfile::tempdir().expect("a directory");
    let ran = program().args(backend).env("TMPDIR", temporary.path()).ended();
    ran.assert_clean();
    assert_eq!(ran.figure("blocks generated"), 6);
    assert_eq!(ran.figure("swaps executed") + ran.figure("swaps refused"), 300, "{}", ran.out);
    assert!(ran.figure("asked for ahead") > 0, "{}", ran.out);
    assert_eq!(ran.figure("edits saved"), 200, "{}", ran.out);
    assert_eq!(ran.figure("boards read"), 60, "{}", ran.out);
    assert_eq!(std::fs::read_dir(temporary.path()).expect("the directory").count(), 0, "no file is left");
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::postgres(Store::Postgres)]
fn without_locks_the_shipped_shifts_come_out_wrong(#[case] store: Store) {
    let ran = program().arg("--no-locks").args(store.backend()).ended();
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    for damage in ["generated again", "lost swaps", "lost edits", "mixed boards"] {
        assert!(ran.figure(damage) > 0, "{}", ran.out);
    }
    assert!(ran.out.contains("BROKEN"), "{}", ran.out);
}

#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::postgres(Store::Postgres)]
fn an_interrupted_run_stops_its_workers_and_leaves_nothing(#[case] store: Store) {
    let temporary = tempfile::tempdir().expect("a directory");
    let database = (store == Store::Postgres).then(Database::new);
    let before = database.as_ref().map(Database::objects);
    let mut command = program();
    command.args(["--thinking", "10m", "--patience", "1h"]).env("TMPDIR", temporary.path());
    if let Some(database) = &database {
        command.args(["--backend", &database.0]);
    }
    let mut parent = Worker::start(command);
    parent.hears("1 of 49 shifts");
    parent.signal(Signal::INT);
    let (status, said) = parent.ends();
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(said.contains("interrupted"), "{said}");
    assert_eq!(std::fs::read_dir(temporary.path()).expect("the directory").count(), 0, "no file is left");
    assert_eq!(database.as_ref().map(Database::objects), before);
}

/// Every offence that there is, put into a rota in which all was right.
#[rstest]
#[case::sqlite(Store::Sqlite)]
#[case::postgres(Store::Postgres)]
fn an_operator_has_a_command_that_names_offenders(#[case] store: Store) {
    let scene = Scene::on(store, TWO_DAYS);
    let check = || program().arg("check").arg("--data").arg(scene.data()).ended();
    scene.run("--swaps 0 --edits 4 --boards 2 --thinking 0s").assert_clean();
    let clean = check();
    assert_eq!(clean.code, Some(0), "{}{}", clean.out, clean.err);
    assert!(
        clean.out.contains("2 blocks, 0 swaps executed and 0 refused, 4 edits, 2 boards\nclean: "),
        "{}",
        clean.out
    );

    let offences = [
        ("DELETE FROM assignments WHERE id = 'tue-d'", "tue is there in part: tue-d does not fit the rest"),
        ("UPDATE assignments SET person = 'ann' WHERE id = 'mon-b'", "ann is at mon-a and mon-b at once"),
        ("INSERT INTO handovers (shift, turn, person) VALUES ('mon-c', 1, 'ann')", "mon-c was generated 2 times"),
        ("INSERT INTO handovers (shift, turn, person, swap) VALUES ('mon-d', 2, 'bob', 7)",
            "mon-d went to bob by swap 7, and is "),
        ("INSERT INTO swaps (person, gives, gives_turn, takes, takes_turn) VALUES ('ann', 'mon-a', 1, 'mon-d', 1)",
            " is still pending"),
        ("INSERT INTO edits (shift, worker, note) VALUES ('mon-a', 'editor-9', 'gone')",
            "mon-a has lost what editor-9 saved: \"gone\" in its note"),
        ("INSERT INTO edits (shift, worker, room) VALUES ('mon-a', 'editor-9', 'cellar')",
            "mon-a has lost what editor-9 saved: room \"cellar\", which is "),
        ("INSERT INTO handovers (shift, turn, person, swap) VALUES ('mon-a', 2, 'dee', 8);
          UPDATE lines SET turn = 2 WHERE shift = 'mon-a';
          INSERT INTO handovers (shift, turn, person, swap, moment) SELECT 'mon-d', 2, 'ann', 8, id FROM handovers WHERE swap = 8",
            " has mon-a as it was after mon-d had changed hands"),
    ];
    for (number, (damage, _)) in offences.iter().enumerate() {
        scene.change(damage);
        let ran = check();
        assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
        for (_, named) in &offences[..=number] {
            assert!(ran.out.contains(named), "no {named:?} in {}", ran.out);
        }
    }
}
