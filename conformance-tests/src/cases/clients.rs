//! Claims belong to no client: another one, or a fork, can do all that the first one could.

use std::sync::Arc;

use lock_core::{Backend, Claim};

use super::{Case, case};
use crate::World;
use crate::asking::{AT_ONCE, Client, is_free, renew, rung, waits};
use crate::world::{busy, granted, held, lost};

pub(crate) const CASES: &[Case] = &[
    case!(another_client_renews_and_releases_a_claim, exclusive),
    case!(another_client_takes_up_a_place, exclusive; needs Fair),
    case!(a_claim_outlives_its_client, exclusive),
    case!(a_place_outlives_its_client, exclusive; needs Fair),
    case!(a_fork_sees_the_same_store, exclusive),
    case!(a_fork_hears_the_rings_of_its_origin, exclusive; needs Pushed),
    case!(an_origin_hears_the_rings_of_its_fork, exclusive; needs Pushed),
    case!(a_fork_outlives_its_origin, exclusive),
    case!(a_fork_works_while_the_runtime_of_its_origin_is_blocked, exclusive),
    case!(a_client_works_on_after_the_runtime_of_its_fork_is_gone, exclusive),
    case!(every_client_has_the_same_profile),
    case!(clients_come_and_go, exclusive),
];

/// Everything that renew and release need is in the store or in the claim.
async fn another_client_renews_and_releases_a_claim(world: World) {
    let [here, there] = world.clients().await;
    let claim = world.lasting(world.key("a"));
    let token = granted(here.acquire(&claim).await).token;
    held(renew(&there, &claim).await);
    assert_eq!(granted(there.acquire(&claim).await).token, token);
    held(there.release(&claim, AT_ONCE).await);
    lost(renew(&here, &claim).await);
    lost(here.release(&claim, AT_ONCE).await);
    granted(here.acquire(&world.lasting(world.key("a"))).await);
}

/// A place that one client took, another one can look at, renew and leave.
async fn another_client_takes_up_a_place(world: World) {
    let [here, there] = world.clients().await;
    let [holder, first, second] = world.rivals(&world.key("a")).map(Claim::queued);
    granted(here.acquire(&holder).await);
    busy(here.acquire(&first).await);
    busy(here.acquire(&second).await);
    busy(there.acquire(&first).await);
    held(renew(&there, &first).await);
    held(there.release(&first, AT_ONCE).await);
    held(there.release(&holder, AT_ONCE).await);
    granted(there.acquire(&second).await);
}

/// A claim stays until it lapses or is released, though its client is gone.
async fn a_claim_outlives_its_client(world: World) {
    let [here, there] = world.clients().await;
    let claim = world.lasting(world.key("a"));
    granted(here.acquire(&claim).await);
    drop(here);
    // Whatever a client does when it goes, it has done by the time a new one is served.
    drop(world.client().await);
    assert!(!is_free(&there, &world.key("a")).await);
    held(renew(&there, &claim).await);
    held(there.release(&claim, AT_ONCE).await);
    assert!(is_free(&there, &world.key("a")).await);
}

/// So does a place.
async fn a_place_outlives_its_client(world: World) {
    let [here, there] = world.clients().await;
    let [holder, first, second] = world.rivals(&world.key("a")).map(Claim::queued);
    granted(there.acquire(&holder).await);
    drop(waits(&here, &first).await);
    busy(there.acquire(&second).await);
    drop(here);
    drop(world.client().await);
    held(there.release(&holder, AT_ONCE).await);
    busy(there.acquire(&second).await);
    granted(there.acquire(&first).await);
}

/// A fork is another client of the same store.
async fn a_fork_sees_the_same_store(world: World) {
    let [here, there] = world.clients().await;
    let fork = here.fork().await.expect("a fork");
    let again = fork.fork().await.expect("a fork of a fork");
    let [claim, other] = world.rivals(&world.key("a"));
    let token = granted(here.acquire(&claim).await).token;
    for client in [&fork, &again] {
        busy(client.acquire(&other).await);
        held(renew(client, &claim).await);
        assert_eq!(granted(client.acquire(&claim).await).token, token);
    }
    held(again.release(&claim, AT_ONCE).await);
    granted(fork.acquire(&other).await);
    busy(there.acquire(&claim).await);
}

/// A claim queued by the origin rings at its fork.
async fn a_fork_hears_the_rings_of_its_origin(world: World) {
    let [origin, elsewhere] = world.clients().await;
    let fork = origin.fork().await.expect("a fork");
    rings_through(&world, &elsewhere, &origin, &fork).await;
}

