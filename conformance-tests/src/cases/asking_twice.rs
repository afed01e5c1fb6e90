//! Law 2: asking twice is asking once.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::sleep;

use super::{Case, case};
use crate::World;
use crate::asking::{AT_ONCE, Since, is_free, wins};
use crate::world::{busy, granted, held, lost};

pub(crate) const CASES: &[Case] = &[
    case!(a_holder_asking_again_gets_the_same_token, exclusive),
    case!(a_holder_asking_again_through_another_client_gets_the_same_token, exclusive),
    case!(a_holder_asking_many_times_at_once_holds_once, exclusive),
    case!(a_waiter_asking_again_keeps_its_place, exclusive; needs Fair),
    case!(a_waiter_asking_many_times_at_once_has_one_place, exclusive; needs Fair),
    case!(a_waiter_that_looks_keeps_its_place_beyond_its_ttl, exclusive; needs Fair),
    case!(a_holder_asking_again_is_told_how_long_it_stays, exclusive),
    case!(a_holder_asking_again_is_not_cut_short, exclusive),
    case!(a_refused_claim_may_ask_again_later, exclusive),
];

/// A holder asking again gets the same token.
async fn a_holder_asking_again_gets_the_same_token(world: World) {
    let client = world.client().await;
    for claim in [world.lasting(world.key("a")), world.lasting(world.key("b")).queued()] {
        let first = granted(client.acquire(&claim).await);
        let again = granted(client.acquire(&claim).await);
        assert_eq!(first.token, again.token);
    }
}

/// A holder asking again gets the same token, whoever carries the request: a claim belongs to no connection.
async fn a_holder_asking_again_through_another_client_gets_the_same_token(world: World) {
    let [here, there] = world.clients().await;
    let claim = world.lasting(world.key("a"));
    assert_eq!(granted(here.acquire(&claim).await).token, granted(there.acquire(&claim).await).token);
}

/// Asking many times at once is asking once: one token, and one release ends it.
async fn a_holder_asking_many_times_at_once_holds_once(world: World) {
    let clients: [_; 4] = world.clients().await;
    let key = world.key("a");
    let claim = world.lasting(&key).queued();
    let asked = (0..16).map(|at| clients[at % clients.len()].acquire(&claim));
    let tokens: Vec<_> = join_all(asked).await.into_iter().map(|answer| granted(answer).token).collect();
    assert!(tokens.iter().all(|token| *token == tokens[0]), "one claim, many tokens: {tokens:?}");
    held(clients[0].release(&claim, AT_ONCE).await);
    lost(clients[1].release(&claim, AT_ONCE).await);
    assert!(is_free(&clients[2], &key).await);
}

/// A waiter asking again keeps its place, before those who came later and behind those who came earlier.
async fn a_waiter_asking_again_keeps_its_place(world: World) {
    let [here, there, elsewhere] = world.clients().await;
    let [holder, first, second] = world.rivals(&world.key("a"));
    let (first, second) = (first.queued(), second.queued());
    granted(here.acquire(&holder).await);
    busy(there.acquire(&first).await);
    busy(elsewhere.acquire(&second).await);
    for _ in 0..5 {
        busy(there.acquire(&first).await);
        busy(elsewhere.acquire(&second).await);
    }
    held(here.release(&holder, AT_ONCE).await);
    busy(elsewhere.acquire(&second).await);
    granted(there.acquire(&first).await);
    held(there.release(&first, AT_ONCE).await);
    granted(elsewhere.acquire(&second).await);
}

/// A waiter asking many times at once has one place: when it leaves, the next one is first.
async fn a_waiter_asking_many_times_at_once_has_one_place(world: World) {
    let clients: [_; 4] = world.clients().await;
    let [holder, waiter, next] = world.rivals(&world.key("a"));
    let (waiter, next) = (waiter.queued(), next.queued());
    granted(clients[0].acquire(&holder).await);
    for answer in join_all((0..16).map(|at| clients[at % clients.len()].acquire(&waiter))).await {
        busy(answer);
    }
    busy(clients[0].acquire(&next).await);
    held(clients[0].release(&holder, AT_ONCE).await);
    held(clients[1].release(&waiter, AT_ONCE).await);
    granted(clients[2].acquire(&next).await);
}

/// A place lasts a full ttl from the last look.
async fn a_waiter_that_looks_keeps_its_place_beyond_its_ttl(world: World) {
    world.unspoiled(looks_beyond_its_ttl).await;
}

async fn looks_beyond_its_ttl(world: World, ttl: Duration) -> bool {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let (holder, next) = (world.lasting(&key), world.lasting(&key).queued());
    let waiter = world.claim_for(ttl, &key).queued();
    granted(here.acquire(&holder).await);
    let mut looked = Since::now();
    busy(there.acquire(&waiter).await);
    busy(here.acquire(&next).await);
    for _ in 0..6 {
        sleep(ttl / 3).await;
        let look = Since::now();
        busy(there.acquire(&waiter).await);
        if !looked.within(ttl) {
            return false;
        }
        looked = look;
    }
    held(here.release(&holder, AT_ONCE).await);
    let (next, waiter) = (here.acquire(&next).await, there.acquire(&waiter).await);
    if !looked.within(ttl) {
        return false;
    }
    busy(next);
    granted(waiter);
    true
}

/// A holder asking again is told a lease that the store keeps, counted from that call.
async fn a_holder_asking_again_is_told_how_long_it_stays(world: World) {
    world.unspoiled(asks_again_halfway).await;
}

async fn asks_again_halfway(world: World, ttl: Duration) -> bool {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let (holder, other) = (world.claim_for(ttl, &key), world.lasting(&key));
    let asked = Since::now();
    let first = granted(here.acquire(&holder).await);
    sleep(ttl / 2).await;
    let again = Since::now();
    let second = granted(here.acquire(&holder).await);
    if !asked.within(first.lease) {
        return false;
    }
    assert_eq!(first.token, second.token);
    wins(&there, &other).await;
    asked.lasted(first.lease);
    again.lasted(second.lease);
    true
}

/// A holder asking again stays at least as long as it would have without.
async fn a_holder_asking_again_is_not_cut_short(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let (holder, other) = (world.claim(&key), world.lasting(&key));
    let asked = Since::now();
    let first = granted(here.acquire(&holder).await);
    for _ in 0..10 {
        // Stalled beyond its ttl it would come back as a new claim, which stays only longer.
        granted(here.acquire(&holder).await);
    }
    wins(&there, &other).await;
    asked.lasted(first.lease);
}

/// A claim that was refused and left nothing may ask again, and get the lock when it is free.
async fn a_refused_claim_may_ask_again_later(world: World) {
    let [here, there] = world.clients().await;
    let [holder, other] = world.rivals(&world.key("a"));
    let earlier = granted(here.acquire(&holder).await).token;
    busy(there.acquire(&other).await);
    busy(there.acquire(&other).await);
    held(here.release(&holder, AT_ONCE).await);
    assert!(granted(there.acquire(&other).await).token > earlier);
}
