//! A server program of this machine, on a free port of the loopback, in a directory of its own.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::leash::Leash;
use super::recipe::Recipe;

/// A running server program.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) port: u16,
    recipe: &'static Recipe,
    arguments: Vec<String>,
    child: Child,
    leash: Option<Leash>,
    /// Removed after the program has ended.
    directory: tempfile::TempDir,
}

impl Program {
    pub(super) fn start(recipe: &'static Recipe, more: &[&str]) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| failed("a temporary directory", error))?;
        let port = free_port().map_err(|error| failed("a free port", error))?;
        let mut arguments = (recipe.arguments)(port, directory.path());
        arguments.extend(more.iter().map(|word| (*word).to_owned()));
        let child = spawn(recipe, &arguments, directory.path())?;
        let mut program = Self { port, recipe, arguments, child, leash: None, directory };
        // By name, too: should both have died, the number may be somebody else's.
        let clean =
            r#"id=$(cat "$1/pid"); [ "$(cat "/proc/$id/comm")" = "$2" ] && kill -9 "$id"; rm -rf "$1""#;
        let path = program.directory.path().display().to_string();
        let leash = Leash::new(clean, &[&path, recipe.program]);
        program.leash = Some(leash.map_err(|error| failed("sh", error))?);
        program.wait()?;
        Ok(program)
    }

    /// Kills it as `kill -9` does. Its port and its directory stay.
    pub(super) fn kill(&mut self) {
        self.child.kill().expect("a process of ours can be killed");
        self.child.wait().expect("a process of ours can be waited for");
        // From here on the number may be somebody else's.
        let _ = fs::remove_file(self.directory.path().join("pid"));
    }

    /// Starts it again, as it was started.
    pub(super) fn restart(&mut self) -> Result<(), String> {
        self.kill();
        self.child = spawn(self.recipe, &self.arguments, self.directory.path())?;
        self.wait()
    }

    pub(super) fn signal(&self, signal: Signal) {
        let id = self.child.id().try_into().ok().and_then(Pid::from_raw);
        kill_process(id.expect("it was started"), signal).expect("a process of ours takes signals");
    }

    fn wait(&mut self) -> Result<(), String> {
        let (child, program) = (&mut self.child, self.recipe.program);
        self.recipe.wait(self.port, || match child.try_wait() {
            Ok(Some(status)) => Err(format!("{program} ended at once with {status}")),
            _ => Ok(()),
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It kills; the number stays this child's until the wait.
        drop(self.leash.take());
        let _ = self.child.wait();
    }
}

/// Starts the program, and leaves its number in the directory.
fn spawn(recipe: &Recipe, arguments: &[String], directory: &Path) -> Result<Child, String> {
    let log = File::options().create(true).append(true).open(directory.join("log"));
    let log = log.map_err(|error| failed("a log", error))?;
    let errors = log.try_clone().map_err(|error| failed("a log", error))?;
    let mut command = Command::new(recipe.program);
    command.args(arguments).process_group(0);
    command.stdin(Stdio::null()).stdout(log).stderr(errors);
    let child = command.spawn().map_err(|error| {
        format!(
            "the program {} cannot be started ({error}); apt-get install {}",
            recipe.program, recipe.package
        )
    })?;
    fs::write(directory.join("pid"), child.id().to_string()).map_err(|error| failed("a file", error))?;
    Ok(child)
}

fn failed(what: &str, error: std::io::Error) -> String {
    format!("{what}: {error}")
}

/// A port that nobody listens on. Another process may take it before the server does, which then ends at once.
fn free_port() -> std::io::Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr().map(|address| address.port())
}
