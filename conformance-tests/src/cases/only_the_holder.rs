//! Law 4: renew or release by any other owner changes nothing and says `Lost`.

use lock_core::Claim;

use super::{Case, case};
use crate::World;
use crate::asking::{AT_ONCE, Since, renew, until_free, wins};
use crate::patience::LONG;
use crate::world::{busy, granted, held, lost};

pub(crate) const CASES: &[Case] = &[
    case!(only_the_holder_releases, exclusive),
    case!(only_the_holder_renews, exclusive),
    case!(a_stranger_lengthens_nothing, exclusive),
    case!(a_stranger_shortens_nothing, exclusive),
    case!(a_stranger_takes_no_place_away, exclusive; needs Fair),
    case!(a_stranger_that_keeps_leaves_nothing, exclusive),
    case!(a_waiter_cannot_release_the_holder, exclusive; needs Fair),
    case!(a_stale_release_does_not_free_the_successor, exclusive),
    case!(a_stale_renewal_does_not_touch_the_successor, exclusive),
    case!(a_part_of_the_keys_gives_no_right, exclusive; needs Several),
];

/// Release by any other owner changes nothing and says `Lost`.
async fn only_the_holder_releases(world: World) {
    let [here, there] = world.clients().await;
    let [holder, other] = world.rivals(&world.key("a"));
    granted(here.acquire(&holder).await);
    lost(there.release(&other, AT_ONCE).await);
    lost(here.release(&other, AT_ONCE).await);
    busy(there.acquire(&other).await);
    held(here.release(&holder, AT_ONCE).await);
}

/// Renew by any other owner says `Lost`, also under the holder's label and from the holder's client.
async fn only_the_holder_renews(world: World) {
    let [here, there] = world.clients().await;
    let [holder, other] = world.rivals(&world.key("a"));
    let label = |claim: Claim| claim.labelled("worker 3").expect("a short label");
    let (holder, other) = (label(holder), label(other));
    granted(here.acquire(&holder).await);
    lost(renew(&there, &other).await);
    lost(renew(&here, &other).await);
    held(renew(&there, &holder).await);
}

/// Renew by any other owner does not lengthen what the holder has: it lapses all the same.
async fn a_stranger_lengthens_nothing(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let (holder, stranger) = (world.claim(&key), world.lasting(&key));
    granted(here.acquire(&holder).await);
    until_free(&there, &key, || async { lost(renew(&there, &stranger).await) }).await;
}

/// Neither renew nor release by any other owner shortens what the holder has.
async fn a_stranger_shortens_nothing(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let (holder, next) = (world.claim(&key), world.lasting(&key));
    let stranger = world.claim_for(Claim::MIN_TTL, &key);
    let asked = Since::now();
    let lease = granted(here.acquire(&holder).await).lease;
    lost(renew(&there, &stranger).await);
    lost(there.release(&stranger, AT_ONCE).await);
    lost(there.release(&stranger, Claim::MIN_TTL).await);
    wins(&there, &next).await;
    asked.lasted(lease);
}

/// Renew and release by any other owner change nothing in the queue.
async fn a_stranger_takes_no_place_away(world: World) {
    let [here, there] = world.clients().await;
    let [holder, first, second, stranger] = world.rivals(&world.key("a"));
    let (first, second) = (first.queued(), second.queued());
    granted(here.acquire(&holder).await);
    busy(there.acquire(&first).await);
    busy(there.acquire(&second).await);
    lost(here.release(&stranger, AT_ONCE).await);
    lost(renew(&here, &stranger).await);
    held(here.release(&holder, AT_ONCE).await);
    busy(there.acquire(&second).await);
    granted(there.acquire(&first).await);
}

/// A release by any other owner keeps nothing, whatever it asks for.
async fn a_stranger_that_keeps_leaves_nothing(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let [holder, stranger, next] = world.rivals(&key);
    lost(there.release(&stranger, LONG).await);
    granted(here.acquire(&holder).await);
    lost(there.release(&stranger, LONG).await);
    held(here.release(&holder, AT_ONCE).await);
    granted(there.acquire(&next).await);
}

/// A waiter that releases gives up its own place, and nothing of the holder's.
async fn a_waiter_cannot_release_the_holder(world: World) {
    let [here, there] = world.clients().await;
    let [holder, waiter, other] = world.rivals(&world.key("a"));
    let waiter = waiter.queued();
    let token = granted(here.acquire(&holder).await).token;
    busy(there.acquire(&waiter).await);
    held(there.release(&waiter, AT_ONCE).await);
    busy(there.acquire(&other).await);
    assert_eq!(granted(here.acquire(&holder).await).token, token);
}

/// The release of a holder that lapsed does not free its successor.
async fn a_stale_release_does_not_free_the_successor(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let (stale, [successor, other]) = (world.claim(&key), world.rivals(&key));
    granted(here.acquire(&stale).await);
    wins(&there, &successor).await;
    lost(here.release(&stale, AT_ONCE).await);
    lost(here.release(&stale, LONG).await);
    busy(here.acquire(&other).await);
    held(there.release(&successor, AT_ONCE).await);
    granted(here.acquire(&other).await);
}

/// The renewal of a holder that lapsed takes nothing back from its successor, and gives it nothing.
async fn a_stale_renewal_does_not_touch_the_successor(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let (stale, successor) = (world.claim(&key), world.claim(&key));
    granted(here.acquire(&stale).await);
    let token = wins(&there, &successor).await.token;
    until_free(&there, &key, || async { lost(renew(&here, &stale).await) }).await;
    assert!(granted(there.acquire(&world.lasting(&key)).await).token > token);
}

/// A claim for some of the holder's keys, or for more, is another owner's.
async fn a_part_of_the_keys_gives_no_right(world: World) {
    let [here, there] = world.clients().await;
    let [a, b, c] = world.keys(["a", "b", "c"]);
    let holder = world.lasting([&a, &b]);
    granted(here.acquire(&holder).await);
    for stranger in [world.lasting(&a), world.lasting(&b), world.lasting([&a, &b, &c])] {
        lost(there.release(&stranger, AT_ONCE).await);
        lost(renew(&there, &stranger).await);
        busy(there.acquire(&stranger).await);
    }
    held(renew(&here, &holder).await);
}
