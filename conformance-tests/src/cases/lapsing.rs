//! Law 3: a lapsed claim is gone, not before its ttl has passed since it was taken, renewed or looked at, and soon
//! after.

use std::time::Duration;

use lock_core::{Claim, Mode};
use tokio::time::sleep;

use super::{Case, case};
use crate::World;
use crate::asking::{AT_ONCE, Client, Since, answered, is_free, lapse, permit, renew, renewed_halfway, wins};
use crate::patience::LONG;
use crate::world::{busy, granted, held, lost};

pub(crate) const CASES: &[Case] = &[
    case!(a_lapsed_lease_can_be_taken_and_not_before_it_lapsed, exclusive),
    case!(a_waiter_becomes_the_holder_when_the_holder_lapses, exclusive; needs Fair),
    case!(renew_and_release_of_a_lapsed_claim_say_lost, exclusive),
    case!(a_lapsed_claim_that_asks_again_is_queued_last, exclusive; needs Fair),
    case!(a_lapsed_claim_that_asks_again_gets_a_greater_token, exclusive),
    case!(a_place_lapses_behind_a_living_holder, exclusive; needs Several, Fair),
    case!(a_place_whose_turn_has_come_lapses_too, exclusive; needs Fair),
    case!(a_lapsed_place_that_asks_again_is_queued_last, exclusive; needs Several, Fair),
    case!(a_renewal_pushes_the_expiry, exclusive),
    case!(a_lapse_takes_nobody_else_along, exclusive),
    case!(permits_lapse_one_by_one; needs Permits),
    case!(a_reader_lapses_and_lets_the_writer_in; needs Shared),
    case!(a_claim_that_nobody_looked_at_lapses_for_renewal_too, exclusive),
    case!(a_claim_that_nobody_looked_at_lapses_for_release_too, exclusive),
    case!(a_claim_that_nobody_looked_at_comes_back_as_a_new_one, exclusive),
    case!(a_place_that_nobody_looked_at_comes_back_last, exclusive; needs Fair),
];

/// A lapsed claim is gone, soon after its lease and not before.
async fn a_lapsed_lease_can_be_taken_and_not_before_it_lapsed(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let (holder, other) = (world.claim(&key), world.lasting(&key));
    let asked = Since::now();
    let lease = granted(here.acquire(&holder).await).lease;
    wins(&there, &other).await;
    asked.lasted(lease);
    asked.at_most(holder.ttl() * 8 + Duration::from_secs(3));
}

/// When the claim ahead lapses, the next one is the holder: a look tells it so.
async fn a_waiter_becomes_the_holder_when_the_holder_lapses(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let (holder, next, last) =
        (world.claim(&key), world.lasting(&key).queued(), world.lasting(&key).queued());
    let asked = Since::now();
    let earlier = granted(here.acquire(&holder).await);
    answered(there.acquire(&next).await);
    busy(there.acquire(&last).await);
    let grant = wins(&there, &next).await;
    asked.lasted(earlier.lease);
    assert!(grant.token > earlier.token);
    busy(there.acquire(&last).await);
}

/// Renew and release of a lapsed claim say `Lost`, and bring nothing back.
async fn renew_and_release_of_a_lapsed_claim_say_lost(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let claim = world.claim(&key);
    granted(here.acquire(&claim).await);
    lapse(&there, &claim).await;
    lost(renew(&here, &claim).await);
    lost(here.release(&claim, AT_ONCE).await);
    lost(here.release(&claim, claim.ttl()).await);
    lost(renew(&here, &claim).await);
    assert!(is_free(&there, &key).await);
}