/// A claim queued by a fork rings at its origin.
async fn an_origin_hears_the_rings_of_its_fork(world: World) {
    let [origin, elsewhere] = world.clients().await;
    let fork = origin.fork().await.expect("a fork");
    rings_through(&world, &elsewhere, &fork, &origin).await;
}

async fn rings_through(world: &World, holds: &Client, queues: &Client, listens: &Client) {
    for listens_first in [true, false] {
        let [holder, waiter] = world.rivals(&world.key(&format!("{listens_first}"))).map(Claim::queued);
        granted(holds.acquire(&holder).await);
        busy(queues.acquire(&waiter).await);
        let mut bell = None;
        if listens_first {
            bell = Some(listens.wakeups(&waiter).await.expect("a bell"));
        }
        held(holds.release(&holder, AT_ONCE).await);
        let mut bell = match bell {
            Some(bell) => bell,
            None => listens.wakeups(&waiter).await.expect("a bell"),
        };
        rung(&mut bell).await;
        granted(listens.acquire(&waiter).await);
    }
}

/// A fork works when its origin is gone.
async fn a_fork_outlives_its_origin(world: World) {
    let [here, there] = world.clients().await;
    let fork = here.fork().await.expect("a fork");
    let [claim, other] = world.rivals(&world.key("a"));
    granted(here.acquire(&claim).await);
    drop(here);
    held(renew(&fork, &claim).await);
    held(fork.release(&claim, AT_ONCE).await);
    granted(fork.acquire(&other).await);
    assert!(!is_free(&there, &world.key("a")).await);
}

/// Runs what needs runtimes of its own, to block and to drop, on a thread where none is running.
async fn apart(work: impl FnOnce() + Send + 'static) {
    tokio::task::spawn_blocking(work).await.expect("the work does not panic");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime for a client")
}

/// A fork's I/O is driven by the runtime it was made on: it is made and works while that of its origin stands still,
/// and after it is gone.
async fn a_fork_works_while_the_runtime_of_its_origin_is_blocked(world: World) {
    apart(move || {
        // Nothing runs on it but while it is blocked on: then, nobody's blocked executor could stand more still.
        let (first, second) = (runtime(), runtime());
        let [claim, other] = world.rivals(&world.key("a"));
        let origin = first.block_on(world.client());
        granted(first.block_on(origin.acquire(&claim)));
        let fork = second
            .block_on(async { crate::patience::within("a fork", origin.fork()).await.expect("a fork") });
        let stays = async || {
            held(crate::patience::within("a renewal", renew(&fork, &claim)).await);
            busy(fork.acquire(&other).await);
        };
        second.block_on(stays());
        drop(first);
        second.block_on(stays());
        drop(origin);
        second.block_on(stays());
        held(second.block_on(fork.release(&claim, AT_ONCE)));
    })
    .await;
}

/// A client needs nothing of its fork, nor of the fork's runtime.
async fn a_client_works_on_after_the_runtime_of_its_fork_is_gone(world: World) {
    let client = world.client().await;
    let claim = Arc::new(world.lasting(world.key("a")));
    granted(client.acquire(&claim).await);
    let (origin, held_there) = (client.clone(), claim.clone());
    apart(move || {
        let second = runtime();
        let fork = second.block_on(origin.fork()).expect("a fork");
        held(second.block_on(renew(&fork, &held_there)));
        drop(second);
        drop(fork);
    })
    .await;
    held(renew(&client, &claim).await);
    held(client.release(&claim, AT_ONCE).await);
    assert!(is_free(&client, &world.key("a")).await);
}

/// The profile is always the same answer.
async fn every_client_has_the_same_profile(world: World) {
    let [here, there] = world.clients().await;
    let fork = here.fork().await.expect("a fork");
    let profile = here.profile();
    assert!(here.profile() == profile && there.profile() == profile && fork.profile() == profile);
    assert!(!profile.name.is_empty() && profile.name.chars().all(|c| c.is_ascii_lowercase()), "{profile:?}");
    assert!(profile.min_ttl >= Claim::MIN_TTL && profile.min_ttl <= Claim::MAX_TTL, "{profile:?}");
}

/// Clients come, take a lock, and go, many at once and again and again: each is served, and none keeps anything.
async fn clients_come_and_go(world: World) {
    for round in 0..3 {
        let visits = crate::patience::crowd(10, |at| {
            let world = world.clone();
            async move {
                let client = world.client().await;
                let claim = world.lasting(world.key(&format!("{round} {at}")));
                granted(client.acquire(&claim).await);
                held(renew(&client, &claim).await);
                held(client.release(&claim, AT_ONCE).await);
            }
        });
        assert_eq!(visits.await.len(), 10);
    }
}
