//! Contenders take turns with one lock, until there have been enough.

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

/// The longest that it may take until everybody has had the first turn.
const WARM: Duration = Duration::from_secs(10);

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

/// Contenders who have had a turn each, so that whatever has to be made is there.
pub(super) struct Ready {
    contenders: Vec<Box<dyn Contender>>,
    clients: Vec<Arc<dyn Client>>,
}

impl Contest {
    /// Contenders of this process.
    pub(super) async fn ready(&self, bench: &Bench<'_>) -> Result<Ready, Failure> {
        let clients = self.clients.min(self.contenders);
        let (mut all, mut contenders) = (Vec::new(), Vec::new());
        for n in 0..clients {
            let users = self.contenders / clients + usize::from(n < self.contenders % clients);
            let client = bench.rival.client(users).await?;
            contenders.extend(join_all((0..users).map(|_| client.contender(&self.key))).await);
            all.push(client);
        }
        let first = contenders.into_iter().map(|mut contender| {
            tokio::spawn(async move {
                contender.take().await;
                contender.give().await;
                contender
            })
        });
        let first = join_all(first.collect::<Vec<_>>());
        let first =
            timeout(WARM, first).await.map_err(|_| format!("not everybody had a turn in {WARM:?}"))?;
        Ok(Ready { contenders: first.into_iter().collect::<Result<_, _>>()?, clients: all })
    }

    /// The turns of this process's contenders, and what they took.
    pub(super) async fn run(&self, bench: &Bench<'_>, ready: Ready) -> Result<Run, Failure> {
        let (stop, stopped) = watch::channel(false);
        // At first everybody asks at once, which takes as long as some turns do.
        let warm = self.turns / 10 + self.contenders / 8;
        let process = u64::from(std::process::id()) << 32;
        let shared = Arc::new(Shared::new(self, warm));
        let start =
            |(contender, n)| tokio::spawn(shared.clone().take_turns(contender, process + n, stopped.clone()));
        let tasks: Vec<_> = ready.contenders.into_iter().zip(0..).map(start).collect();
        let _ = timeout(self.limit / 3, shared.warm.notified()).await;
        let first = shared.taken();
        let before = Meter::read(bench).await;
        let _ = timeout(self.limit, shared.enough.notified()).await;
        // Before those who still wait give up, which costs something, too.
        let used = Meter::read(bench).await.since(&before);
        let counted = shared.taken() - first;
        stop.send_replace(true);
        let mut turns = Vec::new();
        for task in tasks {
            turns.extend(task.await?);
        }
        turns.sort_unstable();
        let warm = warm.min(turns.len() / 3);
        let turns = turns.into_iter().skip(warm).take(self.turns).collect();
        for client in ready.clients {
            client.close().await;
        }
        Ok(Run { turns, counted, used })
    }
}

pub(super) struct Run {
    /// By when they began; without the first ones.
    pub(super) turns: Vec<Turn>,
    /// How many turns there were while it was read what they took.
    pub(super) counted: usize,
    pub(super) used: Used,
}

/// What contenders share.
struct Shared {
    hold: Duration,
    /// After so many turns everybody waits who is to wait.
    warms: usize,
    warm: Notify,
    /// So many turns are enough.
    suffice: usize,
    enough: Notify,
    taken: AtomicUsize,
    /// How many turns have begun, where whoever had one waits for the next to begin before it asks again.
    begun: Option<watch::Sender<usize>>,
    /// Whether there is nobody else here who could have it.
    alone: bool,
}

impl Shared {
    fn new(contest: &Contest, warms: usize) -> Self {
        Self {
            hold: contest.hold,
            warms,
            warm: Notify::new(),
            suffice: warms + contest.turns,
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
            let turns = self.taken.fetch_add(1, Ordering::Relaxed) + 1;
            if turns == self.warms {
                self.warm.notify_one();
            }
            if turns == self.suffice {
                self.enough.notify_one();
            }
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return taken,
                () = self.step_aside(turns) => {}
            }
        }
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
