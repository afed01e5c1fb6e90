//! Cleans up after this process, however it ends.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// A process that waits for the end of a pipe from this one, and then runs a command. Dropped, it runs it too.
#[derive(Debug)]
pub(super) struct Leash(Child);

impl Leash {
    /// The command sees `arguments` as `$1`, `$2` …
    pub(super) fn new(command: &str, arguments: &[&str]) -> io::Result<Self> {
        // A group of its own: what interrupts the run must not interrupt the cleaning up.
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("read -r _; {command}"), "leash"]).args(arguments).process_group(0);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        shell.spawn().map(Self)
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
