//! How evenly a lock that nobody holds for any time comes to everybody who wants it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lock_core::Result;
use tokio::sync::Barrier;

use crate::contend::{Layout, contenders};
use crate::store::{Bare, Store};

const TURNS: usize = 1_000;
const CONTENDERS: usize = 16;

pub(crate) async fn fairness(store: &dyn Store, rounds: usize) -> Result<()> {
    let bare = store.bare().await;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(turns(store, None).await?);
        if let Some(bare) = &bare {
            theirs.push(turns(store, Some(&**bare)).await?);
        }
    }
    let (most, fewest) = worst(&ours);
    print!("fairness, {CONTENDERS} contenders, {TURNS} turns, worst round: most {most}, fewest {fewest}");
    if let Some(bare) = bare {
        let (most, fewest) = worst(&theirs);
        print!("; bare, {}, most {most}, fewest {fewest}", bare.waits());
    }
    println!();
    Ok(())
}

/// How many turns each had.
async fn turns(store: &dyn Store, bare: Option<&dyn Bare>) -> Result<Vec<usize>> {
    let left = Arc::new(AtomicUsize::new(TURNS));
    let all_there = Arc::new(Barrier::new(CONTENDERS));
    let mut tasks = Vec::with_capacity(CONTENDERS);
    for mut contender in contenders(store, bare, Layout::ClientEach, CONTENDERS).await? {
        let (left, all_there) = (left.clone(), all_there.clone());
        tasks.push(tokio::spawn(async move {
            // Its first turn makes whatever has to be made, and does not count.
            contender.take().await;
            contender.give().await;
            all_there.wait().await;
            let mut mine = 0;
            loop {
                contender.take().await;
                let counts =
                    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
                contender.give().await;
                if counts.is_err() {
                    return mine;
                }
                mine += 1;
            }
        }));
    }
    let mut turns = Vec::with_capacity(CONTENDERS);
    for task in tasks {
        turns.push(task.await.expect("no panic"));
    }
    Ok(turns)
}

/// The most and the fewest turns of the round in which they are furthest apart.
fn worst(rounds: &[Vec<usize>]) -> (usize, usize) {
    let extremes =
        |turns: &Vec<usize>| (*turns.iter().max().unwrap_or(&0), *turns.iter().min().unwrap_or(&0));
    rounds.iter().map(extremes).max_by_key(|(most, fewest)| most - fewest).unwrap_or_default()
}
