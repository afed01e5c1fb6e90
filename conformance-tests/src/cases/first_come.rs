//! Law 11: first come, first served, among claims that wait. A dead waiter delays the others by at most its ttl.

use futures::future::join_all;
use lock_core::{Attempt, Claim};

use super::{Case, case};
use crate::World;
use crate::asking::{AT_ONCE, Since, answered, is_free, waits, wins};
use crate::world::{busy, granted, held};

pub(crate) const CASES: &[Case] = &[
    case!(waiters_of_many_clients_are_served_as_they_came, exclusive; needs Fair),
    case!(a_newcomer_that_waits_goes_last, exclusive; needs Fair),
    case!(a_place_needs_no_bell, exclusive; needs Fair),
    case!(many_that_come_at_once_are_served_one_by_one, exclusive; needs Fair),
    case!(a_queue_on_one_key_is_no_queue_on_another, exclusive),
    case!(dead_waiters_lapse_side_by_side, exclusive; needs Fair),
    case!(a_dead_waiter_in_the_middle_is_passed_over, exclusive; needs Fair),
];

/// First come, first served, from whichever clients.
async fn waiters_of_many_clients_are_served_as_they_came(world: World) {
    let clients: [_; 5] = world.clients().await;
    let key = world.key("a");
    let holder = world.lasting(&key);
    granted(clients[0].acquire(&holder).await);
    let waiters: Vec<_> = (0..15).map(|_| world.lasting(&key).queued()).collect();
    for (at, waiter) in waiters.iter().enumerate() {
        busy(clients[at * 2 % 5].acquire(waiter).await);
    }
    held(clients[0].release(&holder, AT_ONCE).await);
    for (at, waiter) in waiters.iter().enumerate() {
        if let Some(behind) = waiters.get(at + 1) {
            busy(clients[(at + 1) * 2 % 5].acquire(behind).await);
        }
        granted(clients[at * 2 % 5].acquire(waiter).await);
        held(clients[at % 5].release(waiter, AT_ONCE).await);
    }
}

/// A claim that waits is queued behind all that are there, the one that skips is refused by them.
async fn a_newcomer_that_waits_goes_last(world: World) {
    let [here, there] = world.clients().await;
    let [holder, waiter, newcomer, skipper] = world.rivals(&world.key("a"));
    let (waiter, newcomer) = (waiter.queued(), newcomer.queued());
    granted(here.acquire(&holder).await);
    busy(there.acquire(&waiter).await);
    held(here.release(&holder, AT_ONCE).await);
    busy(here.acquire(&newcomer).await);
    busy(here.acquire(&skipper).await);
    granted(there.acquire(&waiter).await);
    held(there.release(&waiter, AT_ONCE).await);
    busy(here.acquire(&skipper).await);
    granted(here.acquire(&newcomer).await);
}

/// A waiter whose bell never hung, or came down, has its place all the same.
async fn a_place_needs_no_bell(world: World) {
    let [here, there] = world.clients().await;
    let [holder, first, second] = world.rivals(&world.key("a")).map(Claim::queued);
    granted(here.acquire(&holder).await);
    drop(waits(&there, &first).await);
    busy(there.acquire(&second).await);
    held(here.release(&holder, AT_ONCE).await);
    busy(there.acquire(&second).await);
    granted(there.acquire(&first).await);
    held(there.release(&first, AT_ONCE).await);
    granted(there.acquire(&second).await);
}

/// However many come at once, there is one order: one holds at a time, each in its turn, with growing tokens.
async fn many_that_come_at_once_are_served_one_by_one(world: World) {
    let clients: [_; 5] = world.clients().await;
    let key = world.key("a");
    let mut waiting: Vec<_> = (0..20).map(|_| world.lasting(&key).queued()).collect();
    let mut last = None;
    while !waiting.is_empty() {
        let looks = waiting.iter().enumerate().map(|(at, claim)| clients[at % 5].acquire(claim));
        let looks = join_all(looks).await;
        let grants = looks.iter().enumerate().filter_map(|(at, look)| match look {
            Ok(Attempt::Granted(grant)) => Some((at, grant.token)),
            other => {
                assert!(matches!(other, Ok(Attempt::Busy(_))), "{other:?}");
                None
            }
        });
        let grants: Vec<_> = grants.collect();
        let [(at, token)] = grants[..] else { panic!("one holds at a time: {looks:?}") };
        assert!(Some(token) > last, "{token} after {last:?}");
        last = Some(token);
        held(clients[at % 5].release(&waiting.swap_remove(at), AT_ONCE).await);
    }
    assert!(is_free(&clients[0], &key).await);
}

/// Those who wait for a key are in nobody's way on other keys.
async fn a_queue_on_one_key_is_no_queue_on_another(world: World) {
    let [here, there] = world.clients().await;
    let [a, b] = world.keys(["a", "b"]);
    granted(here.acquire(&world.lasting(&a)).await);
    for _ in 0..5 {
        busy(there.acquire(&world.lasting(&a).queued()).await);
    }
    for _ in 0..5 {
        let other = world.lasting(&b).queued();
        granted(there.acquire(&other).await);
        held(here.release(&other, AT_ONCE).await);
    }
}

/// Dead waiters delay the others by one ttl, however many there are: their places lapse side by side.
async fn dead_waiters_lapse_side_by_side(world: World) {
    const DEAD: u32 = 40;
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let asked = Since::now();
    for _ in 0..DEAD {
        answered(there.acquire(&world.claim(&key).queued()).await);
    }
    wins(&here, &world.lasting(&key).queued()).await;
    // One after the other they would take twice as long at least.
    asked.at_most(world.ttl().max(here.profile().min_ttl) * (DEAD / 2));
}

/// A dead waiter in the middle of the queue costs nothing once its place has lapsed.
async fn a_dead_waiter_in_the_middle_is_passed_over(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let [holder, first, last] = world.rivals(&key).map(Claim::queued);
    let dead = world.claim(&key).queued();
    granted(here.acquire(&holder).await);
    busy(there.acquire(&first).await);
    let asked = Since::now();
    busy(there.acquire(&dead).await);
    busy(there.acquire(&last).await);
    held(here.release(&holder, AT_ONCE).await);
    granted(there.acquire(&first).await);
    held(there.release(&first, AT_ONCE).await);
    wins(&there, &last).await;
    asked.lasted(dead.ttl());
}
