//! First come, first served.

use std::sync::{Arc, Mutex};

use super::{Case, case};
use crate::World;
use crate::patience::{LONG, crowd, let_go, within};
use crate::queue::Queue;
use crate::world::{busy, granted};

pub(crate) const CASES: &[Case] = &[
    case!(those_who_wait_are_served_in_the_order_of_arrival, exclusive; needs Fair),
    case!(a_wait_for_several_keys_keeps_its_turn_on_each, exclusive; needs Fair, Several),
    case!(sixteen_contenders_get_about_the_same, exclusive; needs Fair),
    case!(a_dropped_wait_delays_nobody, exclusive),
    case!(a_skip_does_not_pass_one_whose_turn_it_is, exclusive; needs Fair),
    case!(a_skip_does_not_pass_one_who_waits_behind_another, exclusive; needs Fair, Several),
];

/// Nine waits over three clients, queued one after the other, are served in that order.
async fn those_who_wait_are_served_in_the_order_of_arrival(world: World) {
    let (queue, order) = (Queue::default(), Arc::new(Mutex::new(Vec::new())));
    let key = world.key("a");
    let guard = world.lock(&world.steady().await, &key).acquire().await.expect("free");
    let clients = [queue.locker(&world).await, queue.locker(&world).await, queue.locker(&world).await];
    let mut waiting = Vec::new();
    for task in 0..9 {
        let (lock, order) = (world.lock(&clients[task % 3], &key), order.clone());
        waiting.push(tokio::spawn(async move {
            let guard = lock.acquire().await.expect("granted in the end");
            order.lock().expect("no panic under it").push(task);
            let_go(guard).await;
        }));
        queue.has(task + 1).await;
    }
    let_go(guard).await;
    for task in waiting {
        within("all who wait", task).await.expect("no panic");
    }
    assert_eq!(*order.lock().expect("no panic under it"), (0..9).collect::<Vec<_>>());
}

/// One who waits for two keys, only one of them held, is not passed on the free one by those who come later.
async fn a_wait_for_several_keys_keeps_its_turn_on_each(world: World) {
    let queue = Queue::default();
    let (a, b) = (world.key("a"), world.key("b"));
    let (here, both, late) = (world.steady().await, queue.locker(&world).await, queue.locker(&world).await);
    let guard = world.lock(&here, &a).acquire().await.expect("free");
    let both = tokio::spawn(world.lock(&both, [&a, &b]).acquire());
    queue.has(1).await;
    let late = tokio::spawn(world.lock(&late, &b).acquire());
    queue.has(2).await;
    let_go(guard).await;
    let both = within("the one who came first", both).await.expect("no panic").expect("granted");
    assert!(!late.is_finished(), "two hold one key");
    let_go(both).await;
    let late = within("the one who came later", late).await.expect("no panic").expect("granted");
    let_go(late).await;
}

/// 16 contenders over four clients, each asking again as soon as it has released, until there were 240 grants: the
/// luckiest has at most four times what the least lucky one has.
async fn sixteen_contenders_get_about_the_same(world: World) {
    let (queue, left) = (Queue::default(), Arc::new(Mutex::new(240_u32)));
    let key = world.key("a");
    let first = world.lock(&world.steady().await, &key).acquire().await.expect("free");
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(queue.locker(&world).await);
    }
    let contenders = crowd(16, |task| {
        let (world, locks, left, key) = (world.clone(), clients[task % 4].clone(), left.clone(), key.clone());
        async move {
            for grants in 0.. {
                let guard = world.lock(&locks, &key).acquire().await.expect("granted in the end");
                let go_on = {
                    let mut left = left.lock().expect("no panic under it");
                    *left = left.saturating_sub(1);
                    *left > 0
                };
                let_go(guard).await;
                if !go_on {
                    return grants + 1;
                }
            }
            unreachable!("nobody is granted so often")
        }
    });
    let begin = async {
        queue.has(16).await;
        let_go(first).await;
    };
    let (grants, ()) = tokio::join!(contenders, begin);
    let (least, most) = (grants.iter().min().expect("16"), grants.iter().max().expect("16"));
    assert!(most <= &(least * 4), "from {least} to {most} grants: {grants:?}");
}

/// Of three who wait the first two give up; the third is served when the holder leaves, long before their places
/// could lapse.
async fn a_dropped_wait_delays_nobody(world: World) {
    let queue = Queue::default();
    let key = world.key("a");
    let guard = world.lock(&world.steady().await, &key).acquire().await.expect("free");
    let mut waiting = Vec::new();
    for task in 1..=3 {
        let locks = queue.locker(&world).await;
        waiting.push(tokio::spawn(world.lock(&locks, &key).acquire()));
        queue.has(task).await;
    }
    let third = waiting.pop().expect("three");
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    drop(waiting); // and with it what they may have been granted
    let_go(guard).await;
    let third = within("the one who still waits", third).await.expect("no panic").expect("granted");
    let_go(third).await;
}

/// The holder leaves and the next one has not looked yet: it has the lock already, and a skip is refused.
async fn a_skip_does_not_pass_one_whose_turn_it_is(world: World) {
    let [here, there] = world.steadies().await;
    let guard = world.lock(&here, world.key("a")).acquire().await.expect("free");
    let (client, next) = (world.client().await, world.claim_for(LONG, world.key("a")).queued());
    busy(client.acquire(&next).await);
    let_go(guard).await;
    assert!(world.lock(&there, world.key("a")).try_acquire().await.expect("an answer").is_none());
    granted(client.acquire(&next).await);
}

/// Somebody waits for two keys of which one is free: a skip of the free one is refused.
async fn a_skip_does_not_pass_one_who_waits_behind_another(world: World) {
    let [here, there] = world.steadies().await;
    let (a, b) = (world.key("a"), world.key("b"));
    let _held = world.lock(&here, &a).acquire().await.expect("free");
    let both = world.claim_for(LONG, [&a, &b]).queued();
    busy(world.client().await.acquire(&both).await);
    assert!(world.lock(&there, &b).try_acquire().await.expect("an answer").is_none());
}
