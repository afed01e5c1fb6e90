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
        let shared =
            Arc::new(Shared { turns: self.turns, taken: AtomicUsize::new(0), enough: Notify::new() });
        let before = Meter::read(bench).await;
        let process = u64::from(std::process::id()) << 32;
        let start = |(contender, n)| {
            tokio::spawn(take(contender, process + n, self.hold, shared.clone(), stopped.clone()))
        };
        let tasks: Vec<_> = ready.contenders.into_iter().zip(0..).map(start).collect();
        let _ = timeout(self.limit, shared.enough.notified()).await;
        // Before those who still wait give up, which costs something, too.
        let used = Meter::read(bench).await.since(&before);
        let counted = shared.taken.load(Ordering::Relaxed);
        stop.send_replace(true);
        let mut turns = Vec::new();
        for task in tasks {
            turns.extend(task.await?);
        }
        turns.sort_unstable();
        for client in ready.clients {
            client.close().await;
        }
        Ok(Run { turns, counted, used })
    }
}

pub(super) struct Run {
    /// By when they began.
    pub(super) turns: Vec<Turn>,
    /// How many of them there were when it was read what they took.
    pub(super) counted: usize,
    pub(super) used: Used,
}

struct Shared {
    turns: usize,
    taken: AtomicUsize,
    enough: Notify,
}

/// Takes turns; steps aside after each, so that the other contenders go first.
async fn take(
    mut contender: Box<dyn Contender>,
    who: u64,
    hold: Duration,
    shared: Arc<Shared>,
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
        if !hold.is_zero() {
            sleep(hold).await;
        }
        let released = now();
        contender.give().await;
        taken.push(Turn { got, released, asked, who });
        if shared.taken.fetch_add(1, Ordering::Relaxed) + 1 == shared.turns {
            shared.enough.notify_one();
        }
        tokio::task::yield_now().await;
    }
}
