//! The program, or one of its workers, as a process: what it says, and how it ends.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use examples::options::{BACKEND, DATA};
use rustix::process::{Pid, Signal, kill_process};

use super::LIMIT;

/// A program of this workspace, with nothing of this process's own settings.
pub(crate) fn program(path: &str) -> Command {
    let mut program = Command::new(path);
    for name in ["RUST_LOG", BACKEND, DATA] {
        program.env_remove(name);
    }
    program
}

/// What a run said, and how it ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs it to its end.
pub(crate) trait Ended {
    fn ended(&mut self) -> Ran;
}

impl Ended for Command {
    fn ended(&mut self) -> Ran {
        let output = self.output().expect("the program runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Ran {
    /// The figure of a line of the table.
    pub(crate) fn figure(&self, name: &str) -> usize {
        let line = self.out.lines().find_map(|line| line.strip_prefix(name));
        let figure = line.and_then(|rest| rest.split_whitespace().next());
        let figure = figure.unwrap_or_else(|| panic!("no {name:?} in\n{}{}", self.out, self.err));
        figure.replace(',', "").parse().expect("a figure")
    }

    /// Panics unless it ended well, without an error anywhere. It may have been warned of a release that took longer than
    /// a second: so long may a disk take to be flushed, which is done now and then where many workers write a lot.
    pub(crate) fn assert_clean(&self) {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        assert!(self.out.contains("clean"), "{}", self.out);
        assert_eq!(self.figure("errors"), 0, "{}{}", self.out, self.err);
        self.assert_silent(&["ERROR", "panicked"]);
    }

    /// Panics unless it ended well and said nothing of trouble, but for such a release.
    pub(crate) fn assert_untroubled(&self) {
        self.assert_clean();
        let slow = |line: &str| line.contains("no answer to the release in time");
        let warned = self.err.lines().find(|line| line.contains("WARN") && !slow(line));
        assert_eq!(warned, None, "{}", self.err);
    }

    /// Panics unless it was refused in one line that says this, and repeats no password.
    pub(crate) fn assert_refused(&self, error: &str) {
        self.assert_refused_in(1, error);
    }

    /// The same in so many lines.
    pub(crate) fn assert_refused_in(&self, lines: usize, error: &str) {
        assert_eq!(self.code, Some(2), "{}{}", self.out, self.err);
        assert!(self.err.starts_with("error: ") && self.err.contains(error), "{}", self.err);
        assert_eq!(self.err.lines().count(), lines, "{}", self.err);
        assert!(!self.err.contains("secret"), "{}", self.err);
        assert_eq!(self.out, "");
    }

    /// Panics unless damage was found in what it stored.
    fn assert_broken(&self) {
        assert_eq!(self.code, Some(1), "{}{}", self.out, self.err);
        assert!(self.out.contains("BROKEN"), "{}", self.out);
    }

    fn assert_silent(&self, words: &[&str]) {
        let said = words.iter().find(|word| self.err.contains(*word));
        assert_eq!(said, None, "{}", self.err);
    }
}

/// Panics if nothing at all is wrong after twenty bare runs, in which there is luck. Else the program has to have said so.
pub(crate) fn damages(mut run: impl FnMut() -> (Ran, bool)) {
    let damaged = (0..20).map(|_| run()).find_map(|(ran, damaged)| damaged.then_some(ran));
    damaged.expect("twenty bare runs did damage").assert_broken();
}

/// A process that is listened to while it runs: one worker on its own, or a whole run.
pub(crate) struct Worker {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    heard: Vec<String>,
}

impl Worker {
    pub(crate) fn start(mut command: Command) -> Self {
        command.env("RUST_LOG", "info").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the worker starts");
        let (tell, lines) = channel();
        listen(child.stdout.take().expect("a pipe"), tell.clone());
        listen(child.stderr.take().expect("a pipe"), tell);
        let stdin = child.stdin.take();
        Self { child, stdin, lines, heard: Vec::new() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn go(&mut self) {
        self.stdin.as_mut().expect("a pipe").write_all(b"go\n").expect("the worker listens");
    }

    /// Waits for a line with `text`, said or logged, and answers it.
    pub(crate) fn hears(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            let left = LIMIT.saturating_sub(begun.elapsed());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no {text:?} in\n{}", self.heard.join("\n"));
            };
            self.heard.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is there");
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Waits for its end, and answers all that it said.
    pub(crate) fn ends(mut self) -> (ExitStatus, String) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            if begun.elapsed() > LIMIT {
                self.heard.extend(self.lines.try_iter());
                panic!("it does not end:\n{}", self.heard.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        self.heard.extend(self.lines.iter());
        (status, self.heard.join("\n"))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(pipe: impl Read + Send + 'static, tell: Sender<String>) {
    let read = move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    };
    std::thread::spawn(read);
}
