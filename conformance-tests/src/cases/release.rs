//! Law 5: release is thorough. Afterwards nothing of the claim remains but what `keep` asked for.

use std::time::Duration;

use futures::future::join_all;
use lock_core::{Claim, Ownership};

use super::{Case, case};
use crate::World;
use crate::asking::{AT_ONCE, is_free, renew, wins};
use crate::patience::LONG;
use crate::world::{busy, granted, held, lost};

pub(crate) const CASES: &[Case] = &[
    case!(a_released_lock_can_be_taken_at_once, exclusive),
    case!(a_released_claim_is_lost_to_its_owner, exclusive),
    case!(a_claim_that_never_came_is_lost, exclusive),
    case!(a_released_claim_that_asks_again_arrives_anew, exclusive),
    case!(a_waiter_that_releases_leaves_its_place, exclusive; needs Fair),
    case!(a_waiter_that_left_and_asks_again_is_last, exclusive; needs Fair),
    case!(a_waiter_that_releases_frees_its_other_keys, exclusive; needs Several, Fair),
    case!(a_release_whose_turn_has_come_hands_on, exclusive; needs Fair),
    case!(what_is_released_many_times_at_once_is_held_once, exclusive),
    case!(a_request_under_way_brings_back_no_more_than_its_ttl, exclusive),
];

/// After a release the lock is free, for anybody and at once.
async fn a_released_lock_can_be_taken_at_once(world: World) {
    let clients: [_; 3] = world.clients().await;
    let key = world.key("a");
    for round in 0..30 {
        let claim = world.lasting(&key);
        granted(clients[round % 3].acquire(&claim).await);
        assert_eq!(held(clients[(round + round / 3) % 3].release(&claim, AT_ONCE).await), Duration::ZERO);
    }
}

/// Releasing or renewing what was released says `Lost`.
async fn a_released_claim_is_lost_to_its_owner(world: World) {
    let [here, there] = world.clients().await;
    let claim = world.lasting(world.key("a"));
    granted(here.acquire(&claim).await);
    held(here.release(&claim, AT_ONCE).await);
    lost(here.release(&claim, AT_ONCE).await);
    lost(there.release(&claim, LONG).await);
    lost(renew(&here, &claim).await);
    assert!(is_free(&there, &world.key("a")).await);
}

/// Releasing what never came says `Lost`, and leaves nothing, whatever it would keep.
async fn a_claim_that_never_came_is_lost(world: World) {
    let client = world.client().await;
    let key = world.key("a");
    lost(client.release(&world.lasting(&key), AT_ONCE).await);
    lost(client.release(&world.lasting(&key), LONG).await);
    lost(client.release(&world.lasting(&key).queued(), LONG).await);
    assert!(is_free(&client, &key).await);
}

/// Nothing of a released claim remains: asking again it has a new, greater token, and is there like any other.
async fn a_released_claim_that_asks_again_arrives_anew(world: World) {
    let [here, there] = world.clients().await;
    let [claim, other] = world.rivals(&world.key("a"));
    let first = granted(here.acquire(&claim).await).token;
    held(here.release(&claim, AT_ONCE).await);
    let second = granted(here.acquire(&claim).await).token;
    assert!(second > first, "{second} after {first}");
    busy(there.acquire(&other).await);
    held(here.release(&claim, AT_ONCE).await);
    granted(there.acquire(&other).await);
}

/// A queued claim that is released leaves the queue; those behind it move up.
async fn a_waiter_that_releases_leaves_its_place(world: World) {
    let [here, there] = world.clients().await;
    let [holder, first, second, third] = world.rivals(&world.key("a"));
    granted(here.acquire(&holder).await);
    let waiters = [first, second, third].map(Claim::queued);
    for waiter in &waiters {
        busy(there.acquire(waiter).await);
    }
    assert_eq!(held(there.release(&waiters[1], AT_ONCE).await), Duration::ZERO);
    held(there.release(&waiters[0], AT_ONCE).await);
    lost(there.release(&waiters[0], AT_ONCE).await);
    held(here.release(&holder, AT_ONCE).await);
    granted(there.acquire(&waiters[2]).await);
}

/// A queued claim that was released keeps nothing: asking again, it is last.
async fn a_waiter_that_left_and_asks_again_is_last(world: World) {
    let [here, there] = world.clients().await;
    let [holder, first, second] = world.rivals(&world.key("a"));
    let (first, second) = (first.queued(), second.queued());
    granted(here.acquire(&holder).await);
    busy(there.acquire(&first).await);
    busy(there.acquire(&second).await);
    held(there.release(&first, AT_ONCE).await);
    busy(there.acquire(&first).await);
    held(here.release(&holder, AT_ONCE).await);
    busy(there.acquire(&first).await);
    granted(there.acquire(&second).await);
}

/// A queued claim goes from all its keys.
async fn a_waiter_that_releases_frees_its_other_keys(world: World) {
    let [here, there] = world.clients().await;
    let keys = world.keys(["a", "b", "c"]);
    granted(here.acquire(&world.lasting(&keys[1])).await);
    let waiter = world.lasting(&keys[..]).queued();
    busy(there.acquire(&waiter).await);
    held(there.release(&waiter, AT_ONCE).await);
    granted(here.acquire(&world.lasting(&keys[0])).await);
    granted(here.acquire(&world.lasting(&keys[2])).await);
}

/// A claim whose turn came, and that leaves without having looked, hands the lock on.
async fn a_release_whose_turn_has_come_hands_on(world: World) {
    let [here, there] = world.clients().await;
    let [holder, first, second] = world.rivals(&world.key("a"));
    let (first, second) = (first.queued(), second.queued());
    granted(here.acquire(&holder).await);
    busy(there.acquire(&first).await);
    busy(there.acquire(&second).await);
    held(here.release(&holder, AT_ONCE).await);
    held(there.release(&first, AT_ONCE).await);
    granted(there.acquire(&second).await);
}

/// Of many releases at once, one finds the claim.
async fn what_is_released_many_times_at_once_is_held_once(world: World) {
    let clients: [_; 4] = world.clients().await;
    for round in 0..20 {
        let claim = world.lasting(world.key(&format!("a{round}")));
        granted(clients[0].acquire(&claim).await);
        let ends = join_all(clients.iter().map(|client| client.release(&claim, AT_ONCE))).await;
        let there = ends.iter().filter(|end| matches!(end, Ok(Ownership::Held { .. }))).count();
        let gone = ends.iter().filter(|end| matches!(end, Ok(Ownership::Lost))).count();
        assert_eq!((there, gone), (1, 3), "{ends:?}");
    }
}

/// A request still under way elsewhere can bring back no more than a claim that lapses within its ttl.
async fn a_request_under_way_brings_back_no_more_than_its_ttl(world: World) {
    let [here, there] = world.clients().await;
    let keys: Vec<_> = (0..10).map(|round| world.key(&format!("a{round}"))).collect();
    for key in &keys {
        let claim = world.claim(key).queued();
        let (first, end, late) =
            futures::join!(here.acquire(&claim), there.release(&claim, AT_ONCE), here.acquire(&claim));
        granted(first);
        granted(late);
        assert!(end.is_ok(), "{end:?}");
    }
    for key in &keys {
        wins(&here, &world.lasting(key)).await;
    }
}
