//! Another process on the same store: the target's own program, started again, which does what it is told.
//!
//! It reads orders, a line each, and answers in lines. When its input closes it ends, so none outlives a run.

use std::io::Write;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use lock_core::{Attempt, Claim, ErrorKind, Guard, Key, Lock, Locker, Mode, Ownership, Token};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;

use crate::asking::{AT_ONCE, Client, renew};
use crate::patience::{LONG, let_go, within};
use crate::queue::Queue;
use crate::world::in_mode;
use crate::{Subject, World};

/// Set in helper processes alone: the address of the store.
const ADDRESS: &str = "LOCK_CONFORMANCE_HELPER_OF";

/// A helper process, as a case sees it. Killed when it is dropped.
pub(crate) struct Helper {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Helper {
    /// Starts a process that reaches the store by itself.
    pub(crate) async fn start(world: &World) -> Self {
        Self::start_at(&world.subject().address().expect("the case needs Processes")).await
    }

    /// Starts a process that reaches a store by this address.
    pub(crate) async fn start_at(address: &str) -> Self {
        let program = std::env::current_exe().expect("the program knows where it is");
        let mut child = Command::new(program)
            .env(ADDRESS, address)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts again");
        let orders = child.stdin.take().expect("its input is a pipe");
        let answers = BufReader::new(child.stdout.take().expect("its output is a pipe")).lines();
        let mut helper = Self { child, orders, answers };
        helper.expect("ready").await;
        helper
    }

    /// Has it take keys, and keep and renew them; answers the token.
    pub(crate) async fn hold(&mut self, mode: Mode, keys: &[&Key], ttl: Duration) -> Token {
        self.hold_at_least(mode, keys, ttl, Duration::ZERO).await
    }

    /// The same, with a cooldown.
    pub(crate) async fn hold_at_least(
        &mut self,
        mode: Mode,
        keys: &[&Key],
        ttl: Duration,
        hold: Duration,
    ) -> Token {
        self.tell(&lock_order(mode, keys, ttl, hold)).await;
        self.held().await
    }

    /// Has it ask for keys that are taken, and waits until it is queued.
    pub(crate) async fn wait_for(&mut self, mode: Mode, keys: &[&Key], ttl: Duration) {
        self.tell(&lock_order(mode, keys, ttl, Duration::ZERO)).await;
        self.expect("waiting").await;
    }

    /// The token, once it holds.
    pub(crate) async fn held(&mut self) -> Token {
        let answer = self.answer().await;
        let token = answer.strip_prefix("held ").and_then(|token| token.parse().ok());
        Token::new(token.unwrap_or_else(|| panic!("expected a grant, got {answer:?}")))
    }

    /// Tells it something, and panics if it answers something else.
    pub(crate) async fn ask(&mut self, order: &str, expected: &str) {
        self.tell(order).await;
        self.expect(expected).await;
    }

    /// Has it add one, so many times, to the number in a file: reading and writing under the lock.
    pub(crate) async fn count(&mut self, mode: Mode, key: &Key, file: &Path, rounds: u32) {
        self.tell(&format!("count {} {key} {rounds} {}", spell(mode), file.display())).await;
    }

    /// Has it ask, in one claim of its own, to renew, release and take what somebody else holds: all in vain.
    pub(crate) async fn meddle(&mut self, mode: Mode, key: &Key) {
        self.ask(&format!("meddle {} {key}", spell(mode)), "lost, lost, busy").await;
    }

    /// Stops it where it stands, as a debugger or a paused machine does.
    pub(crate) fn pause(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    /// Kills it, and waits until it is dead.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("a process of ours can be killed");
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = self.child.id().and_then(|id| rustix::process::Pid::from_raw(id.try_into().ok()?));
        rustix::process::kill_process(id.expect("it runs"), signal).expect("a process of ours takes signals");
    }

    async fn tell(&mut self, order: &str) {
        let line = format!("{order}\n");
        self.orders.write_all(line.as_bytes()).await.expect("the helper reads its orders");
    }

    /// Panics if the next answer is not this.
    pub(crate) async fn expect(&mut self, expected: &str) {
        assert_eq!(self.answer().await, expected, "the helper's answer");
    }

