//! A lapse rings nobody: `retry_after` finds it.

use std::time::Duration;

use lock_core::{Attempt, Claim, Grant, Mode};

use super::{Case, case};
use crate::World;
use crate::asking::{AT_ONCE, Client, Since, answered, pause, permit};
use crate::patience::{LONG, within};
use crate::world::{busy, granted, held};

pub(crate) const CASES: &[Case] = &[
    case!(a_waiter_that_follows_it_finds_a_dead_holder, exclusive),
    case!(a_waiter_that_follows_it_finds_a_dead_waiter_ahead, exclusive; needs Fair),
    case!(a_dead_holder_is_found_though_a_waiter_between_gives_up, exclusive; needs Fair),
    case!(a_dead_holder_is_found_though_a_crowd_between_gives_up, exclusive; needs Fair),
    case!(a_dead_holder_is_found_behind_one_that_has_lapsed, exclusive; needs Fair),
    case!(a_dead_waiter_is_found_though_both_beside_it_leave, exclusive; needs Fair),
    case!(a_dead_waiter_is_found_though_a_few_behind_it_leave, exclusive; needs Fair),
    case!(a_waiter_that_follows_it_finds_the_end_of_a_cooldown, exclusive),
    case!(a_permit_is_found_at_the_first_lapse; needs Permits),
    case!(a_lapse_that_changes_nothing_is_not_waited_for; needs Shared, Several),
    case!(a_writer_that_follows_it_finds_dead_readers; needs Shared, Fair),
    case!(it_is_never_later_than_the_lapse, exclusive),
    case!(it_does_not_send_anybody_spinning, exclusive),
];

/// Asks, and asks again exactly when the store says, as the core does where nothing rings.
async fn follow(client: &Client, claim: &Claim) -> Grant {
    let follow = async {
        loop {
            match client.acquire(claim).await {
                Ok(Attempt::Busy(busy)) => pause(busy.retry_after).await,
                attempt => return granted(attempt),
            }
        }
    };
    within("the grant that retry_after leads to", follow).await
}

/// Asked again when it says, a dead holder is found gone.
async fn a_waiter_that_follows_it_finds_a_dead_holder(world: World) {
    let [here, there] = world.clients().await;
    let [a, b] = world.keys(["a", "b"]);
    for (key, waiter) in [(&a, world.lasting(&a)), (&b, world.lasting(&b).queued())] {
        let asked = Since::now();
        let lease = granted(here.acquire(&world.claim(key)).await).lease;
        follow(&there, &waiter).await;
        asked.lasted(lease);
    }
}

/// Behind a dead waiter too, whose turn has come.
async fn a_waiter_that_follows_it_finds_a_dead_waiter_ahead(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let [holder, waiter] = world.rivals(&key).map(Claim::queued);
    granted(here.acquire(&holder).await);
    busy(here.acquire(&world.claim(&key).queued()).await);
    busy(there.acquire(&waiter).await);
    held(here.release(&holder, AT_ONCE).await);
    follow(&there, &waiter).await;
}

/// The one just ahead does not suffice: it may give up, which rings nobody while the dead holder has not lapsed.
async fn a_dead_holder_is_found_though_a_waiter_between_gives_up(world: World) {
    a_dead_one_is_found_though_others_leave(world, 0, 1).await;
}

/// However many there are between them.
async fn a_dead_holder_is_found_though_a_crowd_between_gives_up(world: World) {
    a_dead_one_is_found_though_others_leave(world, 0, 40).await;
}

/// Nor do the one just ahead and the oldest suffice: both may leave, and a dead waiter between them is left.
async fn a_dead_waiter_is_found_though_both_beside_it_leave(world: World) {
    a_dead_one_is_found_though_others_leave(world, 1, 1).await;
}

/// Who is among the nearest sixteen is found though all between leave, and all before.
async fn a_dead_waiter_is_found_though_a_few_behind_it_leave(world: World) {
    a_dead_one_is_found_though_others_leave(world, 20, 15).await;
}

/// So many come before a dead one and so many after it, all of whom leave: the one behind them finds it.
async fn a_dead_one_is_found_though_others_leave(world: World, before: usize, between: usize) {
    let trial = async |world: World, ttl: Duration| {
        let [here, there] = world.clients().await;
        let key = world.key("a");
        let others = |count: usize| (0..count).map(|_| world.lasting(&key).queued()).collect::<Vec<_>>();
        let (older, younger) = (others(before), others(between));
        let (dead, waiter) = (world.claim_for(ttl, &key).queued(), world.lasting(&key).queued());
        for claim in &older {
            answered(here.acquire(claim).await);
        }
        let asked = Since::now();
        for claim in [&dead].into_iter().chain(&younger) {
            answered(here.acquire(claim).await);
        }
        let retry_after = busy(there.acquire(&waiter).await).retry_after;
        if !asked.within(ttl) {
            // It may have lapsed before the look, which then saw living ones alone.
            return false;
        }
        for claim in younger.iter().chain(&older) {
            held(here.release(claim, AT_ONCE).await);
        }
        within("retry_after", pause(retry_after)).await;
        follow(&there, &waiter).await;
        true
    };
    world.unspoiled(trial).await;
}

