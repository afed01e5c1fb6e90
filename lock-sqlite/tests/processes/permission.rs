//! Files and directories that may not be written. Permissions do not bind root: as root, the test program is started
//! again as nobody, from a copy that nobody can reach.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use lock_sqlite::Sqlite;

use crate::child::Child;
use crate::roles::block_on;

const NOBODY: u32 = 65534;

pub(crate) fn a_read_only_file_is_refused() {
    let answer = opened_by_nobody(|directory, file| {
        make(file);
        allow(file, 0o444);
        allow(directory, 0o755);
    });
    assert!(answer.starts_with("Backend: "), "{answer}");
    assert!(
        answer.contains("locks.db cannot be written: the file and its directory must be writable"),
        "{answer}"
    );
}

pub(crate) fn a_read_only_directory_is_refused() {
    let answer = opened_by_nobody(|directory, _| allow(directory, 0o555));
    assert!(answer.starts_with("Backend: "), "{answer}");
    assert!(
        answer.contains("locks.db cannot be opened: its directory must exist and be writable"),
        "{answer}"
    );
}

pub(crate) fn a_hidden_directory_is_refused() {
    let answer = opened_by_nobody(|directory, _| allow(directory, 0));
    assert!(answer.starts_with("Backend: "), "{answer}");
    assert!(answer.contains("/place/locks.db"), "{answer}");
}

/// What one is told who has no special rights and opens a file in a directory, both prepared.
fn opened_by_nobody(prepare: impl FnOnce(&Path, &Path)) -> String {
    let root = rustix::process::geteuid().is_root();
    let around = tempfile::tempdir().expect("a directory");
    allow(around.path(), 0o755);
    let program = around.path().join("program");
    fs::copy(std::env::current_exe().expect("the program knows where it is"), &program).expect("a copy");
    allow(&program, 0o755);
    let place = around.path().join("place");
    fs::create_dir(&place).expect("made");
    if root {
        chown(&place, Some(NOBODY), Some(NOBODY)).expect("root may");
    }
    let file = place.join("locks.db");
    prepare(&place, &file);
    let mut command = Command::new(&program);
    if root {
        command.uid(NOBODY).gid(NOBODY);
    }
    let answer = Child::run(&mut command, "open", &file).line();
    let left = if file.exists() { 1 } else { 0 };
    allow(&place, 0o755);
    assert_eq!(fs::read_dir(&place).expect("ours").count(), left, "nothing is left behind");
    answer
}

/// A lock file that was in use and is closed.
fn make(file: &Path) {
    block_on(async { drop(Sqlite::open(file).await.expect("it opens")) });
    // The last thing that its thread does is to remove the pipe.
    crate::counting::until(|| fs::remove_dir(file.with_file_name("locks.db-bells")).is_ok());
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
}
