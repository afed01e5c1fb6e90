//! Law 5: release is thorough. Afterwards nothing of the claim remains but what `keep` asked for.

use std::time::Duration;

use futures::future::join_all;
use lock_core::{Claim, Mode, Ownership};

use super::{Case, case};
use crate::World;
use crate::asking::{AT_ONCE, Since, answered, is_free, permit, renew, until_free, wins};
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
        let (late, first, end) =
            futures::join!(there.acquire(&claim), here.acquire(&claim), here.release(&claim, AT_ONCE));
        granted(late);
        granted(first);
        assert!(end.is_ok(), "{end:?}");
    }
    for key in &keys {
        wins(&here, &world.lasting(key)).await;
    }
}

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
