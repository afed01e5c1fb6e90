//! Contenders take turns with one lock, until there have been enough.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use super::Bench;
use super::meter::{Meter, Used};
use super::process::Server;
use super::stats::now;
use crate::rival::{Client, Contender, Failure};

/// The longest that those are waited for who still wait when it is over.
const PATIENCE: Duration = Duration::from_secs(10);

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
        let process = u64::from(std::process::id()) << 32;
        let shared = Arc::new(Shared::new(self));
        let start = |(contender, n)| shared.clone().take_turns(contender, process + n);
        let mut tasks: JoinSet<_> = ready.contenders.into_iter().zip(0..).map(start).collect();
        // Who polls may not be let in for long.
        let _ = timeout(self.limit, shared.warm.notified()).await;
        let server = Server::at(bench.store.url());
        let (before, first, from) = (Meter::read(bench, server.as_ref()).await, shared.taken(), now());
        shared.suffice.store(first + self.turns, Ordering::Relaxed);
        let _ = timeout(self.limit, shared.enough.notified()).await;
        let used = Meter::read(bench, server.as_ref()).await.since(&before);
        let (counted, until) = (shared.taken() - first, now());
        shared.over.send_replace(true);
        // Who waits has its turn: etcd's Lock RPC, for one, serves nobody any more after hundreds gave up at once.
        let all = async {
            while tasks.join_next().await.transpose()?.is_some() {}
            Ok(())
        };
        timeout(PATIENCE, all).await.unwrap_or(Ok::<_, JoinError>(()))?;
        let mut turns = std::mem::take(&mut *shared.turns.lock().unwrap_or_else(PoisonError::into_inner));
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
    over: watch::Sender<bool>,
    taken: AtomicUsize,
    turns: Mutex<Vec<Turn>>,
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
            over: watch::channel(false).0,
            taken: AtomicUsize::new(0),
            turns: Mutex::default(),
            begun: contest.aside.then(|| watch::channel(0).0),
            alone: contest.contenders == 1,
        }
    }

    fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    async fn take_turns(self: Arc<Self>, mut contender: Box<dyn Contender>, who: u64) {
        let mut over = self.over.subscribe();
        let mut first = true;
        while !*over.borrow() {
            let asked = now();
            contender.take().await;
            let got = now();
            if let Some(begun) = &self.begun {
                begun.send_modify(|turns| *turns += 1);
            }
            if !self.hold.is_zero() && !*over.borrow() {
                sleep(self.hold).await;
            }
            let released = now();
            contender.give().await;
            let turns = self.turn_ends(Turn { got, released, asked, who }, first);
            first = false;
            tokio::select! {
                _ = over.wait_for(|over| *over) => return,
                () = self.step_aside(turns) => {}
            }
        }
    }

    /// Counts it, and answers how many there were.
    fn turn_ends(&self, turn: Turn, first: bool) -> usize {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).push(turn);
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
