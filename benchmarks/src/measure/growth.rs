//! What a lock costs while many others are held, and while many wait for it.

use std::time::Duration;

use super::contest::Contest;
use super::held::hold;
use super::stats::{micros, percentile};
use super::{Bench, Measure, Values, fresh, hand_over, pairs, values};
use crate::rival::Failure;

const HOLD: Duration = Duration::from_millis(1);

/// Who waits is in so many clients at most.
const CLIENTS: usize = 16;

pub(super) async fn keys(bench: &Bench<'_>, held: usize) -> Result<Values, Failure> {
    let scale = bench.scale;
    let client = bench.rival.client(held + 1).await?;
    let guards = hold(&client, held).await;
    let mut times = pairs::times(&*client, scale.pairs / 3, scale.limit / 3).await;
    let mut grown = values([("pair p50 µs", micros(percentile(&mut times, 0.5)))]);
    if bench.rival.unable(Measure::Handover, 2).is_none() {
        let (key, turns, limit) = (fresh("contended"), scale.turns / 3, scale.limit / 3);
        let contest = Contest { key, contenders: 2, clients: 2, turns, hold: HOLD, limit, aside: true };
        let handed = hand_over::measure(bench, &contest).await?;
        grown.extend(handed.get("p50 µs").map(|p50| ("hand-over p50 µs".into(), *p50)));
    }
    drop(guards);
    client.close().await;
    Ok(grown)
}

pub(super) async fn waiters(bench: &Bench<'_>, waiters: usize) -> Result<Values, Failure> {
    let (key, turns, limit) = (fresh("contended"), bench.scale.turns / 2, bench.scale.limit);
    let contest =
        Contest { key, contenders: waiters + 1, clients: CLIENTS, turns, hold: HOLD, limit, aside: true };
    hand_over::measure(bench, &contest).await
}
