//! Law 1: a claim is granted on all its keys or on none, and it arrives on all of them at once.

use std::time::Duration;

use futures::future::join_all;
use lock_core::Attempt;
use tokio::time::sleep;

use super::{Case, case};
use crate::World;
use crate::asking::{AT_ONCE, Since, is_free};
use crate::patience::LIMIT;
use crate::world::{busy, granted, held};

pub(crate) const CASES: &[Case] = &[
    case!(one_busy_key_refuses_all_the_others_too, exclusive; needs Several),
    case!(a_grant_takes_every_key, exclusive; needs Several),
    case!(a_release_frees_every_key, exclusive; needs Several),
    case!(every_key_lapses_with_the_claim, exclusive; needs Several),
    case!(of_two_that_ask_at_once_one_gets_everything, exclusive; needs Several),
    case!(of_many_that_ask_at_once_no_two_winners_overlap, exclusive; needs Several),
];

/// A claim is granted on none of its keys if one is busy, whichever it is.
async fn one_busy_key_refuses_all_the_others_too(world: World) {
    let [here, there] = world.clients().await;
    let keys = world.keys(["a", "b", "c"]);
    for taken in &keys {
        let (holder, other) = (world.lasting(taken), world.lasting(&keys[..]));
        granted(here.acquire(&holder).await);
        busy(there.acquire(&other).await);
        for key in &keys {
            assert_eq!(is_free(&here, key).await, key != taken, "{key} while {taken} is held");
        }
        held(here.release(&holder, AT_ONCE).await);
    }
}

/// A claim is granted on all its keys.
async fn a_grant_takes_every_key(world: World) {
    let [here, there] = world.clients().await;
    let keys = world.keys(["a", "b", "c"]);
    granted(here.acquire(&world.lasting(&keys[..])).await);
    for key in &keys {
        busy(there.acquire(&world.lasting(key)).await);
    }
}

/// A claim goes from all its keys at once.
async fn a_release_frees_every_key(world: World) {
    let [here, there] = world.clients().await;
    let keys = world.keys(["a", "b", "c"]);
    let claim = world.lasting(&keys[..]);
    granted(here.acquire(&claim).await);
    held(here.release(&claim, AT_ONCE).await);
    for key in &keys {
        granted(there.acquire(&world.lasting(key)).await);
    }
}

/// A lapsed claim is gone from all its keys, and was there on all of them until then.
async fn every_key_lapses_with_the_claim(world: World) {
    let [here, there] = world.clients().await;
    let keys = world.keys(["a", "b", "c"]);
    let (asked, claim) = (Since::now(), world.claim(&keys[..]));
    let lease = granted(here.acquire(&claim).await).lease;
    let mut gone = [false; 3];
    while gone != [true; 3] {
        for (key, gone) in keys.iter().zip(&mut gone) {
            let free = is_free(&there, key).await;
            assert!(free || !*gone, "{key} was free and is taken again");
            if free {
                asked.lasted(lease);
            }
            *gone = free;
        }
        asked.at_most(claim.ttl() + LIMIT);
        sleep(Duration::from_millis(5)).await;
    }
}

/// A claim arrives on all its keys at once: of two claims for the same keys, named in opposite order, one is
/// ahead on both.
async fn of_two_that_ask_at_once_one_gets_everything(world: World) {
    let [here, there] = world.clients().await;
    for round in 0..50 {
        let keys = [world.key(&format!("a{round}")), world.key(&format!("b{round}"))];
        let turned = [keys[1].clone(), keys[0].clone()];
        let (one, two) = (world.lasting(&keys[..]).queued(), world.lasting(&turned[..]).queued());
        let answers = futures::join!(here.acquire(&one), there.acquire(&two));
        match answers {
            (Ok(Attempt::Granted(_)), Ok(Attempt::Busy(_))) => held(here.release(&one, AT_ONCE).await),
            (Ok(Attempt::Busy(_)), Ok(Attempt::Granted(_))) => held(there.release(&two, AT_ONCE).await),
            other => panic!("one of two gets both keys, not {other:?}"),
        };
        granted(here.acquire(if matches!(answers.0, Ok(Attempt::Granted(_))) { &two } else { &one }).await);
    }
}

/// Claims are granted on all their keys or on none, however many ask for however many keys at once: winners have
/// no key in common, a loser shares one with a winner, and nothing of a loser remains.
async fn of_many_that_ask_at_once_no_two_winners_overlap(world: World) {
    let clients: [_; 4] = world.clients().await;
    let names = world.keys(["a", "b", "c", "d", "e", "f", "g"]);
    for round in 0..12_u64 {
        let mut random = fastrand::Rng::with_seed(round);
        let claims: Vec<_> = (0..12)
            .map(|_| world.lasting(random.choose_multiple(names.iter(), random.clone().usize(2..=4))))
            .collect();
        let asked = claims.iter().enumerate().map(|(at, claim)| clients[at % clients.len()].acquire(claim));
        let answers = join_all(asked).await;
        let won = |answer: &_| matches!(answer, Ok(Attempt::Granted(_)));
        let (winners, losers): (Vec<_>, Vec<_>) =
            claims.iter().zip(&answers).partition(|(_, answer)| won(answer));
        for (at, (winner, _)) in winners.iter().enumerate() {
            let mut others = winners[..at].iter().flat_map(|(other, _)| other.keys());
            assert!(!others.any(|key| winner.keys().contains(key)), "two hold one key: {winners:?}");
        }
        for (loser, answer) in losers {
            assert!(matches!(answer, Ok(Attempt::Busy(_))), "{answer:?}");
            let mut taken = winners.iter().flat_map(|(winner, _)| winner.keys());
            assert!(taken.any(|key| loser.keys().contains(key)), "nobody was in the way of {loser:?}");
        }
        for (winner, _) in winners {
            held(clients[0].release(winner, AT_ONCE).await);
        }
        let all = world.lasting(&names[..]);
        granted(clients[0].acquire(&all).await);
        held(clients[0].release(&all, AT_ONCE).await);
    }
}
