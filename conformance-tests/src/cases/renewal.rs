//! Law 8: renew never creates a claim, and never changes its place.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use lock_core::{Claim, Mode, Ownership};
use tokio::time::sleep;

use super::{Case, case};
use crate::World;
use crate::asking::{AT_ONCE, Since, is_free, permit, renew, renewed_halfway, until_free, wins};
use crate::patience::LONG;
use crate::world::{busy, granted, held, lost};

pub(crate) const CASES: &[Case] = &[
    case!(a_claim_that_was_never_taken_is_not_made, exclusive),
    case!(a_released_claim_is_not_brought_back, exclusive),
    case!(a_lapsed_place_is_not_brought_back, exclusive; needs Several),
    case!(a_batch_is_answered_in_its_order, exclusive),
    case!(a_large_batch_is_renewed_whole, exclusive),
    case!(an_empty_batch_has_no_answers),
    case!(a_claim_twice_in_a_batch_is_held_twice, exclusive),
    case!(claims_of_many_clients_are_renewed_by_one, exclusive),
    case!(claims_of_every_mode_are_renewed_together; needs Shared, Permits, Several),
    case!(a_renewal_keeps_every_key, exclusive; needs Several),
    case!(a_queued_claim_keeps_its_place_by_renewal, exclusive; needs Fair),
    case!(a_renewal_moves_nobody_in_the_queue, exclusive; needs Fair),
    case!(a_renewal_helps_nobody_else, exclusive),
    case!(renewed_again_and_again_it_stays, exclusive),
];

/// Renew never creates a claim: one that never came is `Lost`, and its key stays free.
async fn a_claim_that_was_never_taken_is_not_made(world: World) {
    let client = world.client().await;
    let key = world.key("a");
    lost(renew(&client, &world.lasting(&key)).await);
    lost(renew(&client, &world.lasting(&key).queued()).await);
    assert!(is_free(&client, &key).await);
}

/// Renew does not bring back what was released, held or queued.
async fn a_released_claim_is_not_brought_back(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let [holder, waiter] = world.rivals(&key);
    let waiter = waiter.queued();
    granted(here.acquire(&holder).await);
    busy(here.acquire(&waiter).await);
    held(here.release(&waiter, AT_ONCE).await);
    lost(renew(&here, &waiter).await);
    held(here.release(&holder, AT_ONCE).await);
    lost(renew(&here, &holder).await);
    assert!(is_free(&there, &key).await);
}

/// Renew does not bring back a place that lapsed.
async fn a_lapsed_place_is_not_brought_back(world: World) {
    let [here, there] = world.clients().await;
    let [a, b] = world.keys(["a", "b"]);
    let holder = world.lasting(&a);
    let waiter = world.claim([&a, &b]).queued();
    granted(here.acquire(&holder).await);
    busy(here.acquire(&waiter).await);
    until_free(&there, &b, || async {}).await;
    lost(renew(&here, &waiter).await);
    held(here.release(&holder, AT_ONCE).await);
    assert!(is_free(&there, &a).await);
}

/// One result for each claim, in the same order; one that is lost takes none with it.
async fn a_batch_is_answered_in_its_order(world: World) {
    let client = world.client().await;
    let claims: Vec<_> = (0..60).map(|at| Arc::new(world.lasting(world.key(&format!("k{at}"))))).collect();
    let is_held = |at: usize| at * at % 7 != 2 && !at.is_multiple_of(5);
    for (at, claim) in claims.iter().enumerate() {
        // Every other one of those to be lost never came; the rest is released.
        if is_held(at) || at % 2 == 0 {
            granted(client.acquire(claim).await);
        }
        if !is_held(at) && at % 2 == 0 {
            held(client.release(claim, AT_ONCE).await);
        }
    }
    let answers = client.renew(&claims).await;
    assert_eq!(answers.len(), claims.len());
    for (at, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(Ownership::Held { .. }) => assert!(is_held(at), "claim {at} was lost"),
            Ok(Ownership::Lost) => assert!(!is_held(at), "claim {at} was held"),
            other => panic!("claim {at}: {other:?}"),
        }
    }
}

/// As many as the core sends at most are renewed in one call.
async fn a_large_batch_is_renewed_whole(world: World) {
    let [here, there] = world.clients().await;
    let claims: Vec<_> = (0..1024).map(|at| Arc::new(world.lasting(world.key(&format!("k{at}"))))).collect();
    for some in claims.chunks(64) {
        for answer in join_all(some.iter().map(|claim| here.acquire(claim))).await {
            granted(answer);
        }
    }
    let answers = there.renew(&claims).await;
    assert_eq!(answers.len(), claims.len());
    for answer in answers {
        held(answer);
    }
}

/// No claims, no answers.
async fn an_empty_batch_has_no_answers(world: World) {
    assert!(world.client().await.renew(&[]).await.is_empty());
}

/// A claim that is in a batch twice is answered twice.
async fn a_claim_twice_in_a_batch_is_held_twice(world: World) {
    let client = world.client().await;
    let [holder, stranger] = world.rivals(&world.key("a"));
    let (holder, stranger) = (Arc::new(holder), Arc::new(stranger));
    granted(client.acquire(&holder).await);
    let answers = client.renew(&[holder.clone(), stranger, holder]).await;
    let [Ok(Ownership::Held { .. }), Ok(Ownership::Lost), Ok(Ownership::Held { .. })] = answers[..] else {
        panic!("{answers:?}");
    };
}

