//! What one is told about a file that will not do.

#![allow(clippy::disallowed_methods, reason = "a test prepares files by itself")]

use std::fs;
use std::path::{Path, PathBuf};

use lock_core::{Error, ErrorKind};
use lock_sqlite::Sqlite;
use rstest::rstest;
use rusqlite::Connection;

async fn refusal(path: impl AsRef<Path>) -> Error {
    Sqlite::open(path).await.expect_err("it must not open")
}

fn words(path: &Path) -> PathBuf {
    fs::write(path, "not a database, but a text of some length: ".repeat(100)).expect("written");
    path.to_owned()
}

fn directory(path: &Path) -> PathBuf {
    fs::create_dir(path).expect("made");
    path.to_owned()
}

fn in_nothing(path: &Path) -> PathBuf {
    path.with_file_name("missing").join("locks.db")
}

fn under_a_file(path: &Path) -> PathBuf {
    words(path).join("locks.db")
}

fn link_to_nothing(path: &Path) -> PathBuf {
    std::os::unix::fs::symlink(path.with_file_name("missing"), path).expect("a link");
    path.to_owned()
}

fn newer(path: &Path) -> PathBuf {
    let tables = "CREATE TABLE lock_meta (one INTEGER, version INTEGER, boot TEXT, last INTEGER, more TEXT);
                  INSERT INTO lock_meta VALUES (1, 9, '', 0, '')";
    Connection::open(path).and_then(|db| db.execute_batch(tables)).expect("a newer schema");
    path.to_owned()
}

fn somebody_elses(path: &Path) -> PathBuf {
    let table = "CREATE TABLE lock_claims (door TEXT)";
    Connection::open(path).and_then(|db| db.execute_batch(table)).expect("a table");
    path.to_owned()
}

#[rstest]
#[case::no_database(words, ErrorKind::Backend, "locks.db is not a SQLite database")]
#[case::a_directory(directory, ErrorKind::Invalid, "locks.db is a directory; the path of a file is needed")]
#[case::a_missing_directory(in_nothing, ErrorKind::Backend, "missing cannot be opened")]
#[case::a_file_as_directory(under_a_file, ErrorKind::Backend, "locks.db cannot be opened")]
#[case::a_link_to_nothing(
    link_to_nothing,
    ErrorKind::Invalid,
    "locks.db is a link to nothing; make the file"
)]
#[case::a_newer_schema(newer, ErrorKind::Unsupported, "locks.db has lock tables of version 9")]
#[case::tables_of_that_name(somebody_elses, ErrorKind::Backend, "lock_claims already exists")]
#[tokio::test]
async fn a_file_that_will_not_do_is_named_with_what_is_wrong(
    #[case] prepare: fn(&Path) -> PathBuf,
    #[case] kind: ErrorKind,
    #[case] says: &str,
) {
    let place = tempfile::tempdir().expect("a directory");
    let path = prepare(&place.path().join("locks.db"));
    let before = entries(place.path());
    let error = refusal(&path).await;
    assert_eq!(error.kind(), kind, "{error}");
    let message = error.to_string();
    assert!(message.starts_with("open on sqlite: "), "{message}");
    assert!(message.contains(says) && message.contains(&place.path().display().to_string()), "{message}");
    assert_eq!(entries(place.path()), before, "nothing is left behind");
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

#[rstest]
#[case::nothing("")]
#[case::memory(":memory:")]
#[case::up("..")]
#[case::root("/")]
#[tokio::test]
async fn what_is_no_path_of_a_file_is_invalid(#[case] path: &str) {
    let error = refusal(path).await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let message = error.to_string();
    assert!(message.contains(&format!("{path:?}")) && message.contains("lock_core::Memory"), "{message}");
}
