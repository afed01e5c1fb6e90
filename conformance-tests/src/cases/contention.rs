//! Many who want the same thing at once.

use std::iter::repeat_n;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lock_core::Mode;
use tokio::task::yield_now;

use super::{Case, case};
use crate::World;
use crate::history::Recorder;
use crate::patience::{crowd, let_go};
use crate::world::in_mode;

pub(crate) const CASES: &[Case] = &[
    case!(fifty_tasks_over_five_clients_never_overlap, exclusive),
    case!(a_counter_without_atomicity_loses_no_update, exclusive),
    case!(readers_and_writers_never_overlap; needs Shared),
    case!(readers_never_see_half_a_write; needs Shared),
    case!(permits_reach_their_number_and_never_pass_it; needs Permits),
];

/// 50 tasks over 5 independent clients, four times each: the recorded holds do not overlap, and their tokens grow.
async fn fifty_tasks_over_five_clients_never_overlap(world: World) {
    let (clients, history) = (world.steadies::<5>().await, Recorder::default());
    crowd(50, |task| {
        let lock = world.lock(&clients[task % 5], world.key("a"));
        history.clone().turns(task, repeat_n(lock, 4))
    })
    .await;
    history.assert_sound(200);
}

/// A counter that is read, and later written one higher, counts every one of 100 increments made under the lock.
async fn a_counter_without_atomicity_loses_no_update(world: World) {
    let (clients, counter) = (world.steadies::<5>().await, Arc::new(AtomicU64::new(0)));
    let key = world.key("counter");
    crowd(25, |task| {
        let (world, locks, counter, key) =
            (world.clone(), clients[task % 5].clone(), counter.clone(), key.clone());
        async move {
            for _ in 0..4 {
                let guard = world.lock(&locks, &key).acquire().await.expect("granted in the end");
                let read = counter.load(Ordering::SeqCst);
                yield_now().await;
                counter.store(read + 1, Ordering::SeqCst);
                let_go(guard).await;
            }
        }
    })
    .await;
    assert_eq!(counter.load(Ordering::SeqCst), 100);
}

/// 40 tasks over 5 clients, every fourth a writer: readers overlap with readers only, and the tokens of those who
/// exclude each other grow.
async fn readers_and_writers_never_overlap(world: World) {
    let (clients, history) = (world.steadies::<5>().await, Recorder::default());
    crowd(40, |task| {
        let mode = if task % 4 == 0 { Mode::Exclusive } else { Mode::Shared };
        let lock = in_mode(clients[task % 5].lock(world.key("a")), mode);
        history.clone().turns(task, repeat_n(lock, 3))
    })
    .await;
    history.assert_sound(120);
}

/// A writer changes two cells one after the other; no reader under the lock sees them differ.
async fn readers_never_see_half_a_write(world: World) {
    let (clients, cells) = (world.steadies::<4>().await, Arc::new([AtomicU64::new(0), AtomicU64::new(0)]));
    let key = world.key("cells");
    crowd(24, |task| {
        let (locks, cells, key) = (clients[task % 4].clone(), cells.clone(), key.clone());
        async move {
            if task % 4 == 0 {
                let guard = locks.lock(&key).acquire().await.expect("granted in the end");
                cells[0].fetch_add(1, Ordering::SeqCst);
                yield_now().await;
                cells[1].fetch_add(1, Ordering::SeqCst);
                let_go(guard).await;
            } else {
                let guard = locks.lock(&key).shared().acquire().await.expect("granted in the end");
                let first = cells[0].load(Ordering::SeqCst);
                yield_now().await;
                assert_eq!(first, cells[1].load(Ordering::SeqCst), "half a write was read by task {task}");
                let_go(guard).await;
            }
        }
    })
    .await;
    assert_eq!(cells[1].load(Ordering::SeqCst), 6);
}

/// 50 tasks over 5 clients share four permits: four hold at once, and never five.
async fn permits_reach_their_number_and_never_pass_it(world: World) {
    let clients = world.steadies::<5>().await;
    let crew = super::permits::Crew::of(4);
    let key = world.key("a");
    crowd(50, |task| crew.clone().work(task, clients[task % 5].clone(), key.clone())).await;
    crew.assert_peak(50);
}