/// Claims belong to no client: whoever has them can renew them.
async fn claims_of_many_clients_are_renewed_by_one(world: World) {
    let clients: [_; 6] = world.clients().await;
    let mut claims = Vec::new();
    for (at, client) in clients.iter().enumerate() {
        let claim = world.lasting(world.key(&format!("k{at}")));
        granted(client.acquire(&claim).await);
        claims.push(Arc::new(claim));
    }
    for answer in world.client().await.renew(&claims).await {
        held(answer);
    }
}

/// A batch mixes modes, and claims of one key and of many, held and queued.
async fn claims_of_every_mode_are_renewed_together(world: World) {
    let client = world.client().await;
    let [a, b, c, d] = world.keys(["a", "b", "c", "d"]);
    let claims = [
        world.lasting_as(Mode::Shared, [&a, &b]),
        world.lasting_as(Mode::Shared, &b),
        world.lasting_as(permit(2), &c),
        world.lasting_as(Mode::Exclusive, &d),
        world.lasting_as(Mode::Exclusive, [&b, &c, &d]).queued(),
    ]
    .map(Arc::new);
    for claim in &claims {
        assert!(client.acquire(claim).await.is_ok());
    }
    for answer in client.renew(&claims).await {
        assert!(held(answer) > Duration::ZERO);
    }
}

/// A renewal keeps the claim on all its keys.
async fn a_renewal_keeps_every_key(world: World) {
    world.unspoiled(renewed_on_all_keys).await;
}

async fn renewed_on_all_keys(world: World, ttl: Duration) -> bool {
    let [here, there] = world.clients().await;
    let keys = world.keys(["a", "b", "c"]);
    let Some((renewed, _)) = renewed_halfway(&here, &world.claim_for(ttl, &keys[..])).await else {
        return false;
    };
    let others = keys.each_ref().map(|key| world.lasting(key));
    join_all(others.iter().map(|other| async {
        wins(&there, other).await;
        renewed.lasted(ttl);
    }))
    .await;
    true
}

/// A queued claim may be renewed: it keeps its place so.
async fn a_queued_claim_keeps_its_place_by_renewal(world: World) {
    world.unspoiled(queued_and_renewed).await;
}

async fn queued_and_renewed(world: World, ttl: Duration) -> bool {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let [holder, next] = world.rivals(&key);
    let (waiter, next) = (world.claim_for(ttl, &key).queued(), next.queued());
    granted(here.acquire(&holder).await);
    let mut last = Since::now();
    busy(there.acquire(&waiter).await);
    busy(there.acquire(&next).await);
    for _ in 0..6 {
        sleep(ttl / 3).await;
        let now = Since::now();
        let answer = renew(&there, &waiter).await;
        if !last.within(ttl) {
            return false;
        }
        held(answer);
        last = now;
    }
    held(here.release(&holder, AT_ONCE).await);
    let (next, waiter) = (there.acquire(&next).await, there.acquire(&waiter).await);
    if !last.within(ttl) {
        return false;
    }
    busy(next);
    granted(waiter);
    true
}

/// A renewal changes no place in the queue.
async fn a_renewal_moves_nobody_in_the_queue(world: World) {
    let [here, there] = world.clients().await;
    let claims: [Claim; 5] = world.rivals(&world.key("a")).map(Claim::queued);
    for claim in &claims {
        assert!(here.acquire(claim).await.is_ok());
    }
    for claim in [&claims[3], &claims[1], &claims[0], &claims[4], &claims[2]] {
        held(renew(&there, claim).await);
    }
    for (at, claim) in claims.iter().enumerate() {
        for behind in &claims[at + 1..] {
            busy(there.acquire(behind).await);
        }
        granted(here.acquire(claim).await);
        held(here.release(claim, AT_ONCE).await);
    }
}

/// A renewal is of the claims it names: another one of the same client lapses all the same.
async fn a_renewal_helps_nobody_else(world: World) {
    let [here, there] = world.clients().await;
    let [a, b] = world.keys(["a", "b"]);
    let (renewed, forgotten) = (world.lasting(&a), world.claim(&b));
    granted(here.acquire(&renewed).await);
    granted(here.acquire(&forgotten).await);
    until_free(&there, &b, || async {
        held(renew(&here, &renewed).await);
    })
    .await;
}

/// A claim that is renewed in time stays, for many times its ttl.
async fn renewed_again_and_again_it_stays(world: World) {
    world.unspoiled(renewed_for_long).await;
}

async fn renewed_for_long(world: World, ttl: Duration) -> bool {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let (claim, other) = (world.claim_for(ttl, &key), world.claim_for(LONG, &key));
    let mut last = Since::now();
    let first = granted(here.acquire(&claim).await);
    let mut lease = first.lease;
    for _ in 0..9 {
        sleep(ttl / 3).await;
        let refused = there.acquire(&other).await;
        let now = Since::now();
        let answer = renew(&here, &claim).await;
        if !last.within(lease) {
            return false;
        }
        busy(refused);
        (last, lease) = (now, held(answer));
    }
    let again = granted(here.acquire(&claim).await);
    if !last.within(lease) {
        return false;
    }
    assert_eq!(again.token, first.token);
    true
}