/// What has lapsed and is still there does not hide the one behind it.
async fn a_dead_holder_is_found_behind_one_that_has_lapsed(world: World) {
    let trial = async |world: World, ttl: Duration| {
        let [here, there] = world.clients().await;
        let key = world.key("a");
        let (lapsed, dead) = (world.claim_for(ttl, &key).queued(), world.claim_for(ttl * 4, &key).queued());
        let others: Vec<_> = (0..20).map(|_| world.lasting(&key).queued()).collect();
        let waiter = world.lasting(&key).queued();
        answered(here.acquire(&lapsed).await);
        let asked = Since::now();
        for claim in [&dead].into_iter().chain(&others) {
            answered(here.acquire(claim).await);
        }
        pause(ttl).await;
        let retry_after = busy(there.acquire(&waiter).await).retry_after;
        if !asked.within(ttl * 4) {
            return false;
        }
        for claim in &others {
            held(here.release(claim, AT_ONCE).await);
        }
        within("retry_after", pause(retry_after)).await;
        follow(&there, &waiter).await;
        true
    };
    world.unspoiled(trial).await;
}

/// Behind what a release kept, it leads to the end of that.
async fn a_waiter_that_follows_it_finds_the_end_of_a_cooldown(world: World) {
    let [here, there] = world.clients().await;
    let [holder, waiter] = world.rivals(&world.key("a")).map(Claim::queued);
    granted(here.acquire(&holder).await);
    busy(there.acquire(&waiter).await);
    let released = Since::now();
    held(here.release(&holder, world.ttl()).await);
    follow(&there, &waiter).await;
    released.lasted(world.ttl());
}

/// For one of several permits it is the first lapse among them, not the last.
async fn a_permit_is_found_at_the_first_lapse(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let two = |ttl| Claim::new(&key, permit(2), ttl).expect("a valid claim");
    for (first, second) in [(LONG, world.ttl()), (world.ttl(), LONG)] {
        let holders = [two(first), two(second)];
        let waiter = two(LONG).queued();
        for holder in &holders {
            granted(here.acquire(holder).await);
        }
        follow(&there, &waiter).await;
        for claim in holders.iter().chain([&waiter]) {
            drop(here.release(claim, AT_ONCE).await);
        }
    }
}

/// It looks at what is in the way: a claim ahead that leaves room is not waited for.
async fn a_lapse_that_changes_nothing_is_not_waited_for(world: World) {
    let [here, there] = world.clients().await;
    let [a, b] = world.keys(["a", "b"]);
    granted(here.acquire(&world.lasting_as(Mode::Shared, &a)).await);
    granted(here.acquire(&world.claim_as(Mode::Exclusive, &b)).await);
    follow(&there, &world.lasting_as(Mode::Shared, [&a, &b]).queued()).await;
}

/// A writer finds its turn when the last of the readers has lapsed, whichever that is.
async fn a_writer_that_follows_it_finds_dead_readers(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    for ttl in [1, 3, 2] {
        let reader = Claim::new(&key, Mode::Shared, world.ttl() / 2 * ttl).expect("a valid claim");
        granted(here.acquire(&reader).await);
    }
    follow(&there, &world.lasting_as(Mode::Exclusive, &key).queued()).await;
}

/// It is never later than the lapse that it announces.
async fn it_is_never_later_than_the_lapse(world: World) {
    let [here, there] = world.clients().await;
    for (at, seconds) in [1, 2, 30, 3600, 86_400].into_iter().enumerate() {
        let key = world.key(&format!("a{at}"));
        let ttl = Duration::from_secs(seconds);
        let holder = world.claim_for(ttl, &key);
        let lease = granted(here.acquire(&holder).await).lease;
        // A store that counts whole seconds may keep it for one more.
        let latest = ttl.max(lease) + Duration::from_secs(1);
        match there.acquire(&world.lasting(&key)).await {
            Ok(Attempt::Busy(busy)) => assert!(busy.retry_after <= latest, "{busy:?} for a ttl of {ttl:?}"),
            other => drop(granted(other)),
        }
    }
}

/// Behind a holder that has long to go there is nothing to look for soon.
async fn it_does_not_send_anybody_spinning(world: World) {
    let [here, there] = world.clients().await;
    let [holder, waiter, skipper] = world.rivals(&world.key("a"));
    granted(here.acquire(&holder).await);
    for claim in [waiter.queued(), skipper] {
        let retry_after = busy(there.acquire(&claim).await).retry_after;
        assert!(retry_after >= Duration::from_secs(1), "{retry_after:?} before a lapse in {LONG:?}");
    }
}