/// Asking again queues a lapsed claim anew: behind all who have come meanwhile.
async fn a_lapsed_claim_that_asks_again_is_queued_last(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let (claim, [holder, next]) = (world.claim(&key).queued(), world.rivals(&key));
    let next = next.queued();
    granted(here.acquire(&claim).await);
    let second = wins(&there, &holder).await;
    busy(there.acquire(&next).await);
    busy(here.acquire(&claim).await);
    held(there.release(&holder, AT_ONCE).await);
    let third = granted(there.acquire(&next).await);
    busy(here.acquire(&claim).await);
    held(there.release(&next, AT_ONCE).await);
    let last = granted(here.acquire(&claim).await);
    assert!(second.token < third.token && third.token < last.token, "{second:?}, {third:?}, {last:?}");
}

/// Asking again after a lapse is a new arrival, with a greater token than any grant before.
async fn a_lapsed_claim_that_asks_again_gets_a_greater_token(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let (claim, between) = (world.claim(&key), world.lasting(&key));
    let first = granted(here.acquire(&claim).await);
    let second = wins(&there, &between).await;
    held(there.release(&between, AT_ONCE).await);
    let third = granted(here.acquire(&claim).await);
    assert!(first.token < second.token && second.token < third.token, "{first:?}, {second:?}, {third:?}");
}

/// A place lapses as a grant does, also while somebody holds the key.
async fn a_place_lapses_behind_a_living_holder(world: World) {
    let [here, there] = world.clients().await;
    let [a, b] = world.keys(["a", "b"]);
    let (holder, next) = (world.lasting(&a), world.lasting(&a));
    granted(here.acquire(&holder).await);
    let waiter = world.claim([&a, &b]).queued();
    let asked = Since::now();
    busy(there.acquire(&waiter).await);
    // Only its place is in the way on the second key.
    wins(&here, &world.lasting(&b)).await;
    asked.lasted(waiter.ttl());
    lost(renew(&there, &waiter).await);
    lost(there.release(&waiter, AT_ONCE).await);
    held(here.release(&holder, AT_ONCE).await);
    granted(here.acquire(&next).await);
}

/// A waiter that died delays those behind it by its ttl at most, and by no less.
async fn a_place_whose_turn_has_come_lapses_too(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let (holder, next) = (world.lasting(&key), world.lasting(&key).queued());
    let dead = world.claim(&key).queued();
    granted(here.acquire(&holder).await);
    let asked = Since::now();
    busy(there.acquire(&dead).await);
    busy(here.acquire(&next).await);
    held(here.release(&holder, AT_ONCE).await);
    wins(&here, &next).await;
    asked.lasted(dead.ttl());
    lost(renew(&there, &dead).await);
    lost(there.release(&dead, AT_ONCE).await);
}

/// Asking again queues a lapsed place anew, last.
async fn a_lapsed_place_that_asks_again_is_queued_last(world: World) {
    let [here, there] = world.clients().await;
    let [a, b] = world.keys(["a", "b"]);
    let [holder, next] = world.rivals(&a);
    let (waiter, next, probe) = (world.claim([&a, &b]).queued(), next.queued(), world.lasting(&b));
    granted(here.acquire(&holder).await);
    busy(there.acquire(&waiter).await);
    busy(here.acquire(&next).await);
    wins(&here, &probe).await;
    held(here.release(&probe, AT_ONCE).await);
    busy(there.acquire(&waiter).await);
    held(here.release(&holder, AT_ONCE).await);
    granted(here.acquire(&next).await);
    busy(there.acquire(&waiter).await);
}

/// A renewal pushes the expiry to a full ttl from then.
async fn a_renewal_pushes_the_expiry(world: World) {
    world.unspoiled(renewed_once).await;
}

async fn renewed_once(world: World, ttl: Duration) -> bool {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let Some((renewed, lease)) = renewed_halfway(&here, &world.claim_for(ttl, &key)).await else {
        return false;
    };
    wins(&there, &world.lasting(&key)).await;
    renewed.lasted(ttl);
    renewed.lasted(lease);
    true
}

