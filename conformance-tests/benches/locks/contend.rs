//! Hand-over: from a holder's call to release until the next holder's acquire returns.

use std::process::Stdio;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lock_core::{Locker, Result};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::sleep;

use crate::sqlite::Bare;
use crate::stats::{now, percentile};
use crate::store::{Counting, Counts, Store};

const HOLD: Duration = Duration::from_millis(2);
const TURNS: usize = 200;

/// How often the bare driver looks, which nobody wakes.
const POLL: Duration = Duration::from_millis(1);

type Failure = Box<dyn std::error::Error>;

/// Whose locks are contended for.
#[derive(Clone)]
enum Side {
    Ours(Locker),
    Bare(Bare),
}

/// One turn as the holder.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    /// The token, or whatever else grows with each turn.
    order: u64,
    who: u64,
    got: u64,
    /// When it called release.
    released: u64,
    /// How often the bare driver looked before it had the lock.
    looks: u64,
}

/// Takes turns; steps aside after each, so that the other contenders go first.
async fn ours(locks: &Locker, key: &str, who: u64, turns: usize) -> Result<Vec<Turn>> {
    let mut taken = Vec::with_capacity(turns);
    for _ in 0..turns {
        let guard = locks.lock(key).acquire().await?;
        let got = now();
        sleep(HOLD).await;
        let turn = Turn { order: guard.token().get(), who, got, released: now(), looks: 0 };
        guard.release().await?;
        taken.push(turn);
        tokio::task::yield_now().await;
    }
    Ok(taken)
}

/// The same on a thread, whose sleeps are as long as they say.
fn bare(bare: &Bare, key: &str, who: u64, turns: usize) -> Vec<Turn> {
    let turn = |_| {
        let mut looks = 1;
        while !bare.take(key) {
            looks += 1;
            thread::sleep(POLL);
        }
        let got = now();
        thread::sleep(HOLD);
        let released = now();
        bare.give(key);
        // Nothing else lets the others look first.
        thread::sleep(2 * POLL);
        Turn { order: got, who, got, released, looks }
    };
    (0..turns).map(turn).collect()
}

impl Side {
    async fn contend(self, key: String, who: u64, turns: usize) -> Result<Vec<Turn>> {
        match self {
            Self::Ours(locks) => ours(&locks, &key, who, turns).await,
            Self::Bare(driver) => {
                let contend = move || bare(&driver, &key, who, turns);
                Ok(tokio::task::spawn_blocking(contend).await.expect("no panic"))
            }
        }
    }

    /// All turns of this process's part of the contenders.
    async fn run(&self, key: &str, part: usize, contenders: usize) -> Result<Vec<Turn>> {
        let process = u64::from(std::process::id()) << 32;
        let turns = TURNS * 2 / contenders.max(2);
        let contend = |n| tokio::spawn(self.clone().contend(key.to_owned(), process + n, turns));
        let tasks: Vec<_> = (0..part as u64).map(contend).collect();
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await.expect("no panic")?);
        }
        Ok(all)
    }
}

/// How long from a release to the next holder's acquire: the middle one, and one of a hundred.
fn gaps(mut turns: Vec<Turn>) -> (f64, f64) {
    turns.sort_unstable();
    // The last turns are left out: contenders have gone home, and nobody waits.
    turns.truncate(turns.len() * 9 / 10);
    // Who takes what it has just released hands nothing over.
    let handed = turns.windows(2).filter(|pair| pair[0].who != pair[1].who);
    let mut gaps: Vec<_> = handed.map(|pair| pair[1].got.saturating_sub(pair[0].released)).collect();
    [0.5, 0.99].map(|share| percentile(&mut gaps, share).as_secs_f64() * 1e6).into()
}

pub(crate) async fn within(store: &Store, contenders: usize) -> Result<()> {
    let locks = Side::Ours(Locker::new(store.client().await?));
    let (p50, p99) = gaps(locks.run("within", contenders, contenders).await?);
    println!("hand-over, {contenders} contenders in a process: p50 {p50:.0} µs, p99 {p99:.0} µs");
    Ok(())
}

/// Two processes, half of the contenders each; the bare driver beside.
pub(crate) async fn between(store: &Store, url: &str, contenders: usize) -> std::result::Result<(), Failure> {
    let ours = Side::Ours(Locker::new(store.client().await?));
    let (p50, p99) = gaps(with_child(&ours, url, contenders).await?);
    print!("hand-over, {contenders} contenders in two processes: p50 {p50:.0} µs, p99 {p99:.0} µs");
    if let Some(bare) = store.bare() {
        let turns = with_child(&Side::Bare(bare), url, contenders).await?;
        let looks = turns.iter().map(|turn| turn.looks).sum::<u64>() as f64 / turns.len() as f64;
        let (bare50, bare99) = gaps(turns);
        print!("; bare, polling each ms, p50 {bare50:.0} µs, p99 {bare99:.0} µs, {looks:.1} looks a turn");
        print!("; {:.2}× bare", p50 / bare50);
    }
    println!();
    Ok(())
}

async fn with_child(side: &Side, url: &str, contenders: usize) -> std::result::Result<Vec<Turn>, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--backend", url, "--contend", &contenders.to_string()]);
    if matches!(side, Side::Bare(_)) {
        command.arg("--bare");
    }
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("a piped output")?).lines();
    lines.next_line().await?; // it is there
    let mut turns = side.run("between", contenders / 2, contenders).await?;
    while let Some(line) = lines.next_line().await? {
        let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<std::result::Result<_, _>>()?;
        let [order, who, got, released, looks] = numbers[..] else {
            return Err("five numbers a turn".into());
        };
        turns.push(Turn { order, who, got, released, looks });
    }
    match child.wait().await?.success() {
        true => Ok(turns),
        false => Err("the other process failed".into()),
    }
}

/// The other process of [`between`].
pub(crate) async fn child(store: &Store, contenders: usize, bare: bool) -> std::result::Result<(), Failure> {
    let side = match bare {
        true => Side::Bare(store.bare().ok_or("no bare driver for this store")?),
        false => Side::Ours(Locker::new(store.client().await?)),
    };
    println!("ready");
    for Turn { order, who, got, released, looks } in side.run("between", contenders / 2, contenders).await? {
        println!("{order} {who} {got} {released} {looks}");
    }
    Ok(())
}

/// Store operations for each hand-over, at a ttl so long that none of them keeps a place.
pub(crate) async fn operations(store: &Store, waiters: usize) -> Result<()> {
    let counts = Arc::new(Counts::default());
    let locks = Locker::new(Counting { inner: store.client().await?, counts: counts.clone() });
    let locks = locks.with_ttl(Duration::from_secs(3600));
    let first = locks.lock("operations").acquire().await?;
    let tasks: Vec<_> = (0..waiters)
        .map(|_| {
            let locks = locks.clone();
            tokio::spawn(async move { locks.lock("operations").acquire().await?.release().await })
        })
        .collect();
    while counts.acquire.load(std::sync::atomic::Ordering::Relaxed) < waiters + 1 {
        sleep(Duration::from_millis(1)).await;
    }
    let queued = counts.all();
    first.release().await?;
    for task in tasks {
        task.await.expect("no panic")?;
    }
    // Queueing is one look each, before the count begins; each hand-over is then a release and a look.
    let each = (counts.all() - queued) as f64 / waiters as f64;
    println!("store operations per hand-over, {waiters} waiters: {each:.2}, and 1 to queue");
    Ok(())
}
