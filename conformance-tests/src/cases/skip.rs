//! Law 6: a claim that skips leaves nothing, and no look lengthens or shortens what others have.

use std::time::Duration;

use futures::future::join_all;
use lock_core::{Attempt, Claim, Mode};

use super::{Case, case};
use crate::World;
use crate::asking::{AT_ONCE, Client, answered, is_free, permit, renew, until_free, wins};
use crate::world::{busy, granted, held, lost};

pub(crate) const CASES: &[Case] = &[
    case!(a_refused_claim_leaves_nothing, exclusive),
    case!(a_refused_claim_is_lost, exclusive),
    case!(of_many_at_once_one_is_granted_and_nothing_is_left, exclusive),
    case!(a_queued_claim_refuses_newcomers, exclusive; needs Fair),
    case!(a_waiting_writer_refuses_readers; needs Shared, Fair),
    case!(a_waiting_claim_refuses_permits; needs Permits, Fair),
    case!(it_is_granted_when_only_lapsed_claims_remain, exclusive),
    case!(a_refused_claim_does_not_lengthen_the_holder, exclusive),
    case!(a_refused_claim_does_not_shorten_the_holder, exclusive),
    case!(a_queued_claim_does_not_shorten_the_holder, exclusive),
    case!(a_refused_claim_does_not_lengthen_a_place, exclusive; needs Several),
    case!(a_refused_claim_does_not_shorten_a_place, exclusive; needs Fair),
    case!(a_refused_claim_of_many_keys_leaves_nothing_on_the_free_ones, exclusive; needs Several),
];

/// A claim that does not wait and is refused leaves nothing: when the holder goes, the next one is in at once.
async fn a_refused_claim_leaves_nothing(world: World) {
    let clients: [_; 3] = world.clients().await;
    let key = world.key("a");
    let holder = world.lasting(&key);
    granted(clients[0].acquire(&holder).await);
    for at in 0..30 {
        busy(clients[at % 3].acquire(&world.lasting(&key)).await);
    }
    held(clients[0].release(&holder, AT_ONCE).await);
    granted(clients[1].acquire(&world.lasting(&key)).await);
}

/// A claim that was refused is in no queue: renew and release of it say `Lost`.
async fn a_refused_claim_is_lost(world: World) {
    let [here, there] = world.clients().await;
    let [holder, other] = world.rivals(&world.key("a"));
    granted(here.acquire(&holder).await);
    busy(there.acquire(&other).await);
    lost(renew(&there, &other).await);
    lost(there.release(&other, AT_ONCE).await);
    busy(there.acquire(&other).await);
}

/// Of many that ask at once one is granted, and the others leave nothing.
async fn of_many_at_once_one_is_granted_and_nothing_is_left(world: World) {
    let clients: [_; 8] = world.clients().await;
    let key = world.key("a");
    for _ in 0..12 {
        let claims: [Claim; 8] = world.rivals(&key);
        let asked = clients.iter().zip(&claims).map(|(client, claim)| client.acquire(claim));
        let answers = join_all(asked).await;
        let granted = |answer: &_| matches!(answer, Ok(Attempt::Granted(_)));
        let winners: Vec<_> = claims.iter().zip(&answers).filter(|(_, answer)| granted(answer)).collect();
        assert_eq!(winners.len(), 1, "{answers:?}");
        held(clients[0].release(winners[0].0, AT_ONCE).await);
        assert!(is_free(&clients[0], &key).await);
    }
}

/// Skip is refused while anyone unlapsed is queued, though nobody has looked since the holder left.
async fn a_queued_claim_refuses_newcomers(world: World) {
    let [here, there] = world.clients().await;
    let [holder, waiter, newcomer] = world.rivals(&world.key("a"));
    let waiter = waiter.queued();
    granted(here.acquire(&holder).await);
    busy(there.acquire(&waiter).await);
    held(here.release(&holder, AT_ONCE).await);
    busy(here.acquire(&newcomer).await);
    granted(there.acquire(&waiter).await);
}

/// A shared claim that skips is refused behind a waiting writer, though readers hold the key.
async fn a_waiting_writer_refuses_readers(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let reader = || world.lasting_as(Mode::Shared, &key);
    granted(here.acquire(&reader()).await);
    granted(there.acquire(&reader()).await);
    let writer = world.lasting_as(Mode::Exclusive, &key).queued();
    busy(there.acquire(&writer).await);
    busy(here.acquire(&reader()).await);
    held(there.release(&writer, AT_ONCE).await);
    granted(here.acquire(&reader()).await);
}

