//! Acquire and release of free locks: how long one takes, and how many go in a second.

use std::time::{Duration, Instant};

use lock_core::{Locker, Result};

use crate::stats::{connections, median, now, percentile};
use crate::store::Store;

const PAIRS: usize = 3_000;
const TASKS: usize = 64;

pub(crate) async fn latency(store: &dyn Store, rounds: usize) -> Result<()> {
    let locks = Locker::new(store.client().await?);
    let bare = store.bare().await;
    let (mut ours, mut theirs) = (Times::default(), Times::default());
    for _ in 0..rounds {
        if let Some(bare) = &bare {
            let mut times = Vec::with_capacity(PAIRS);
            for _ in 0..PAIRS {
                let start = now();
                bare.pair("bare/pair").await;
                times.push(now() - start);
            }
            theirs.add(times);
        }
        let mut times = Vec::with_capacity(PAIRS);
        for _ in 0..PAIRS {
            let start = now();
            locks.lock("pair").acquire().await?.release().await?;
            times.push(now() - start);
        }
        ours.add(times);
    }
    let (p50, p99) = ours.medians();
    print!("pair, one task, {}: p50 {p50:.1} µs, p99 {p99:.1} µs", store.name());
    if bare.is_some() {
        let (bare50, bare99) = theirs.medians();
        print!("; bare p50 {bare50:.1} µs, p99 {bare99:.1} µs; {:.2}× bare", p50 / bare50);
    }
    println!();
    Ok(())
}

/// What each round's times say, in microseconds.
#[derive(Default)]
struct Times {
    middles: Vec<f64>,
    tails: Vec<f64>,
}

impl Times {
    fn add(&mut self, mut times: Vec<u64>) {
        self.middles.push(percentile(&mut times, 0.5).as_secs_f64() * 1e6);
        self.tails.push(percentile(&mut times, 0.99).as_secs_f64() * 1e6);
    }

    fn medians(self) -> (f64, f64) {
        (median(self.middles), median(self.tails))
    }
}

pub(crate) async fn throughput(store: &dyn Store, rounds: usize) -> Result<()> {
    let open = || connections(store.file());
    let opened = open();
    let locks = Locker::new(store.client().await?);
    let (mut bare, mut used) = (None, None);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let locks = locks.clone();
        let pair = move |key: String| {
            let locks = locks.clone();
            async move {
                let guard = locks.lock(key).acquire().await.expect("a free lock");
                guard.release().await.expect("a release");
            }
        };
        ours.push(rate(pair).await);
        if used.is_none() {
            // Before the bare driver has any.
            used = Some(open().saturating_sub(opened));
            bare = store.bare().await;
        }
        if let Some(bare) = &bare {
            let bare = bare.clone();
            theirs.push(
                rate(move |key| {
                    let bare = bare.clone();
                    async move { bare.pair(&key).await }
                })
                .await,
            );
        }
    }
    let (rate, used) = (median(ours), used.unwrap_or(0));
    print!("pairs/s, {TASKS} tasks on {TASKS} keys, {}: {rate:.0} on {used} connections", store.name());
    if bare.is_some() {
        let bare = median(theirs);
        print!("; bare {bare:.0}; {:.2}× bare", rate / bare);
    }
    println!();
    Ok(())
}

/// Pairs a second over two seconds.
async fn rate<F, Fut>(pair: F) -> f64
where
    F: Fn(String) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let start = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let pair = pair.clone();
            tokio::spawn(async move {
                let mut pairs = 0_usize;
                while start.elapsed() < Duration::from_secs(2) {
                    pair(format!("task/{task}")).await;
                    pairs += 1;
                    // A blocking driver never yields by itself.
                    tokio::task::yield_now().await;
                }
                pairs
            })
        })
        .collect();
    let mut pairs = 0;
    for task in tasks {
        pairs += task.await.expect("no panic");
    }
    pairs as f64 / start.elapsed().as_secs_f64()
}
