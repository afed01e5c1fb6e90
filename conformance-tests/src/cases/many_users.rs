//! Many at once, each on its own or all on one record: in small.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use futures::future::join_all;
use tokio::sync::Barrier;
use tokio::task::yield_now;

use super::{Case, case};
use crate::World;
use crate::history::Recorder;
use crate::patience::{crowd, gets_in, is_free, let_go};
use crate::world::{granted, held};

pub(crate) const CASES: &[Case] = &[
    case!(fifty_executions_on_keys_of_their_own_run_in_parallel, exclusive),
    case!(a_hundred_claims_at_once_are_all_different, exclusive),
    case!(thirty_registrations_in_one_record_are_all_there, exclusive),
    case!(a_hundred_tasks_through_five_clients_are_all_served, exclusive),
    case!(tasks_that_give_up_leave_the_others_alone, exclusive),
];

/// 50 executions over 5 clients, each under a key of its own, are all in their critical sections at once: no state
/// written under one key is seen under another, and the events of each are in order.
async fn fifty_executions_on_keys_of_their_own_run_in_parallel(world: World) {
    let (clients, all) = (world.steadies::<5>().await, Arc::new(Barrier::new(50)));
    let state = Arc::new(std::array::from_fn::<_, 50, _>(|_| Mutex::new(Vec::new())));
    crowd(50, |task| {
        let lock = world.lock(&clients[task % 5], world.key(&format!("user {task}")));
        let (all, state) = (all.clone(), state.clone());
        async move {
            let guard = lock.acquire().await.expect("nobody else wants it");
            all.wait().await;
            for event in 0..3 {
                state[task].lock().expect("no panic under it").push((task, event));
                yield_now().await;
            }
            let_go(guard).await;
        }
    })
    .await;
    for (task, events) in state.iter().enumerate() {
        assert_eq!(*events.lock().expect("no panic under it"), [(task, 0), (task, 1), (task, 2)]);
    }
}

/// 100 claims made at once have 100 owners, are granted 100 tokens, and leave nothing when they are released.
async fn a_hundred_claims_at_once_are_all_different(world: World) {
    let client = world.client().await;
    let claims = crowd(100, |task| {
        let (world, client) = (world.clone(), client.clone());
        async move {
            let claim = world.claim_for(crate::patience::LONG, world.key(&format!("{task}")));
            let grant = granted(client.acquire(&claim).await);
            (claim, grant.token)
        }
    })
    .await;
    let owners: HashSet<_> = claims.iter().map(|(claim, _)| claim.owner()).collect();
    let tokens: HashSet<_> = claims.iter().map(|(_, token)| *token).collect();
    assert_eq!((owners.len(), tokens.len()), (100, 100), "(owners, tokens)");
    for release in join_all(claims.iter().map(|(claim, _)| client.release(claim, Default::default()))).await {
        held(release);
    }
    let locks = world.steady().await;
    for task in 0..100 {
        drop(gets_in(world.lock(&locks, world.key(&format!("{task}")))).await);
    }
}

/// 30 users over 5 clients register in one record, which is read and later written whole: all 30 are in it.
async fn thirty_registrations_in_one_record_are_all_there(world: World) {
    let (clients, record) = (world.steadies::<5>().await, Arc::new(Mutex::new(Vec::new())));
    crowd(30, |user| {
        let (lock, record) = (world.lock(&clients[user % 5], world.key("registry")), record.clone());
        async move {
            let guard = lock.acquire().await.expect("granted in the end");
            let mut registered = record.lock().expect("no panic under it").clone();
            yield_now().await;
            registered.push(user);
            *record.lock().expect("no panic under it") = registered;
            let_go(guard).await;
        }
    })
    .await;
    let mut registered = record.lock().expect("no panic under it").clone();
    registered.sort_unstable();
    assert_eq!(registered, (0..30).collect::<Vec<_>>());
}

/// 100 tasks share 5 clients and contend for 10 keys: all are served, and none overlap.
async fn a_hundred_tasks_through_five_clients_are_all_served(world: World) {
    let (clients, history) = (world.steadies::<5>().await, Recorder::default());
    crowd(100, |task| {
        let lock = world.lock(&clients[task % 5], world.key(&format!("{}", task % 10)));
        history.clone().turns(task, [lock])
    })
    .await;
    history.assert_sound(100);
}

/// Of 40 tasks that want one key every other gives up in the middle of its wait, as users do: the rest are served,
/// and nothing is left.
async fn tasks_that_give_up_leave_the_others_alone(world: World) {
    let (clients, history) = (world.steadies::<5>().await, Recorder::default());
    crowd(40, |task| {
        let lock = world.lock(&clients[task % 5], world.key("a"));
        let history = history.clone();
        async move {
            if task % 2 == 0 {
                let patience = std::time::Duration::from_millis(task as u64 / 4);
                let _ = tokio::time::timeout(patience, lock.acquire()).await;
                return;
            }
            history.turns(task, [lock]).await;
        }
    })
    .await;
    history.assert_sound(20);
    join_all(clients.iter().map(lock_core::Locker::close)).await;
    let locks = world.steady().await;
    is_free(world.lock(&locks, world.key("a"))).await;
}
