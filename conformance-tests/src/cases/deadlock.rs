//! Several keys at once, in any order: everybody finishes.

use std::iter::repeat_n;
use std::sync::atomic::{AtomicUsize, Ordering};

use lock_core::{Key, Mode};

use super::{Case, case};
use crate::World;
use crate::history::Recorder;
use crate::patience::crowd;
use crate::world::in_mode;

pub(crate) const CASES: &[Case] = &[
    case!(two_keys_in_either_order_never_deadlock, exclusive),
    case!(random_sets_of_keys_never_deadlock, exclusive),
    case!(a_ring_of_neighbours_never_deadlocks, exclusive),
    case!(sets_of_keys_in_mixed_modes_never_deadlock; needs Shared, Permits),
];

/// Two clients want `a` and `b`, one naming them the other way round, 25 times each.
async fn two_keys_in_either_order_never_deadlock(world: World) {
    let (clients, history) = (world.steadies::<2>().await, Recorder::default());
    crowd(2, |task| {
        let keys = if task == 0 { ["a", "b"] } else { ["b", "a"] }.map(|name| world.key(name));
        let lock = world.lock(&clients[task], &keys[..]);
        history.clone().turns(task, repeat_n(lock, 25))
    })
    .await;
    history.assert_sound(100);
}

/// 32 tasks over 4 clients take sets of 2 to 8 keys out of 12, three times each, drawn from a fixed seed. On no key
/// do two overlap.
async fn random_sets_of_keys_never_deadlock(world: World) {
    const SEED: u64 = 20_250_115;
    println!("random_sets_of_keys_never_deadlock: seed {SEED}");
    let (clients, history) = (world.steadies::<4>().await, Recorder::default());
    let all: Vec<Key> = (0..12).map(|number| world.key(&format!("{number}"))).collect();
    let taken = AtomicUsize::new(0);
    crowd(32, |task| {
        let mut random = fastrand::Rng::with_seed(SEED + task as u64);
        let locks: Vec<_> = (0..3)
            .map(|_| {
                let size = random.usize(2..=8);
                let keys = random.choose_multiple(&all, size);
                taken.fetch_add(keys.len(), Ordering::Relaxed);
                world.lock(&clients[task % 4], keys)
            })
            .collect();
        history.clone().turns(task, locks)
    })
    .await;
    history.assert_sound(taken.into_inner());
}

/// Eight at a round table, each of whom wants the key to the left and the key to the right, ten times.
async fn a_ring_of_neighbours_never_deadlocks(world: World) {
    let (clients, history) = (world.steadies::<4>().await, Recorder::default());
    crowd(8, |task| {
        let keys = [task, (task + 1) % 8].map(|number| world.key(&format!("fork {number}")));
        let lock = world.lock(&clients[task % 4], &keys[..]);
        history.clone().turns(task, repeat_n(lock, 10))
    })
    .await;
    history.assert_sound(160);
}

/// Readers, writers and holders of two permits want two or three out of four keys: all finish, and none overlap that
/// may not.
async fn sets_of_keys_in_mixed_modes_never_deadlock(world: World) {
    let (clients, history) = (world.steadies::<4>().await, Recorder::default());
    let modes = [Mode::Shared, Mode::Exclusive, Mode::permit_of(2).expect("not zero")];
    crowd(24, |task| {
        let (mode, number) = (modes[task % 3], task / 3);
        let keys = [number, number + 1, number + 2].map(|number| world.key(&format!("{}", number % 4)));
        let lock = in_mode(clients[task % 4].lock(&keys[task % 2..]), mode);
        history.clone().turns(task, repeat_n(lock, 4))
    })
    .await;
    history.assert_sound(24 * 4 * 5 / 2);
}
