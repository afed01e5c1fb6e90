//! Claims for several keys: one step, one place, one token.

use futures::future::join_all;
use lock_core::{Claim, Mode};

use super::{Case, case};
use crate::World;
use crate::asking::{AT_ONCE, is_free, wins};
use crate::patience::crowd;
use crate::world::{busy, granted, held};

pub(crate) const CASES: &[Case] = &[
    case!(the_order_of_the_keys_does_not_matter, exclusive; needs Several),
    case!(a_key_named_twice_is_one_key, exclusive; needs Several),
    case!(claims_without_a_key_in_common_do_not_meet, exclusive; needs Several),
    case!(one_key_in_common_is_enough, exclusive; needs Several),
    case!(a_claim_that_waits_on_another_key_counts_for_those_behind_it, exclusive; needs Several, Fair),
    case!(a_chain_of_claims_is_served_link_by_link, exclusive; needs Several, Fair),
    case!(as_many_keys_as_a_claim_may_have, exclusive; needs Several),
    case!(a_claim_waits_for_the_last_of_its_keys, exclusive; needs Several, Fair),
    case!(each_key_has_its_own_queue_behind_a_claim, exclusive; needs Several, Fair),
    case!(readers_of_overlapping_keys_hold_together; needs Shared, Several, Fair),
    case!(overlapping_sets_in_any_order_all_get_their_turn, exclusive; needs Several, Fair),
];

/// Keys in any order are the same keys.
async fn the_order_of_the_keys_does_not_matter(world: World) {
    let [here, there] = world.clients().await;
    let [a, b, c] = world.keys(["a", "b", "c"]);
    let one = world.lasting([&a, &b, &c]);
    let orders = [[&a, &c, &b], [&b, &a, &c], [&b, &c, &a], [&c, &a, &b], [&c, &b, &a]];
    granted(here.acquire(&one).await);
    for keys in orders {
        busy(there.acquire(&world.lasting(keys)).await);
    }
    held(here.release(&one, AT_ONCE).await);
    for keys in orders {
        let other = world.lasting(keys);
        granted(there.acquire(&other).await);
        held(there.release(&other, AT_ONCE).await);
    }
}

/// A key named twice counts once: it is granted, renewed as one, and free after one release.
async fn a_key_named_twice_is_one_key(world: World) {
    let [here, there] = world.clients().await;
    let [a, b] = world.keys(["a", "b"]);
    let claim = world.lasting([&a, &b, &a, &a]);
    granted(here.acquire(&claim).await);
    held(crate::asking::renew(&here, &claim).await);
    held(here.release(&claim, AT_ONCE).await);
    assert!(is_free(&there, &a).await && is_free(&there, &b).await);
}

/// Claims that have no key in common do not meet.
async fn claims_without_a_key_in_common_do_not_meet(world: World) {
    let [here, there] = world.clients().await;
    let [a, b, c, d] = world.keys(["a", "b", "c", "d"]);
    granted(here.acquire(&world.lasting([&a, &c])).await);
    granted(there.acquire(&world.lasting([&b, &d])).await);
    busy(there.acquire(&world.lasting([&a, &b])).await);
}

/// One key in common is enough, wherever it stands among the others.
async fn one_key_in_common_is_enough(world: World) {
    let [here, there] = world.clients().await;
    let keys = world.keys(["a", "b", "c", "d", "e"]);
    granted(here.acquire(&world.lasting(&keys[2])).await);
    for some in [&keys[2..], &keys[..3], &keys[1..4], &keys[..]] {
        busy(there.acquire(&world.lasting(some)).await);
    }
    granted(there.acquire(&world.lasting([&keys[0], &keys[1], &keys[3], &keys[4]])).await);
}

/// A claim that still waits on another key counts all the same for those behind it.
async fn a_claim_that_waits_on_another_key_counts_for_those_behind_it(world: World) {
    let [here, there] = world.clients().await;
    let [a, b] = world.keys(["a", "b"]);
    let (holder, both) = (world.lasting(&a), world.lasting([&a, &b]).queued());
    let behind = world.lasting(&b).queued();
    granted(here.acquire(&holder).await);
    busy(there.acquire(&both).await);
    busy(here.acquire(&behind).await);
    busy(here.acquire(&world.lasting(&b)).await);
    held(here.release(&holder, AT_ONCE).await);
    busy(here.acquire(&behind).await);
    granted(there.acquire(&both).await);
    held(there.release(&both, AT_ONCE).await);
    granted(here.acquire(&behind).await);
}

