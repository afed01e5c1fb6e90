//! Law 5: a release that keeps leaves a remnant, and nothing but that.

use std::time::Duration;

use lock_core::Mode;

use super::{Case, case};
use crate::World;
use crate::asking::{AT_ONCE, Since, answered, is_free, permit, renew, until_free, wins};
use crate::patience::LONG;
use crate::world::{busy, granted, held, lost};

pub(crate) const CASES: &[Case] = &[
    case!(a_release_that_keeps_says_how_long, exclusive),
    case!(keys_are_kept_for_less_than_the_ttl, exclusive),
    case!(keys_are_kept_for_more_than_the_ttl, exclusive),
    case!(every_key_is_kept, exclusive; needs Several),
    case!(nobody_owns_what_is_kept, exclusive),
    case!(the_owner_waits_for_what_is_kept_as_anybody, exclusive),
    case!(what_is_kept_stays_ahead_in_the_queue, exclusive; needs Fair),
    case!(a_place_can_be_kept, exclusive; needs Fair),
    case!(what_is_kept_of_a_reader_lets_readers_in; needs Shared),
    case!(what_is_kept_of_a_permit_counts_as_one; needs Permits),
];

/// A release that keeps answers with how long it keeps.
async fn a_release_that_keeps_says_how_long(world: World) {
    let client = world.client().await;
    let keep = Duration::from_secs(7);
    let claim = world.lasting(world.key("a"));
    granted(client.acquire(&claim).await);
    assert!(held(client.release(&claim, keep).await) >= keep);
    assert!(!is_free(&client, &world.key("a")).await);
}

/// `keep` leaves the keys taken so long, and no longer, though the claim would have stayed.
async fn keys_are_kept_for_less_than_the_ttl(world: World) {
    assert!(kept(world.clone(), LONG, world.ttl()).await);
}

/// `keep` leaves the keys taken so long, though the claim would have lapsed before.
async fn keys_are_kept_for_more_than_the_ttl(world: World) {
    world.unspoiled(|world, ttl| kept(world, ttl, ttl * 2)).await;
}

async fn kept(world: World, ttl: Duration, keep: Duration) -> bool {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let (claim, next) = (world.claim_for(ttl, &key), world.lasting(&key));
    let asked = Since::now();
    let first = granted(here.acquire(&claim).await);
    let released = Since::now();
    let end = here.release(&claim, keep).await;
    if !asked.within(first.lease) {
        return false;
    }
    held(end);
    let second = wins(&there, &next).await;
    released.lasted(keep);
    assert!(second.token > first.token);
    true
}

/// `keep` leaves every key taken.
async fn every_key_is_kept(world: World) {
    let [here, there] = world.clients().await;
    let keys = world.keys(["a", "b", "c"]);
    let claim = world.lasting(&keys[..]);
    granted(here.acquire(&claim).await);
    held(here.release(&claim, LONG).await);
    for key in &keys {
        busy(there.acquire(&world.lasting(key)).await);
    }
}

/// What is kept has an owner that nobody is: releasing again says `Lost` and leaves it, renewing does not
/// lengthen it.
async fn nobody_owns_what_is_kept(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let claim = world.lasting(&key);
    granted(here.acquire(&claim).await);
    let released = Since::now();
    held(here.release(&claim, world.ttl()).await);
    until_free(&there, &key, || async {
        lost(here.release(&claim, AT_ONCE).await);
        lost(there.release(&claim, LONG).await);
        lost(renew(&here, &claim).await);
    })
    .await;
    released.lasted(world.ttl());
}

/// The owner of what is kept queues behind it as anybody does, and has its place when that lapses.
async fn the_owner_waits_for_what_is_kept_as_anybody(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let (claim, next) = (world.lasting(&key).queued(), world.lasting(&key).queued());
    let first = granted(here.acquire(&claim).await).token;
    let released = Since::now();
    held(here.release(&claim, world.ttl()).await);
    answered(here.acquire(&claim).await);
    busy(there.acquire(&next).await);
    let second = wins(&here, &claim).await.token;
    released.lasted(world.ttl());
    assert!(second > first, "{second} after {first}");
    busy(there.acquire(&next).await);
    held(renew(&here, &claim).await);
    held(here.release(&claim, AT_ONCE).await);
    granted(there.acquire(&next).await);
}

/// What is kept of a holder stays where it was in the queue: ahead of those who waited.
async fn what_is_kept_stays_ahead_in_the_queue(world: World) {
    let [here, there] = world.clients().await;
    let [claim, first, second] = world.rivals(&world.key("a"));
    let (first, second) = (first.queued(), second.queued());
    granted(here.acquire(&claim).await);
    busy(there.acquire(&first).await);
    busy(there.acquire(&second).await);
    let released = Since::now();
    held(here.release(&claim, world.ttl()).await);
    wins(&there, &first).await;
    released.lasted(world.ttl());
    busy(there.acquire(&second).await);
    held(there.release(&first, AT_ONCE).await);
    granted(there.acquire(&second).await);
}

/// A queued claim that is released with `keep` stays in its place so long.
async fn a_place_can_be_kept(world: World) {
    let [here, there] = world.clients().await;
    let [holder, waiter, next] = world.rivals(&world.key("a"));
    let (waiter, next) = (waiter.queued(), next.queued());
    granted(here.acquire(&holder).await);
    busy(there.acquire(&waiter).await);
    busy(there.acquire(&next).await);
    let released = Since::now();
    held(there.release(&waiter, world.ttl()).await);
    lost(renew(&there, &waiter).await);
    held(here.release(&holder, AT_ONCE).await);
    wins(&there, &next).await;
    released.lasted(world.ttl());
}

/// What is kept of a shared claim is a shared claim.
async fn what_is_kept_of_a_reader_lets_readers_in(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let reader = world.lasting_as(Mode::Shared, &key);
    granted(here.acquire(&reader).await);
    held(here.release(&reader, LONG).await);
    busy(there.acquire(&world.lasting_as(Mode::Exclusive, &key)).await);
    granted(there.acquire(&world.lasting_as(Mode::Shared, &key)).await);
}

/// What is kept of a permit is one permit.
async fn what_is_kept_of_a_permit_counts_as_one(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let kept = world.lasting_as(permit(3), &key);
    granted(here.acquire(&kept).await);
    held(here.release(&kept, LONG).await);
    granted(there.acquire(&world.lasting_as(permit(3), &key)).await);
    granted(there.acquire(&world.lasting_as(permit(3), &key)).await);
    busy(there.acquire(&world.lasting_as(permit(3), &key)).await);
}
