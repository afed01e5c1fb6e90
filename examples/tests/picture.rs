//! The picture in the README: it is what was recorded, and what was recorded happens again.

use std::path::Path;
use std::process::Command;

use examples::picture::event::{Event, Kind, read};

fn fenced_out(args: &[&str], dir: &Path) -> std::process::Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_fenced_out"));
    program.args(args).arg("--picture").arg(dir.join("picture.svg"));
    let output = program.output().expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn the_picture_is_what_was_recorded() {
    let dir = tempfile::tempdir().expect("a directory");
    fenced_out(&["draw"], dir.path());
    let drawn = std::fs::read_to_string(dir.path().join("picture.svg")).expect("a picture");
    let shipped = std::fs::read_to_string("fenced_out.svg").expect("the picture of the README");
    assert!(drawn == shipped, "drawn anew it is another: cargo run -p examples --bin fenced_out -- draw");
    fenced(&read(Path::new("data/fenced_out.csv")).expect("a record"));
}

#[test]
fn it_happens_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let record = dir.path().join("record.csv");
    let output = fenced_out(&["--record", &record.display().to_string()], dir.path());
    assert!(String::from_utf8_lossy(&output.stdout).contains("the price is 120"), "the second one's stays");
    fenced(&read(&record).expect("a record"));
    let drawn = std::fs::read_to_string(dir.path().join("picture.svg")).expect("a picture");
    assert!(drawn.contains("held by worker-2") && drawn.contains("comes too late"), "{drawn}");
}

/// Panics unless the first worker was stopped while it held the lock, the second one wrote meanwhile, and the first one's write
/// was refused after it.
fn fenced(events: &[Event]) {
    let at = |from: &str, kind, text: &str| {
        let fits = |event: &&Event| event.from == from && event.kind == kind && event.text.contains(text);
        let found = events.iter().find(fits);
        found.unwrap_or_else(|| panic!("no {text:?} of {from} in {events:#?}")).at
    };
    let steps = [
        at("locks", Kind::Answer, "granted"),
        at("worker-1", Kind::Stopped, "SIGSTOP"),
        at("data", Kind::Answer, "written"),
        at("worker-1", Kind::Continued, "SIGCONT"),
        at("worker-1", Kind::Ask, "write 110"),
        at("data", Kind::Refusal, "comes too late"),
    ];
    assert!(steps.is_sorted(), "{events:#?}");
    let written = events.iter().filter(|event| event.text == "written").count();
    assert_eq!(written, 1, "by the second one alone");
}
