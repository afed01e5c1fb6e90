//! Another process, as a test sees it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long something may take that ought to happen.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Set in other processes alone: what to do, and to which file.
const ROLE: &str = "LOCK_SQLITE_TEST_ROLE";
const FILE: &str = "LOCK_SQLITE_TEST_FILE";

/// What this process is to do, if it is another one.
pub(crate) fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// The lock file it is to do it with.
pub(crate) fn file() -> PathBuf {
    std::env::var_os(FILE).expect("set beside the role").into()
}

/// A process that plays a role. Killed when it is dropped; it ends by itself when its input closes.
pub(crate) struct Child {
    process: std::process::Child,
    lines: Receiver<String>,
    _input: Option<ChildStdin>,
}

impl Child {
    pub(crate) fn start(role: &str, file: &Path) -> Self {
        let program = std::env::current_exe().expect("the program knows where it is");
        Self::run(&mut Command::new(program), role, file)
    }

    pub(crate) fn run(command: &mut Command, role: &str, file: &Path) -> Self {
        let command = command.env(ROLE, role).env(FILE, file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("the program starts again");
        let output = BufReader::new(process.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        let read = move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line));
        std::thread::spawn(move || drop(read()));
        let input = process.stdin.take();
        Self { process, lines, _input: input }
    }

    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(LONG).expect("the other process says something")
    }

    pub(crate) fn expect(&self, line: &str) {
        assert_eq!(self.line(), line);
    }

    /// Kills it as nothing can be caught; answers what it had said by then.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.process.kill().expect("it is ours");
        self.process.wait().expect("it is ours");
        // Its output closes with it: the reader ends, and so does this.
        std::mem::replace(&mut self.lines, channel().1).into_iter().collect()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
