//! Acquire and release of free locks: how long one takes, and how many go in a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::process::connections;
use super::stats::{micros, now, percentile};
use super::{Bench, Values, fresh, values};
use crate::rival::{Client, Failure};

/// So many at the same time: what a driver with a connection for each gets.
const CONNECTIONS: usize = 16;

pub(super) async fn latency(bench: &Bench<'_>) -> Result<Values, Failure> {
    let client = bench.rival.client(1).await?;
    let mut times = times(&*client, bench.scale.pairs, bench.scale.limit).await;
    client.close().await;
    Ok(values([
        ("p50 µs", micros(percentile(&mut times, 0.5))),
        ("p99 µs", micros(percentile(&mut times, 0.99))),
    ]))
}

/// Of how many pairs, or as many as are done within the limit, each one's time; without the first ones.
pub(super) async fn times(client: &dyn Client, pairs: usize, limit: Duration) -> Vec<u64> {
    let key = fresh("pair");
    let start = Instant::now();
    let mut times = Vec::with_capacity(pairs);
    while times.len() < pairs && start.elapsed() < limit {
        let start = now();
        client.pair(&key).await;
        times.push(now() - start);
    }
    times.split_off(times.len() / 10)
}

pub(super) async fn throughput(bench: &Bench<'_>, tasks: usize) -> Result<Values, Failure> {
    let opened = connections(bench.store.file());
    let client = bench.rival.client(CONNECTIONS).await?;
    rate(&client, tasks, bench.scale.throughput / 10).await;
    let rate = rate(&client, tasks, bench.scale.throughput).await;
    let used = connections(bench.store.file()).saturating_sub(opened);
    client.close().await;
    Ok(values([("pairs/s", rate), ("connections", used as f64)]))
}

/// Pairs a second.
async fn rate(client: &Arc<dyn Client>, tasks: usize, time: Duration) -> f64 {
    let start = Instant::now();
    let tasks: Vec<_> = (0..tasks)
        .map(|_| {
            let (client, key) = (client.clone(), fresh("task"));
            tokio::spawn(async move {
                let mut pairs = 0_usize;
                while start.elapsed() < time {
                    client.pair(&key).await;
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
