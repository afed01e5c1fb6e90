//! The small examples run as they stand, and tell what they should.

use std::path::Path;
use std::process::Command;

use rstest::rstest;

#[rstest]
#[case::skip("skip", "one: cleaning up\ntwo: somebody else is at it, skipped\none: done\ntwo: cleaning up\n")]
#[case::wait_in_line(
    "wait_in_line",
    "the cashier counts the money\n\
     cid leaves: acquire \"till\" on sqlite: timed out after 50ms\n\
     the till opens\nann pays\nbob pays\n"
)]
#[case::stop_when_lost(
    "stop_when_lost",
    "importing\n\
     stopped: release \"import\" on sqlite: the lock was lost: its lease lapsed or it was taken away\n\
     somebody else imports\n"
)]
#[case::at_most_four("at_most_four", "4 at work\n4 at work\n4 at work\n12 jobs, never more than 4 at once\n")]
#[case::transfer(
    "transfer",
    "before: {\"ann\": 100, \"bob\": 100}\nafter 30 there and 10 back: {\"ann\": 80, \"bob\": 120}\n"
)]
#[case::fenced_write(
    "fenced_write",
    "the second writes 200\n\
     the first is refused: fence \"bot/4\" on sqlite: token N comes too late: N has been seen\n\
     the price is 200\n"
)]
fn the_small_example(#[case] name: &str, #[case] expected: &str) {
    // `cargo test` builds the examples beside the tests, unless it is told which tests to run.
    let tests = std::env::current_exe().expect("the program knows where it is");
    let program = tests.ancestors().nth(2).expect("the directory of a profile").join("examples").join(name);
    let source = format!("examples/{name}.rs");
    let written = |file: &Path| file.metadata().and_then(|file| file.modified()).ok();
    assert!(
        written(&program) >= written(Path::new(&source)),
        "not built anew; cargo build -p examples --examples"
    );
    let output = Command::new(&program).output().expect("it was built");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{}: {complaints}", output.status);
    assert_eq!(without_tokens(&String::from_utf8_lossy(&output.stdout)), expected);

    let readme = std::fs::read_to_string("README.md");
    assert!(
        readme.expect("the README").contains(&format!("]({source})")),
        "the README does not name {source}"
    );
    let lines = std::fs::read_to_string(source).expect("the example's text").lines().count();
    assert!(lines < 40, "{lines} lines");
}

/// With every token, which is another each time, as `N`.
fn without_tokens(told: &str) -> String {
    let token = |word: &str| word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_digit());
    told.split_inclusive(' ').map(|word| if token(word.trim_end()) { "N " } else { word }).collect()
}
