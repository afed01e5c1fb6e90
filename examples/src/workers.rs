//! Worker processes: this program again, started by itself.
//!
//! A worker says `ready` and waits for its start, so that all begin at once; whatever it says then is a line on its
//! standard output. Its standard input stays open as long as its parent lives: when it closes, the worker ends.

use std::io::{BufRead as _, Write as _};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

/// What a worker says of what ended in an error.
pub const FAILED: &str = "failed";

const READY: &str = "ready";
const GO: &str = "go";

/// The workers of one run. They are killed when this is dropped.
#[derive(Debug)]
pub struct Crew {
    workers: Vec<Worker>,
    heard: mpsc::Receiver<(usize, Option<String>)>,
}

#[derive(Debug)]
struct Worker {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
}

/// What is heard of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A line that it said.
    Line(String),
    /// It has ended.
    Ended(ExitStatus),
}

impl Crew {
    /// Starts one worker for each name, with these arguments, and the same environment for all.
    ///
    /// # Errors
    ///
    /// A process could not be started.
    pub fn start(
        jobs: impl IntoIterator<Item = (String, Vec<String>)>,
        env: &[(&'static str, String)],
    ) -> Result<Self> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let (tell, heard) = mpsc::channel(1024);
        let mut workers = Vec::new();
        for (number, (name, args)) in jobs.into_iter().enumerate() {
            let mut command = Command::new(&program);
            command.args(args).envs(env.iter().cloned());
            workers.push(Worker::start(command, number, name, &tell)?);
        }
        Ok(Self { workers, heard })
    }

    /// The process of a worker, while it runs.
    pub fn pid(&self, name: &str) -> Option<i32> {
        let worker = self.workers.iter().find(|worker| worker.name == name)?;
        worker.child.id().and_then(|id| i32::try_from(id).ok())
    }

    /// Waits until all are ready, and sends them off at once.
    ///
    /// # Errors
    ///
    /// One ended instead.
    pub async fn go(&mut self) -> Result<()> {
        for _ in 0..self.workers.len() {
            match self.next().await {
                Some((_, Heard::Line(line))) if line == READY => {}
                Some((name, Heard::Ended(status))) => bail!("{name} ended before the start: {status}"),
                Some((name, Heard::Line(line))) => bail!("{name} said {line:?} before the start"),
                None => bail!("no worker is left"),
            }
        }
        for worker in &mut self.workers {
            let stdin = worker.stdin.as_mut().context("a worker is started once")?;
            stdin.write_all(format!("{GO}\n").as_bytes()).await.with_context(|| worker.name.clone())?;
            stdin.flush().await?;
        }
        Ok(())
    }

    /// The next thing that is heard, and of whom; `None` when all have ended.
    pub async fn next(&mut self) -> Option<(String, Heard)> {
        let (number, line) = self.heard.recv().await?;
        let worker = &mut self.workers[number];
        let heard = match line {
            Some(line) => Heard::Line(line),
            None => Heard::Ended(worker.child.wait().await.unwrap_or_default()),
        };
        Some((worker.name.clone(), heard))
    }

    /// Kills whoever still runs and waits for their end.
    pub async fn stop(mut self) {
        for worker in &mut self.workers {
            // An error means that it has ended already.
            let _ = worker.child.kill().await;
        }
    }
}

impl Worker {
    fn start(
        mut command: Command,
        number: usize,
        name: String,
        tell: &mpsc::Sender<(usize, Option<String>)>,
    ) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("stdout is a pipe")?;
        let tell = tell.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if tell.send((number, Some(line))).await.is_err() {
                    return;
                }
            }
            let _ = tell.send((number, None)).await;
        });
        Ok(Self { name, child, stdin })
    }
}

/// A worker's own side: says that it is ready, waits for the start, and works.
///
/// # Errors
///
/// The work's own, or the parent is gone.
pub async fn serve<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    // On a thread of its own: a runtime would wait for the end of a read that it has begun.
    let (tell, mut orders) = mpsc::unbounded_channel();
    std::thread::Builder::new().name("stdin".into()).spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    })?;
    say(READY);
    match orders.recv().await {
        Some(line) if line == GO => {}
        _ => bail!("there was no start"),
    }
    tokio::select! {
        outcome = work => outcome,
        _ = orders.recv() => bail!("the parent is gone"),
    }
}

/// Says a line on standard output. That nobody listens any more is no error: a parent may be gone, or a pager.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
