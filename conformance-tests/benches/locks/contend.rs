//! Hand-over: from a holder's call to release until the next holder's acquire returns.

use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{Guard, Locker, Result};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::sleep;

use crate::stats::{now, percentile};
use crate::store::{Bare, Contender, Store};

const HOLD: Duration = Duration::from_millis(2);
const TURNS: usize = 400;

pub(crate) type Failure = Box<dyn std::error::Error>;

/// Where the contenders are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// All are one client.
    OneClient,
    /// Each is a client of its own.
    ClientEach,
    /// Half of them in a process of their own, which is one client.
    TwoProcesses,
}

/// A contender by this library.
struct Ours {
    locks: Locker,
    key: String,
    guard: Option<Guard>,
}

#[async_trait]
impl Contender for Ours {
    async fn take(&mut self) -> (u64, u64) {
        let guard = self.locks.lock(&*self.key).acquire().await.expect("it comes to everybody");
        (self.guard.insert(guard).token().get(), 1)
    }

    async fn give(&mut self) {
        let guard = self.guard.take().expect("it was taken");
        guard.release().await.expect("a release");
    }
}

/// Contenders of this process, connected.
pub(crate) async fn contenders(
    store: &dyn Store,
    bare: Option<&dyn Bare>,
    layout: Layout,
    count: usize,
) -> Result<Vec<Box<dyn Contender>>> {
    const KEY: &str = "contended";
    let mut all: Vec<Box<dyn Contender>> = Vec::with_capacity(count);
    let one = Locker::new(store.client().await?);
    for _ in 0..count {
        all.push(match (bare, layout) {
            (Some(bare), _) => bare.contender(KEY).await,
            (None, Layout::ClientEach) => {
                let locks = Locker::new(store.client().await?);
                Box::new(Ours { locks, key: KEY.into(), guard: None })
            }
            (None, _) => Box::new(Ours { locks: one.clone(), key: KEY.into(), guard: None }),
        });
    }
    if let Some(bare) = bare {
        bare.free(KEY).await;
    }
    Ok(all)
}

/// One turn as the holder.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    got: u64,
    /// When it called release.
    released: u64,
    who: u64,
    /// The token, or whatever else grows with each turn.
    order: u64,
    /// How often it looked before it had the lock.
    looks: u64,
}

/// Takes turns; steps aside after each, so that the other contenders go first.
async fn contend(mut contender: Box<dyn Contender>, who: u64, turns: usize) -> Vec<Turn> {
    let mut taken = Vec::with_capacity(turns);
    for _ in 0..turns {
        let (order, looks) = contender.take().await;
        let got = now();
        sleep(HOLD).await;
        let released = now();
        contender.give().await;
        taken.push(Turn { got, released, who, order, looks });
        tokio::task::yield_now().await;
    }
    taken
}

/// All turns of this process's contenders.
async fn run(contenders: Vec<Box<dyn Contender>>, turns: usize) -> Vec<Turn> {
    let process = u64::from(std::process::id()) << 32;
    let start = |(contender, n)| tokio::spawn(contend(contender, process + n, turns));
    let tasks: Vec<_> = contenders.into_iter().zip(0..).map(start).collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.expect("no panic"));
    }
    all
}

/// What the turns of a few rounds say.
#[derive(Default)]
struct Gaps {
    gaps: Vec<u64>,
    looks: Vec<u64>,
    /// Turns before which somebody had one who came later.
    disordered: usize,
}

impl Gaps {
    fn add(&mut self, mut turns: Vec<Turn>) {
        turns.sort_unstable();
        // The first turns make connections, and in the last ones contenders have gone home.
        let turns = &turns[turns.len() / 10..turns.len() * 9 / 10];
        for pair in turns.windows(2) {
            // Who takes what it has just released hands nothing over.
            if pair[0].who != pair[1].who {
                self.gaps.push(pair[1].got.saturating_sub(pair[0].released));
            }
            self.disordered += usize::from(pair[1].order < pair[0].order);
        }
        self.looks.extend(turns.iter().map(|turn| turn.looks));
    }

    fn middle_and_tail(&mut self) -> (f64, f64) {
        [0.5, 0.99].map(|share| percentile(&mut self.gaps, share).as_secs_f64() * 1e6).into()
    }
}

pub(crate) async fn hand_over(
    store: &dyn Store,
    layout: Layout,
    count: usize,
    rounds: usize,
) -> std::result::Result<(), Failure> {
    let bare = store.bare().await;
    let (mut ours, mut theirs) = (Gaps::default(), Gaps::default());
    for _ in 0..rounds {
        ours.add(round(store, None, layout, count).await?);
        if let Some(bare) = &bare {
            theirs.add(round(store, Some(&**bare), layout, count).await?);
        }
    }
    let (p50, p99) = ours.middle_and_tail();
    let out_of_order = ours.disordered;
    print!(
        "hand-over, {count} contenders, {layout:?}: p50 {p50:.0} µs, p99 {p99:.0} µs, {out_of_order} out of order"
    );
    if let Some(bare) = bare {
        let (bare50, bare99) = theirs.middle_and_tail();
        let looks = theirs.looks.iter().sum::<u64>() as f64 / theirs.looks.len() as f64;
        print!("; bare, {}, p50 {bare50:.0} µs, p99 {bare99:.0} µs, {looks:.1} looks a turn", bare.waits());
        print!("; {:.2}× bare", p50 / bare50);
    }
    println!();
    Ok(())
}

async fn round(
    store: &dyn Store,
    bare: Option<&dyn Bare>,
    layout: Layout,
    count: usize,
) -> std::result::Result<Vec<Turn>, Failure> {
    let turns = TURNS / count;
    let (Layout::TwoProcesses, Some(url)) = (layout, store.url()) else {
        return Ok(run(contenders(store, bare, layout, count).await?, turns).await);
    };
    let here = contenders(store, bare, layout, count / 2).await?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--backend", url, "--contend", &count.to_string()]);
    if bare.is_some() {
        command.arg("--bare");
    }
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("a piped output")?).lines();
    lines.next_line().await?; // it is there
    let mut all = run(here, turns).await;
    while let Some(line) = lines.next_line().await? {
        let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<std::result::Result<_, _>>()?;
        let [got, released, who, order, looks] = numbers[..] else {
            return Err("five numbers a line".into());
        };
        all.push(Turn { got, released, who, order, looks });
    }
    if !child.wait().await?.success() {
        return Err("the other process failed".into());
    }
    Ok(all)
}

/// The other process's half.
pub(crate) async fn child(store: &dyn Store, count: usize, bare: bool) -> std::result::Result<(), Failure> {
    let bare = if bare { store.bare().await } else { None };
    let here = contenders(store, bare.as_deref(), Layout::TwoProcesses, count / 2).await?;
    println!("ready");
    for Turn { got, released, who, order, looks } in run(here, TURNS / count).await {
        println!("{got} {released} {who} {order} {looks}");
    }
    Ok(())
}
