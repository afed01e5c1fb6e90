//! Several keys at once, in any order: everybody finishes.

use std::sync::Arc;

use lock_core::{Key, Mode};
use tokio::task::yield_now;

use super::{Case, case};
use crate::World;
use crate::history::History;
use crate::patience::{crowd, let_go};
use crate::world::in_mode;

pub(crate) const CASES: &[Case] = &[
    case!(two_keys_in_either_order_never_deadlock, exclusive),
    case!(random_sets_of_keys_never_deadlock, exclusive),
    case!(a_ring_of_neighbours_never_deadlocks, exclusive),
    case!(sets_of_keys_in_mixed_modes_never_deadlock; needs Shared, Permits),
];

/// Two clients want `a` and `b`, one naming them the other way round, 25 times each.
async fn two_keys_in_either_order_never_deadlock(world: World) {
    let (clients, history) = (world.steadies::<2>().await, Arc::new(History::default()));
    crowd(2, |task| {
        let (world, locks, history) = (world.clone(), clients[task].clone(), history.clone());
        let keys = if task == 0 { ["a", "b"] } else { ["b", "a"] }.map(|name| world.key(name));
        async move {
            for _ in 0..25 {
                let guard = world.lock(&locks, &keys[..]).acquire().await.expect("granted in the end");
                history.record(format!("task {task}"), world.mode(), &guard, yield_now()).await;
                let_go(guard).await;
            }
        }
    })
    .await;
    history.assert_sound(100);
}

/// 32 tasks over 4 clients take sets of 2 to 8 keys out of 12, three times each, drawn from a fixed seed. On no key
/// do two overlap.
async fn random_sets_of_keys_never_deadlock(world: World) {
    const SEED: u64 = 20_250_115;
    println!("random_sets_of_keys_never_deadlock: seed {SEED}");
    let (clients, history) = (world.steadies::<4>().await, Arc::new(History::default()));
    let all: Vec<Key> = (0..12).map(|number| world.key(&format!("{number}"))).collect();
    let taken = crowd(32, |task| {
        let (world, locks, history) = (world.clone(), clients[task % 4].clone(), history.clone());
        let mut random = fastrand::Rng::with_seed(SEED + task as u64);
        let all = all.clone();
        async move {
            let mut taken = 0;
            for _ in 0..3 {
                let mut keys = all.clone();
                random.shuffle(&mut keys);
                keys.truncate(random.usize(2..=8));
                taken += keys.len();
                let guard = world.lock(&locks, keys).acquire().await.expect("granted in the end");
                history.record(format!("task {task}"), world.mode(), &guard, yield_now()).await;
                let_go(guard).await;
            }
            taken
        }
    })
    .await;
    history.assert_sound(taken.iter().sum());
}

/// Eight at a round table, each of whom wants the key to the left and the key to the right, ten times.
async fn a_ring_of_neighbours_never_deadlocks(world: World) {
    let (clients, history) = (world.steadies::<4>().await, Arc::new(History::default()));
    crowd(8, |task| {
        let (world, locks, history) = (world.clone(), clients[task % 4].clone(), history.clone());
        let keys = [task, (task + 1) % 8].map(|number| world.key(&format!("fork {number}")));
        async move {
            for _ in 0..10 {
                let guard = world.lock(&locks, &keys[..]).acquire().await.expect("granted in the end");
                history.record(format!("task {task}"), world.mode(), &guard, yield_now()).await;
                let_go(guard).await;
            }
        }
    })
    .await;
    history.assert_sound(160);
}

/// Readers, writers and holders of two permits want two or three out of four keys: all finish, and none overlap that
/// may not.
async fn sets_of_keys_in_mixed_modes_never_deadlock(world: World) {
    let (clients, history) = (world.steadies::<4>().await, Arc::new(History::default()));
    let modes = [Mode::Shared, Mode::Exclusive, Mode::permit_of(2).expect("not zero")];
    let taken = crowd(24, |task| {
        let (locks, history, mode) = (clients[task % 4].clone(), history.clone(), modes[task % 3]);
        let numbers = (0..2 + task % 2).map(|step| (task / 3 + step) % 4);
        let keys: Vec<_> = numbers.map(|number| world.key(&format!("{number}"))).collect();
        async move {
            for _ in 0..4 {
                let guard = in_mode(locks.lock(&keys), mode).acquire().await.expect("granted in the end");
                history.record(format!("task {task}"), mode, &guard, yield_now()).await;
                let_go(guard).await;
            }
            4 * keys.len()
        }
    })
    .await;
    history.assert_sound(taken.iter().sum());
}
