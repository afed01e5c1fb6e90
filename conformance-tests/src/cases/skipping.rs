//! `try_acquire`: not waiting at all.

use std::sync::Arc;

use tokio::sync::Barrier;

use super::{Case, case};
use crate::World;
use crate::patience::{LONG, crowd, gets_in, let_go, within};

pub(crate) const CASES: &[Case] = &[
    case!(a_free_key_is_taken, exclusive),
    case!(a_busy_key_answers_none_and_leaves_nothing, exclusive),
    case!(the_holder_itself_is_refused, exclusive),
    case!(a_timeout_plays_no_part, exclusive),
    case!(several_keys_are_taken_all_or_none, exclusive),
    case!(of_many_at_once_one_gets_in, exclusive),
];

/// A free key is taken, and others are then refused.
async fn a_free_key_is_taken(world: World) {
    let [here, there] = world.steadies().await;
    let guard = world.lock(&here, world.key("a")).try_acquire().await.expect("an answer").expect("free");
    assert!(guard.is_held());
    assert!(world.lock(&there, world.key("a")).try_acquire().await.expect("an answer").is_none());
    let_go(guard).await;
}

/// Refused again and again, it leaves no place: when the holder leaves the next skip gets in.
async fn a_busy_key_answers_none_and_leaves_nothing(world: World) {
    let [here, there, third] = world.steadies().await;
    let guard = world.lock(&here, world.key("a")).acquire().await.expect("free");
    for _ in 0..3 {
        assert!(world.lock(&there, world.key("a")).try_acquire().await.expect("an answer").is_none());
    }
    let_go(guard).await;
    drop(gets_in(world.lock(&third, world.key("a"))).await);
}

/// A lock belongs to a guard, not to a client or a task: its own holder is refused like anybody else.
async fn the_holder_itself_is_refused(world: World) {
    let locks = world.steady().await;
    let guard = world.lock(&locks, world.key("a")).acquire().await.expect("free");
    assert!(world.lock(&locks, world.key("a")).try_acquire().await.expect("an answer").is_none());
    let_go(guard).await;
}

/// With a timeout of ten minutes it answers at once all the same.
async fn a_timeout_plays_no_part(world: World) {
    let [here, there] = world.steadies().await;
    let _held = world.lock(&here, world.key("a")).acquire().await.expect("free");
    let skip = world.lock(&there, world.key("a")).timeout(LONG).try_acquire();
    assert!(within("the answer", skip).await.expect("an answer").is_none());
}

/// One key of three being held, none of the others stays taken; all being free, all are taken.
async fn several_keys_are_taken_all_or_none(world: World) {
    let [here, there, third] = world.steadies().await;
    let keys = world.keys(["a", "b", "c"]);
    let guard = world.lock(&here, &keys[2]).acquire().await.expect("free");
    assert!(world.lock(&there, &keys[..]).try_acquire().await.expect("an answer").is_none());
    let_go(gets_in(world.lock(&third, &keys[..2])).await).await;
    let_go(guard).await;
    let all = gets_in(world.lock(&there, &keys[..])).await;
    for key in &keys {
        assert!(world.lock(&third, key).try_acquire().await.expect("an answer").is_none(), "{key} is free");
    }
    let_go(all).await;
}

/// 20 skips of one free key at once over 5 clients: one gets it, the others are refused.
async fn of_many_at_once_one_gets_in(world: World) {
    let (clients, all) = (world.steadies::<5>().await, Arc::new(Barrier::new(20)));
    let granted = crowd(20, |task| {
        let lock = world.lock(&clients[task % 5], world.key("a"));
        let all = all.clone();
        async move {
            all.wait().await;
            let guard = lock.try_acquire().await.expect("an answer");
            all.wait().await; // nobody leaves before all have looked
            guard.is_some()
        }
    })
    .await;
    assert_eq!(granted.into_iter().filter(|granted| *granted).count(), 1);
}
