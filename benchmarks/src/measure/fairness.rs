//! How evenly a lock that nobody holds for any time comes to everybody who wants it.

use std::collections::HashMap;
use std::time::Duration;

use super::contest::Contest;
use super::{Bench, Values, fresh, values};
use crate::rival::Failure;

pub(super) async fn fairness(bench: &Bench<'_>, contenders: usize) -> Result<Values, Failure> {
    let (turns, limit) = (bench.scale.turns * 5 / 2, bench.scale.limit);
    let key = fresh("fair");
    let contest =
        Contest { key, contenders, clients: contenders, turns, hold: Duration::ZERO, limit, aside: false };
    bench.rival.make(&contest.key).await?;
    let ready = contest.ready(bench).await?;
    let run = contest.run(bench, ready).await?;
    run.close().await;
    let taken = run.seen();
    let mut each = HashMap::new();
    taken.iter().for_each(|turn| *each.entry(turn.who).or_insert(0) += 1);
    let most = each.values().max().copied().unwrap_or(0);
    // Who had none is not there.
    let fewest = if each.len() < contenders { 0 } else { each.values().min().copied().unwrap_or(0) };
    let time = taken.last().zip(taken.first()).map_or(0, |(last, first)| last.got - first.got);
    let of_even_share = |turns: u32| f64::from(turns) * 100.0 * contenders as f64 / taken.len().max(1) as f64;
    Ok(values([
        ("most %", of_even_share(most)),
        ("fewest %", of_even_share(fewest)),
        ("turns/s", taken.len() as f64 * 1e9 / time.max(1) as f64),
    ]))
}
