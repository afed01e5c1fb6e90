//! Contenders take turns with one lock, until there have been enough.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::Bench;
use super::meter::{Meter, Used};
use super::stats::now;
use crate::rival::{Client, Contender, Failure};

pub(super) struct Contest {
    pub(super) key: String,
    pub(super) contenders: usize,
    /// In how many independent clients they are, at most.
    pub(super) clients: usize,
    pub(super) turns: usize,
    pub(super) hold: Duration,
    pub(super) limit: Duration,
    /// Whether who had a turn lets somebody else have one before it asks again.
    pub(super) aside: bool,
}

/// One turn as the holder.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    pub(super) got: u64,
    /// When it called release.
    pub(super) released: u64,
    /// When it began to wait.
    pub(super) asked: u64,
    pub(super) who: u64,
}

/// Contenders, connected.
pub(super) struct Ready {
    contenders: Vec<Box<dyn Contender>>,
    clients: Vec<Arc<dyn Client>>,
}

/// What there was once everybody had had a turn, and so whatever has to be made is there and everybody waits.
pub(super) struct Run {
    /// By when they began.
    pub(super) turns: Vec<Turn>,
    /// From when to when it was watched.
    pub(super) watched: RangeInclusive<u64>,
    /// How many turns there were meanwhile, and what they took.
    pub(super) counted: usize,
    pub(super) used: Used,
    clients: Vec<Arc<dyn Client>>,
}

impl Run {
    /// The turns that began while it was watched.
    pub(super) fn seen(&self) -> Vec<Turn> {
        self.turns.iter().filter(|turn| self.watched.contains(&turn.got)).copied().collect()
    }

    pub(super) async fn close(&self) {
        for client in &self.clients {
            client.close().await;
        }
    }
}

impl Contest {
    /// Contenders of this process.
    pub(super) async fn ready(&self, bench: &Bench<'_>) -> Result<Ready, Failure> {
        let count = self.clients.min(self.contenders);
        let (mut clients, mut contenders) = (Vec::new(), Vec::new());
        for n in 0..count {
            let users = self.contenders / count + usize::from(n < self.contenders % count);
            let client = bench.rival.client(users).await?;
            contenders.extend(join_all((0..users).map(|_| client.contender(&self.key))).await);
            clients.push(client);
        }
        Ok(Ready { contenders, clients })
    }

    /// Lets them take turns, for a while until everybody has had one, and then for as many as are wanted.
    pub(super) async fn run(&self, bench: &Bench<'_>, ready: Ready) -> Result<Run, Failure> {
        let (stop, stopped) = watch::channel(false);
        let process = u64::from(std::process::id()) << 32;
        let shared = Arc::new(Shared::new(self));
        let start =
            |(contender, n)| tokio::spawn(shared.clone().take_turns(contender, process + n, stopped.clone()));
        let tasks: Vec<_> = ready.contenders.into_iter().zip(0..).map(start).collect();
        // Who polls may not be let in for long.
        let _ = timeout(self.limit, shared.warm.notified()).await;
        let (before, first, from) = (Meter::read(bench).await, shared.taken(), now());
        shared.suffice.store(first + self.turns, Ordering::Relaxed);
        let _ = timeout(self.limit, shared.enough.notified()).await;
        // Before those who still wait give up, which costs something, too.
        let (until, counted) = (now(), shared.taken() - first);
        let used = Meter::read(bench).await.since(&before);
        stop.send_replace(true);
        let mut turns = Vec::new();
        for task in tasks {
            turns.extend(task.await?);
        }
        turns.sort_unstable();
        Ok(Run { turns, watched: from..=until, counted, used, clients: ready.clients })
    }
}

/// What contenders share.
struct Shared {
    hold: Duration,
    /// How many have not had a turn.
    cold: AtomicUsize,
    warm: Notify,
    /// So many turns are enough.
    suffice: AtomicUsize,
    enough: Notify,
    taken: AtomicUsize,
    /// How many turns have begun, where whoever had one waits for the next to begin before it asks again.
    begun: Option<watch::Sender<usize>>,
    /// Whether there is nobody else here who could have it.
    alone: bool,
}

impl Shared {
    fn new(contest: &Contest) -> Self {
        Self {
            hold: contest.hold,
            cold: AtomicUsize::new(contest.contenders),
            warm: Notify::new(),
            suffice: AtomicUsize::new(usize::MAX),
            enough: Notify::new(),
            taken: AtomicUsize::new(0),
            begun: contest.aside.then(|| watch::channel(0).0),
            alone: contest.contenders == 1,
        }
    }

    fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    async fn take_turns(
        self: Arc<Self>,
        mut contender: Box<dyn Contender>,
        who: u64,
        mut stopped: watch::Receiver<bool>,
    ) -> Vec<Turn> {
        let mut taken = Vec::new();
        loop {
            let asked = now();
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => return taken,
                () = contender.take() => {}
            }
            let got = now();
            if let Some(begun) = &self.begun {
                begun.send_modify(|turns| *turns += 1);
            }
            if !self.hold.is_zero() {
                sleep(self.hold).await;
            }
            let released = now();
            contender.give().await;
            taken.push(Turn { got, released, asked, who });
            let turns = self.turn_ends(taken.len() == 1);
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return taken,
                () = self.step_aside(turns) => {}
            }
        }
    }

    /// Counts it, and answers how many there were.
    fn turn_ends(&self, first: bool) -> usize {
        let turns = self.taken.fetch_add(1, Ordering::Relaxed) + 1;
        if first && self.cold.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.warm.notify_one();
        }
        if turns >= self.suffice.load(Ordering::Relaxed) {
            self.enough.notify_one();
        }
        turns
    }

    /// Lets others go first. Without it a lock that is polled for stays with whoever has it.
    async fn step_aside(&self, turns: usize) {
        match &self.begun {
            None => tokio::task::yield_now().await,
            Some(_) if self.alone => sleep(self.hold / 2).await,
            Some(begun) => drop(begun.subscribe().wait_for(|begun| *begun > turns).await),
        }
    }
}
