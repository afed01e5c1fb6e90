//! Hand-over: from a holder's call to release until the next holder's acquire returns.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{Locker, Result};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::stats::{now, percentile};
use crate::store::{Counting, Counts, Store};

const HOLD: Duration = Duration::from_millis(2);
const TURNS: usize = 200;

/// One turn as the holder: its token, when it got the lock, and when it called release.
type Turn = (u64, u64, u64);

/// Takes turns; steps aside after each, so that the other contenders go first.
async fn contend(locks: &Locker, key: &str, turns: usize) -> Result<Vec<Turn>> {
    let mut taken = Vec::with_capacity(turns);
    for _ in 0..turns {
        let guard = locks.lock(key).acquire().await?;
        let got = now();
        tokio::time::sleep(HOLD).await;
        let (token, released) = (guard.token().get(), now());
        guard.release().await?;
        taken.push((token, got, released));
        tokio::task::yield_now().await;
    }
    Ok(taken)
}

fn report(what: &str, mut turns: Vec<Turn>) {
    turns.sort_unstable();
    // The last turns are left out: contenders have gone home, and nobody waits.
    turns.truncate(turns.len() * 9 / 10);
    let mut gaps: Vec<_> = turns.windows(2).map(|pair| pair[1].1.saturating_sub(pair[0].2)).collect();
    let (p50, p99) = (percentile(&mut gaps, 0.5), percentile(&mut gaps, 0.99));
    println!(
        "hand-over, {what}: p50 {:.0} µs, p99 {:.0} µs",
        p50.as_secs_f64() * 1e6,
        p99.as_secs_f64() * 1e6
    );
}

pub(crate) async fn within(store: &Store, contenders: usize) -> Result<()> {
    let locks = Locker::new(store.client().await?);
    let turns = run(&locks, "within", contenders, TURNS * 2 / contenders.max(2)).await?;
    report(&format!("{contenders} contenders in a process"), turns);
    Ok(())
}

async fn run(locks: &Locker, key: &'static str, contenders: usize, turns: usize) -> Result<Vec<Turn>> {
    let contender = |_| {
        let locks = locks.clone();
        tokio::spawn(async move { contend(&locks, key, turns).await })
    };
    let tasks: Vec<_> = (0..contenders).map(contender).collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.expect("no panic")?);
    }
    Ok(all)
}

/// Two processes, one contender each.
pub(crate) async fn between(store: &Store, url: &str) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--backend", url, "--contend", "between"]).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("a piped output")?).lines();
    lines.next_line().await?; // it is there
    let locks = Locker::new(store.client().await?);
    let mut turns = contend(&locks, "between", TURNS).await?;
    while let Some(line) = lines.next_line().await? {
        let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<std::result::Result<_, _>>()?;
        turns.push((numbers[0], numbers[1], numbers[2]));
    }
    child.wait().await?;
    report("2 contenders in two processes", turns);
    Ok(())
}

/// The other process of [`between`].
pub(crate) async fn child(store: &Store, key: &str) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let locks = Locker::new(store.client().await?);
    println!("ready");
    for (token, got, released) in contend(&locks, key, TURNS).await? {
        println!("{token} {got} {released}");
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
        tokio::time::sleep(Duration::from_millis(1)).await;
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
