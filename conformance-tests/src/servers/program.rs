//! A server program of this machine, on a free port of the loopback, in a directory of its own.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};

use super::leash::Leash;
use super::recipe::{Recipe, free_port};

/// Whom programs run as that refuse to be root: `nobody`, everywhere on Linux.
pub(super) const NOBODY: u32 = 65534;

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
        match Self::once(recipe, more) {
            // Another one was faster at its port.
            Err(error) if error.to_lowercase().contains("already in use") => Self::once(recipe, more),
            started => started,
        }
    }

    fn once(recipe: &'static Recipe, more: &[&str]) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| failed("a temporary directory", error))?;
        if recipe.never_root && geteuid().is_root() {
            let given = chown(directory.path(), Some(NOBODY), Some(NOBODY));
            given.map_err(|error| failed("a directory for nobody", error))?;
        }
        let port = free_port()?;
        let more: Vec<_> = more.iter().map(|word| word.replace("{port}", &port.to_string())).collect();
        let more: Vec<_> = more.iter().map(String::as_str).collect();
        let arguments = (recipe.set_up)(port, directory.path(), &more)
            .map_err(|reason| format!("{reason}; apt-get install {}", recipe.package))?;
        let child = spawn(recipe, &arguments, directory.path())?;
        let mut program = Self { port, recipe, arguments, child, leash: None, directory };
        // By name, too: should both have died, the number may be somebody else's. What the program started ends with it,
        // but not at once.
        let clean = r#"id=$(cat "$1/pid"); [ "$(cat "/proc/$id/comm")" = "$2" ] && kill -9 "$id"
            for try in 1 2 3 4 5; do rm -rf "$1" && break; sleep 1; done"#;
        let path = program.directory.path().display().to_string();
        let leash = Leash::new(clean, &[&path, recipe.program]);
        program.leash = Some(leash.map_err(|error| failed("sh", error))?);
        program.wait()?;
        Ok(program)
    }

    pub(super) fn url(&self) -> String {
        (self.recipe.url)(self.port)
    }

    /// Kills it, and every process that it started, as `kill -9` does. Its port and its directory stay.
    pub(super) fn kill(&mut self) {
        let children = children(self.child.id());
        self.child.kill().expect("a process of ours can be killed");
        self.child.wait().expect("a process of ours can be waited for");
        // From here on the number may be somebody else's.
        let _ = fs::remove_file(self.directory.path().join("pid"));
        for child in &children {
            // Some have ended with it.
            let _ = kill_process(*child, Signal::KILL);
        }
        let runs = |child: &Pid| stat(child.as_raw_nonzero().get()).is_some_and(|(state, _)| state != "Z");
        while children.iter().any(runs) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts it again, as it was started.
    pub(super) fn restart(&mut self) -> Result<(), String> {
        self.kill();
        self.child = spawn(self.recipe, &self.arguments, self.directory.path())?;
        self.wait()
    }

    /// Sends it, and every process that it started, a signal.
    pub(super) fn signal(&self, signal: Signal) {
        let id = self.child.id().try_into().ok().and_then(Pid::from_raw);
        kill_process(id.expect("it was started"), signal).expect("a process of ours takes signals");
        for child in children(self.child.id()) {
            // It may have ended by now.
            let _ = kill_process(child, signal);
        }
    }

    /// Has it stand still: none of its threads goes on when this returns.
    pub(super) fn pause(&self) {
        self.signal(Signal::STOP);
        let own = self.child.id().try_into().ok();
        let all = own
            .into_iter()
            .chain(children(self.child.id()).into_iter().map(Pid::as_raw_nonzero).map(i32::from));
        // The signal is on its way for a moment.
        for process in all {
            while threads(process).iter().any(|state| state != "T" && state != "Z") {
                std::thread::yield_now();
            }
        }
    }

    fn wait(&mut self) -> Result<(), String> {
        let (child, program, log) = (&mut self.child, self.recipe.program, self.directory.path().join("log"));
        self.recipe.wait(self.port, || match child.try_wait() {
            Ok(Some(status)) => {
                let log = fs::read_to_string(&log).unwrap_or_default();
                Err(format!("{program} ended at once with {status}: {}", log.trim()))
            }
            _ => Ok(()),
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        drop(self.leash.take());
    }
}

/// A command of this machine, also one that Debian keeps from the path.
pub(super) fn command(program: &str, never_root: bool) -> Command {
    let path = env::var_os("PATH").unwrap_or_default();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut places: Vec<PathBuf> = debian.map(|version| version.path().join("bin")).collect();
    places.sort();
    places.reverse();
    places.push("/usr/sbin".into());
    let files = env::split_paths(&path).chain(places).map(|place| place.join(program));
    let mut command = Command::new(files.into_iter().find(|file| file.is_file()).unwrap_or(program.into()));
    if never_root && geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(super) fn finish(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output =
        command.output().map_err(|error| format!("the program {name} cannot be started ({error})"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{name} failed: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// Starts the program, and leaves its number in the directory.
fn spawn(recipe: &Recipe, arguments: &[String], directory: &Path) -> Result<Child, String> {
    let log = File::options().create(true).append(true).open(directory.join("log"));
    let log = log.map_err(|error| failed("a log", error))?;
    let errors = log.try_clone().map_err(|error| failed("a log", error))?;
    let mut command = command(recipe.program, recipe.never_root);
    command.args(arguments).current_dir(directory).process_group(0).stdout(log).stderr(errors);
    let child = command.spawn().map_err(|error| {
        format!(
            "the program {} cannot be started ({error}); apt-get install {}",
            recipe.program, recipe.package
        )
    })?;
    fs::write(directory.join("pid"), child.id().to_string()).map_err(|error| failed("a file", error))?;
    Ok(child)
}

/// The processes that a process started.
fn children(parent: u32) -> Vec<Pid> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let children = numbers.filter(|number| stat(*number).is_some_and(|(_, its)| its == parent));
    children.filter_map(Pid::from_raw).collect()
}

/// The state and the parent of a process.
fn stat(process: i32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut words = stat.rsplit_once(") ")?.1.split(' ');
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
}

/// The states of a process's threads.
fn threads(process: i32) -> Vec<String> {
    let all = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter_map(stat).map(|(state, _)| state).collect()
}

fn failed(what: &str, error: std::io::Error) -> String {
    format!("{what}: {error}")
}