    async fn answer(&mut self) -> String {
        let line = within("an answer of the helper", self.answers.next_line()).await;
        line.expect("the helper writes lines").expect("the helper has not ended")
    }
}

fn lock_order(mode: Mode, keys: &[&Key], ttl: Duration, hold: Duration) -> String {
    let keys: Vec<_> = keys.iter().map(|key| key.as_str()).collect();
    format!("lock {} {} {} {}", spell(mode), ttl.as_millis(), hold.as_millis(), keys.join(" "))
}

/// A mode in one word: how many permits, 0 for exclusive, `s` for shared.
fn spell(mode: Mode) -> String {
    match mode {
        Mode::Shared => "s".to_owned(),
        Mode::Permit { of } => of.to_string(),
        _ => "0".to_owned(),
    }
}

fn mode(word: &str) -> Mode {
    match word {
        "s" => Mode::Shared,
        "0" => Mode::Exclusive,
        of => Mode::permit_of(number(of)).expect("not zero"),
    }
}

fn number<T: std::str::FromStr>(word: &str) -> T {
    word.parse().unwrap_or_else(|_| panic!("{word:?} is not a number"))
}

/// The store's address, in a helper process.
pub(crate) fn address() -> Option<String> {
    std::env::var(ADDRESS).ok()
}

/// The whole `main` of a helper process.
pub(crate) async fn serve(subject: Arc<dyn Subject>) -> ExitCode {
    let mut orders = orders();
    let queue = Queue::default();
    let client = subject.client().await.expect("a client in the helper process");
    let locks = Locker::new(queue.over(client.clone()));
    let mut worker = Worker { client, locks, queue, waits: 0, guard: None };
    say("ready");
    while let Some(order) = orders.recv().await {
        worker.follow(&order).await;
    }
    ExitCode::SUCCESS
}

/// The orders as they come. The process ends with its input, whatever it is doing then, and with its parent even
/// where it is stopped.
fn orders() -> mpsc::UnboundedReceiver<String> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .expect("a process may ask to end with its parent");
    let (sender, orders) = mpsc::unbounded_channel();
    let read = move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
        std::process::exit(0);
    };
    let _ = std::thread::Builder::new().name("orders".into()).spawn(read).expect("a thread to read orders");
    orders
}

fn say(answer: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{answer}").and_then(|()| out.flush());
}

/// What a helper process has in hand.
struct Worker {
    client: Client,
    locks: Locker,
    queue: Queue,
    /// How many claims have been queued before this one.
    waits: usize,
    guard: Option<Guard>,
}

impl Worker {
    async fn follow(&mut self, order: &str) {
        let words: Vec<_> = order.split(' ').collect();
        match words[..] {
            ["lock", spelt, ttl, hold, ref keys @ ..] => {
                let lock = in_mode(self.locks.lock(keys), mode(spelt));
                self.take(lock.ttl(millis(ttl)).hold_at_least(millis(hold))).await;
            }
            ["count", spelt, key, rounds, file] => {
                self.count(mode(spelt), key, number(rounds), Path::new(file)).await;
            }
            ["meddle", spelt, key] => self.meddle(mode(spelt), key).await,
            ["is_held"] => say(self.guard().is_held()),
            ["lost"] => {
                self.guard().lost().await;
                say("lost");
            }
            ["release"] => match self.guard.take().expect("something is held").release().await {
                Err(error) if error.kind() != ErrorKind::Unavailable => {
                    say(format_args!("{:?}", error.kind()))
                }
                _ => {
                    self.locks.close().await;
                    say("released");
                }
            },
            ["close"] => {
                self.guard = None;
                self.locks.close().await;
                say("closed");
            }
            _ => panic!("no such order: {order:?}"),
        }
    }

    fn guard(&self) -> &Guard {
        self.guard.as_ref().expect("something is held")
    }

    /// Waits for a lock, and says so when it is queued.
    async fn take(&mut self, lock: Lock) {
        let queued = self.queue.clone();
        let before = self.waits;
        let mut acquire = std::pin::pin!(lock.acquire());
        let guard = tokio::select! {
            guard = &mut acquire => guard,
            () = queued.has(before + 1) => {
                say("waiting");
                self.waits += 1;
                acquire.await
            }
        };
        match guard {
            Ok(guard) => {
                say(format_args!("held {}", guard.token()));
                self.guard = Some(guard);
            }
            Err(error) => say(format_args!("{:?}", error.kind())),
        }
    }

    /// Tries to renew, release and take a key by a claim that does not hold it.
    async fn meddle(&self, mode: Mode, key: &str) {
        let claim = Claim::new(key, mode, LONG).expect("a valid claim");
        let told = |ownership| match ownership {
            Ok(Ownership::Lost) => "lost".to_owned(),
            other => format!("{other:?}"),
        };
        let renewed = told(renew(&self.client, &claim).await);
        let released = told(self.client.release(&claim, AT_ONCE).await);
        let taken = match self.client.acquire(&claim).await {
            Ok(Attempt::Busy(_)) => "busy".to_owned(),
            other => format!("{other:?}"),
        };
        say(format_args!("{renewed}, {released}, {taken}"));
    }

    /// Adds one to the number in a file, so many times, reading and writing it under the lock.
    async fn count(&self, mode: Mode, key: &str, rounds: u32, file: &Path) {
        for _ in 0..rounds {
            let lock = in_mode(self.locks.lock(key).ttl(LONG), mode);
            let guard = lock.acquire().await.expect("granted in the end");
            let read: u64 = number(&std::fs::read_to_string(file).expect("the file of the case"));
            tokio::task::yield_now().await;
            std::fs::write(file, (read + 1).to_string()).expect("the file of the case");
            let_go(guard).await;
        }
        say("counted");
    }
}

fn millis(word: &str) -> Duration {
    Duration::from_millis(number(word))
}
