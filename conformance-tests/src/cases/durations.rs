//! Durations: the shortest, the longest, and those between whole units.

use std::time::Duration;

use futures::future::join_all;
use lock_core::{Claim, Mode};

use super::{Case, case};
use crate::World;
use crate::asking::{AT_ONCE, Since, renew, wins};
use crate::world::{busy, granted, held};

pub(crate) const CASES: &[Case] = &[
    case!(the_shortest_ttl_lasts_as_long_as_the_lease_says, exclusive),
    case!(a_ttl_is_rounded_up_and_never_down, exclusive),
    case!(the_longest_ttl_is_kept, exclusive),
    case!(the_longest_ttl_is_renewed, exclusive),
    case!(the_longest_cooldown_is_kept, exclusive),
    case!(the_shortest_cooldown_ends, exclusive),
    case!(a_place_lasts_its_own_ttl_behind_a_longer_one, exclusive; needs Several, Fair),
    case!(a_lease_by_place_is_what_is_left_of_it, exclusive; needs Fair),
    case!(every_claim_has_its_own_ttl; needs Shared),
];

/// The smallest ttl is kept or rounded up, and the lease says what was granted.
async fn the_shortest_ttl_lasts_as_long_as_the_lease_says(world: World) {
    let [here, there] = world.clients().await;
    for at in 0..5 {
        let key = world.key(&format!("a{at}"));
        let asked = Since::now();
        let lease = granted(here.acquire(&world.claim_for(Claim::MIN_TTL, &key)).await).lease;
        wins(&there, &world.lasting(&key)).await;
        asked.lasted(lease);
    }
}

/// A ttl between the units that a store counts in is rounded up: nobody is cut short.
async fn a_ttl_is_rounded_up_and_never_down(world: World) {
    let [here, there] = world.clients().await;
    let odd = [1, 13, 99, 333, 499, 501, 999, 1001].map(|millis| world.ttl() + Duration::from_millis(millis));
    let trials = odd.into_iter().map(|ttl| {
        let (here, there, world) = (&here, &there, &world);
        async move {
            // On a machine that stalls for a whole ttl there is nothing left to renew; then, once more.
            for attempt in 0.. {
                let key = world.key(&format!("{ttl:?} {attempt}"));
                let claim = world.claim_for(ttl, &key);
                let asked = Since::now();
                let lease = granted(here.acquire(&claim).await).lease;
                let renewed = Since::now();
                let answer = renew(here, &claim).await;
                if asked.within(lease) {
                    held(answer);
                    wins(there, &world.lasting(&key)).await;
                    renewed.lasted(ttl);
                    return;
                }
            }
        }
    });
    join_all(trials).await;
}

/// A ttl of 24 h is kept: it overflows nothing.
async fn the_longest_ttl_is_kept(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let [claim, waiter] = [(); 2].map(|()| world.claim_for(Claim::MAX_TTL, &key).queued());
    let lease = granted(here.acquire(&claim).await).lease;
    assert!(lease > Claim::MAX_TTL / 2, "{lease:?}");
    assert!(busy(there.acquire(&waiter).await).retry_after <= Claim::MAX_TTL + Duration::from_secs(60));
    held(here.release(&claim, AT_ONCE).await);
    granted(there.acquire(&waiter).await);
}

/// A renewal by 24 h is one.
async fn the_longest_ttl_is_renewed(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let claim = world.claim_for(Claim::MAX_TTL, &key);
    granted(here.acquire(&claim).await);
    for _ in 0..3 {
        let lease = held(renew(&there, &claim).await);
        assert!(lease > Claim::MAX_TTL / 2, "{lease:?}");
    }
    busy(there.acquire(&world.lasting(&key)).await);
}

/// A cooldown of 24 h is kept.
async fn the_longest_cooldown_is_kept(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let claim = world.claim_for(Claim::MIN_TTL, &key);
    wins(&here, &claim).await;
    // Of the shortest ttl, it may have lapsed; then there is nothing to keep.
    while !matches!(here.release(&claim, Claim::MAX_TTL).await, Ok(lock_core::Ownership::Held { .. })) {
        wins(&here, &claim).await;
    }
    busy(there.acquire(&world.lasting(&key)).await);
}

/// A cooldown of a millisecond is over soon.
async fn the_shortest_cooldown_ends(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    for _ in 0..5 {
        let claim = world.lasting(&key);
        wins(&here, &claim).await;
        held(there.release(&claim, Duration::from_millis(1)).await);
    }
    wins(&there, &world.lasting(&key)).await;
}

/// A place lasts its own ttl, however long those ahead last.
async fn a_place_lasts_its_own_ttl_behind_a_longer_one(world: World) {
    let [here, there] = world.clients().await;
    let [a, b] = world.keys(["a", "b"]);
    granted(here.acquire(&world.claim_for(Claim::MAX_TTL, &a)).await);
    let asked = Since::now();
    let place = world.claim([&a, &b]).queued();
    busy(here.acquire(&place).await);
    wins(&there, &world.lasting(&b)).await;
    asked.lasted(place.ttl());
}

/// A claim that became the holder in its place is told a lease that the store keeps.
async fn a_lease_by_place_is_what_is_left_of_it(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let [holder, next] = world.rivals(&key).map(Claim::queued);
    let waiter = world.claim(&key).queued();
    granted(here.acquire(&holder).await);
    busy(there.acquire(&waiter).await);
    busy(here.acquire(&next).await);
    tokio::time::sleep(waiter.ttl() / 2).await;
    held(here.release(&holder, AT_ONCE).await);
    let looked = Since::now();
    // Too late, on a machine that stalls, it is refused and has no lease.
    if let Ok(lock_core::Attempt::Granted(grant)) = there.acquire(&waiter).await {
        wins(&here, &next).await;
        looked.lasted(grant.lease);
    }
}

/// Claims of one key last as long as each of them asked for.
async fn every_claim_has_its_own_ttl(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let shared = |ttl| Claim::new(&key, Mode::Shared, ttl).expect("a valid claim");
    let (short, longer) = (shared(world.ttl()), shared(world.ttl() * 2));
    granted(here.acquire(&short).await);
    let asked = Since::now();
    let lease = granted(there.acquire(&longer).await).lease;
    wins(&here, &world.lasting_as(Mode::Exclusive, &key)).await;
    asked.lasted(lease);
}