/// A claim lapses alone: another one of the same client, on another key, stays.
async fn a_lapse_takes_nobody_else_along(world: World) {
    let [here, there] = world.clients().await;
    let (short, long) = (world.claim(world.key("a")), world.lasting(world.key("b")));
    granted(here.acquire(&short).await);
    let token = granted(here.acquire(&long).await).token;
    lapse(&there, &short).await;
    busy(there.acquire(&world.lasting(world.key("b"))).await);
    held(renew(&here, &long).await);
    assert_eq!(granted(here.acquire(&long).await).token, token);
}

/// Each permit lapses by itself, and frees one.
async fn permits_lapse_one_by_one(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let two = |ttl| Claim::new(&key, permit(2), ttl).expect("a valid claim");
    let (short, long) = (two(world.ttl()), world.lasting_as(permit(2), &key));
    let (next, last) = (world.lasting_as(permit(2), &key), world.lasting_as(permit(2), &key));
    let asked = Since::now();
    let lease = granted(here.acquire(&short).await).lease;
    granted(here.acquire(&long).await);
    wins(&there, &next).await;
    asked.lasted(lease);
    busy(there.acquire(&last).await);
    held(renew(&here, &long).await);
}

/// A writer gets in when the last reader has lapsed.
async fn a_reader_lapses_and_lets_the_writer_in(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let (released, lapsing) = (world.lasting_as(Mode::Shared, &key), world.claim_as(Mode::Shared, &key));
    granted(here.acquire(&released).await);
    let asked = Since::now();
    let lease = granted(there.acquire(&lapsing).await).lease;
    held(here.release(&released, AT_ONCE).await);
    let writer = world.lasting_as(Mode::Exclusive, &key).queued();
    wins(&here, &writer).await;
    asked.lasted(lease);
    busy(there.acquire(&world.lasting_as(Mode::Shared, &key)).await);
}

/// Waits until what was taken with the comfortable ttl has lapsed, as a claim on another key shows: nobody looks at
/// the claim in question, and nothing is renewed or released on the way.
async fn outlast(world: &World, client: &Client) {
    let clock = world.key("clock");
    granted(client.acquire(&world.claim(&clock)).await);
    wins(client, &world.lasting(&clock)).await;
    // For stores that notice lapses one after the other.
    sleep(world.ttl() / 2).await;
}

/// A claim lapses by the clock alone: renew of it says `Lost`, though the store still has it before its eyes.
async fn a_claim_that_nobody_looked_at_lapses_for_renewal_too(world: World) {
    let [here, there] = world.clients().await;
    let claim = world.claim(world.key("a"));
    granted(here.acquire(&claim).await);
    outlast(&world, &there).await;
    lost(renew(&here, &claim).await);
}

/// So does release.
async fn a_claim_that_nobody_looked_at_lapses_for_release_too(world: World) {
    let [here, there] = world.clients().await;
    let claim = world.claim(world.key("a"));
    granted(here.acquire(&claim).await);
    outlast(&world, &there).await;
    lost(here.release(&claim, LONG).await);
    assert!(is_free(&there, &world.key("a")).await);
}

/// Asking again is a new arrival, though nobody has taken the key meanwhile: whatever was done under the old token
/// may be seen as over.
async fn a_claim_that_nobody_looked_at_comes_back_as_a_new_one(world: World) {
    let [here, there] = world.clients().await;
    let claim = world.claim(world.key("a"));
    let first = granted(here.acquire(&claim).await).token;
    outlast(&world, &there).await;
    let second = granted(here.acquire(&claim).await).token;
    assert!(second > first, "{second} after {first}");
}

/// Asking again, one whose place lapsed is last.
async fn a_place_that_nobody_looked_at_comes_back_last(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let [holder, next] = world.rivals(&key).map(Claim::queued);
    let waiter = world.claim(&key).queued();
    granted(here.acquire(&holder).await);
    busy(here.acquire(&waiter).await);
    busy(here.acquire(&next).await);
    outlast(&world, &there).await;
    busy(here.acquire(&waiter).await);
    held(here.release(&holder, AT_ONCE).await);
    busy(here.acquire(&waiter).await);
    granted(here.acquire(&next).await);
}