/// In a chain of overlapping claims each waits for the one before it, and for no other.
async fn a_chain_of_claims_is_served_link_by_link(world: World) {
    let [here, there] = world.clients().await;
    let keys: Vec<_> = (0..7).map(|at| world.key(&format!("k{at}"))).collect();
    let links: Vec<_> = keys.windows(2).map(|pair| world.lasting(pair).queued()).collect();
    granted(here.acquire(&links[0]).await);
    for link in &links[1..] {
        busy(there.acquire(link).await);
    }
    // The third link leaves: what was behind it moves up, as far as it can.
    held(there.release(&links[2], AT_ONCE).await);
    busy(there.acquire(&links[1]).await);
    granted(there.acquire(&links[3]).await);
    busy(there.acquire(&links[4]).await);
    held(here.release(&links[0], AT_ONCE).await);
    granted(there.acquire(&links[1]).await);
    busy(there.acquire(&links[4]).await);
    held(there.release(&links[3], AT_ONCE).await);
    granted(there.acquire(&links[4]).await);
}

/// A claim of 32 keys is taken, renewed and released in one step.
async fn as_many_keys_as_a_claim_may_have(world: World) {
    let [here, there] = world.clients().await;
    let keys: Vec<_> = (0..Claim::MAX_KEYS).map(|at| world.key(&format!("k{at}"))).collect();
    let [claim, next] = world.rivals(&keys);
    let first = granted(here.acquire(&claim).await);
    assert_eq!(granted(there.acquire(&claim).await).token, first.token);
    held(crate::asking::renew(&there, &claim).await);
    for look in join_all(keys.iter().map(|key| is_free(&there, key))).await {
        assert!(!look, "a key of a held claim is free");
    }
    held(here.release(&claim, AT_ONCE).await);
    assert!(granted(there.acquire(&next).await).token > first.token);
}

/// A claim whose keys become free one by one is granted with the last of them, in whatever order.
async fn a_claim_waits_for_the_last_of_its_keys(world: World) {
    let [here, there] = world.clients().await;
    for (round, order) in [[0, 1, 2], [2, 1, 0], [1, 2, 0]].into_iter().enumerate() {
        let keys = ["a", "b", "c"].map(|name| world.key(&format!("{name}{round}")));
        let holders = keys.each_ref().map(|key| world.lasting(key));
        for holder in &holders {
            granted(here.acquire(holder).await);
        }
        let waiter = world.lasting(&keys[..]).queued();
        for at in order {
            busy(there.acquire(&waiter).await);
            held(here.release(&holders[at], AT_ONCE).await);
        }
        granted(there.acquire(&waiter).await);
    }
}

/// A claim has a place on each of its keys, and its end serves the next on each of them.
async fn each_key_has_its_own_queue_behind_a_claim(world: World) {
    let [here, there] = world.clients().await;
    let keys = world.keys(["a", "b", "c"]);
    let holder = world.lasting(&keys[..]);
    granted(here.acquire(&holder).await);
    let waiters = keys.each_ref().map(|key| [(); 2].map(|()| world.lasting(key).queued()));
    for waiter in waiters.iter().flatten() {
        busy(there.acquire(waiter).await);
    }
    held(here.release(&holder, AT_ONCE).await);
    for [first, second] in &waiters {
        busy(there.acquire(second).await);
        granted(there.acquire(first).await);
    }
}

/// Shared claims hold together also where only some of their keys are the same, unless a writer waits on one.
async fn readers_of_overlapping_keys_hold_together(world: World) {
    let [here, there] = world.clients().await;
    let [a, b, c, d] = world.keys(["a", "b", "c", "d"]);
    let first = world.lasting_as(Mode::Shared, [&a, &b]);
    granted(here.acquire(&first).await);
    granted(there.acquire(&world.lasting_as(Mode::Shared, [&b, &c])).await);
    let writer = world.lasting_as(Mode::Exclusive, [&a, &d]).queued();
    busy(there.acquire(&writer).await);
    busy(here.acquire(&world.lasting_as(Mode::Shared, [&c, &d])).await);
    granted(here.acquire(&world.lasting_as(Mode::Shared, [&b, &c])).await);
    held(here.release(&first, AT_ONCE).await);
    granted(there.acquire(&writer).await);
}

/// Claims over overlapping sets, named in any order, all get their turn: there is no deadlock among them.
async fn overlapping_sets_in_any_order_all_get_their_turn(world: World) {
    let clients: [_; 4] = world.clients().await;
    let names = world.keys(["a", "b", "c", "d", "e"]);
    let turns = crowd(8, |at| {
        let (client, world, names) = (clients[at % 4].clone(), world.clone(), names.clone());
        async move {
            let mut random = fastrand::Rng::with_seed(at as u64);
            for _ in 0..6 {
                let mut keys = names.to_vec();
                random.shuffle(&mut keys);
                let claim = world.lasting(&keys[..random.usize(2..=4)]).queued();
                wins(&client, &claim).await;
                held(client.release(&claim, AT_ONCE).await);
            }
        }
    });
    assert_eq!(turns.await.len(), 8);
    granted(clients[0].acquire(&world.lasting(&names[..])).await);
}
