//! Hand-over: from a holder's call to release until the next holder's acquire returns, and what it costs the store.

use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, stdin};

use super::contest::{Contest, Turn};
use super::stats::{micros, percentile};
use super::{Bench, Values, fresh, values};
use crate::job::Job;
use crate::rival::Failure;

const HOLD: Duration = Duration::from_millis(2);

/// Who asked so much earlier, and has it later, was overtaken.
const EARLIER: u64 = 1_000_000;

pub(super) async fn in_clients(
    bench: &Bench<'_>,
    contenders: usize,
    clients: usize,
) -> Result<Values, Failure> {
    let Bench { scale, .. } = bench;
    let key = fresh("contended");
    let contest =
        Contest { key, contenders, clients, turns: scale.turns, hold: HOLD, limit: scale.limit, aside: true };
    measure(bench, &contest).await
}

pub(super) async fn measure(bench: &Bench<'_>, contest: &Contest) -> Result<Values, Failure> {
    bench.rival.make(&contest.key).await?;
    let ready = contest.ready(bench).await?;
    let run = contest.run(bench, ready).await?;
    let mut values = gaps(&run.seen());
    run.used.each(run.counted, &mut values);
    run.close().await;
    Ok(values)
}

/// What turns say that are in order.
fn gaps(turns: &[Turn]) -> Values {
    // Who takes what it has just released hands nothing over.
    let handed = turns.windows(2).filter(|pair| pair[0].who != pair[1].who);
    let mut gaps: Vec<u64> = handed.map(|pair| pair[1].got.saturating_sub(pair[0].released)).collect();
    let overtakes = |n: &usize| turns[n + 1..].iter().any(|later| later.asked + EARLIER < turns[*n].asked);
    let overtaking = (0..turns.len()).filter(overtakes).count();
    let overlapping = turns.windows(2).filter(|pair| pair[1].got < pair[0].released).count();
    let mut values = values([
        ("turns", turns.len() as f64),
        ("overtaking %", overtaking as f64 * 100.0 / turns.len().max(1) as f64),
        ("two at once", overlapping as f64),
    ]);
    if !gaps.is_empty() {
        values.insert("p50 µs".into(), micros(percentile(&mut gaps, 0.5)));
        values.insert("p99 µs".into(), micros(percentile(&mut gaps, 0.99)));
    }
    values
}

/// The other process's half of a contest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Half {
    pub(crate) store: String,
    pub(crate) rival: String,
    key: String,
    size: usize,
}

fn half(bench: &Bench<'_>, key: &str, size: usize) -> Contest {
    let turns = bench.scale.turns / 2;
    let (key, limit) = (key.to_owned(), bench.scale.limit);
    Contest { key, contenders: size / 2, clients: 1, turns, hold: HOLD, limit, aside: true }
}

pub(super) async fn in_processes(bench: &Bench<'_>, size: usize) -> Result<Values, Failure> {
    let contest = half(bench, &fresh("contended"), size);
    bench.rival.make(&contest.key).await?;
    let (store, rival) = (bench.store.name().to_owned(), bench.rival.name().to_owned());
    let there = Half { store, rival, key: contest.key.clone(), size };
    let mut command = Job::Half(there).command(bench.store.url(), bench.scale.quick)?;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("a piped output")?).lines();
    lines.next_line().await?.ok_or("the other process is not ready")?;
    let ready = contest.ready(bench).await?;
    let mut start = child.stdin.take().ok_or("a piped input")?;
    start.write_all(b"start\n").await?;
    let mut run = contest.run(bench, ready).await?;
    while let Some(line) = lines.next_line().await? {
        let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        match numbers[..] {
            [from, until] => {
                let (here, end) = run.watched.into_inner();
                run.watched = here.max(from)..=end.min(until);
            }
            [got, released, asked, who] => run.turns.push(Turn { got, released, asked, who }),
            _ => return Err("two or four numbers a line".into()),
        }
    }
    if !child.wait().await?.success() {
        return Err("the other process failed".into());
    }
    run.turns.sort_unstable();
    Ok(gaps(&run.seen()))
}

/// Contends for the process that started this one.
pub(crate) async fn contend(bench: &Bench<'_>, there: &Half) -> Result<(), Failure> {
    let contest = half(bench, &there.key, there.size);
    let ready = contest.ready(bench).await?;
    println!("ready");
    BufReader::new(stdin()).read_line(&mut String::new()).await?;
    let run = contest.run(bench, ready).await?;
    println!("{} {}", run.watched.start(), run.watched.end());
    for Turn { got, released, asked, who } in run.turns {
        println!("{got} {released} {asked} {who}");
    }
    Ok(())
}