/// A permit that skips is refused behind a waiting claim, though permits are left.
async fn a_waiting_claim_refuses_permits(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let one = || world.lasting_as(permit(4), &key);
    granted(here.acquire(&one()).await);
    let waiting = world.lasting_as(Mode::Exclusive, &key).queued();
    busy(there.acquire(&waiting).await);
    busy(here.acquire(&one()).await);
    held(there.release(&waiting, AT_ONCE).await);
    granted(here.acquire(&one()).await);
}

/// When only lapsed claims remain, held or queued, it is granted.
async fn it_is_granted_when_only_lapsed_claims_remain(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let (holder, waiter) = (world.claim(&key), world.claim(&key).queued());
    granted(here.acquire(&holder).await);
    answered(here.acquire(&waiter).await);
    wins(&there, &world.lasting(&key)).await;
    lost(renew(&here, &holder).await);
    lost(renew(&here, &waiter).await);
}

/// A refused attempt does not lengthen what the holder has, however often it comes, skipping or waiting.
async fn a_refused_claim_does_not_lengthen_the_holder(world: World) {
    let [here, there] = world.clients().await;
    let [a, b] = world.keys(["a", "b"]);
    granted(here.acquire(&world.claim(&a)).await);
    granted(here.acquire(&world.claim(&b)).await);
    let (skipping, waiting) = (world.lasting(&a), world.lasting(&b).queued());
    futures::join!(wins(&there, &skipping), wins(&there, &waiting));
}

/// A refused attempt does not shorten what the holder has: a ttl is each claim's own.
async fn a_refused_claim_does_not_shorten_the_holder(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let holder = world.lasting(&key);
    granted(here.acquire(&holder).await);
    let short = world.claim_for(Claim::MIN_TTL, &key);
    busy(there.acquire(&short).await);
    outlast(&world, &there, &short).await;
    held(renew(&here, &holder).await);
    busy(there.acquire(&world.lasting(&key)).await);
}

/// Nor does one that waits, with a ttl shorter than the holder's.
async fn a_queued_claim_does_not_shorten_the_holder(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let holder = world.lasting(&key);
    granted(here.acquire(&holder).await);
    let short = world.claim_for(Claim::MIN_TTL, &key).queued();
    busy(there.acquire(&short).await);
    outlast(&world, &there, &short).await;
    held(renew(&here, &holder).await);
    busy(there.acquire(&world.lasting(&key)).await);
}

/// Waits until a claim like this one, on a key of its own, has come and lapsed.
async fn outlast(world: &World, client: &Client, claim: &Claim) {
    let elsewhere = world.key("elsewhere");
    let twin = world.claim_for(claim.ttl(), &elsewhere);
    granted(client.acquire(&twin).await);
    until_free(client, &elsewhere, || async {}).await;
}

/// A refused attempt does not lengthen the place of somebody who waits.
async fn a_refused_claim_does_not_lengthen_a_place(world: World) {
    let [here, there] = world.clients().await;
    let [a, b] = world.keys(["a", "b"]);
    granted(here.acquire(&world.lasting(&a)).await);
    busy(here.acquire(&world.claim([&a, &b]).queued()).await);
    until_free(&there, &b, || async {
        busy(there.acquire(&world.lasting(&a)).await);
    })
    .await;
}

/// A refused attempt does not shorten the place of somebody who waits.
async fn a_refused_claim_does_not_shorten_a_place(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let [holder, waiter, next] = world.rivals(&key);
    let (waiter, next) = (waiter.queued(), next.queued());
    granted(here.acquire(&holder).await);
    busy(here.acquire(&waiter).await);
    busy(here.acquire(&next).await);
    let short = world.claim_for(Claim::MIN_TTL, &key);
    busy(there.acquire(&short).await);
    outlast(&world, &there, &short).await;
    held(here.release(&holder, AT_ONCE).await);
    busy(here.acquire(&next).await);
    granted(here.acquire(&waiter).await);
}

/// A refused claim of many keys leaves nothing on those that were free, not even for a moment of its ttl.
async fn a_refused_claim_of_many_keys_leaves_nothing_on_the_free_ones(world: World) {
    let [here, there] = world.clients().await;
    let keys: Vec<_> = (0..8).map(|at| world.key(&format!("k{at}"))).collect();
    granted(here.acquire(&world.lasting(&keys[7])).await);
    for _ in 0..5 {
        busy(there.acquire(&world.lasting(&keys)).await);
        busy(there.acquire(&world.claim_for(Duration::from_secs(60), &keys)).await);
    }
    granted(here.acquire(&world.lasting(&keys[..7])).await);
}
