//! Waiting no longer than one likes.

use std::time::{Duration, Instant};

use lock_core::{ErrorKind, Lock};

use super::{Case, case};
use crate::World;
use crate::patience::{LIMIT, LONG, gets_in, let_go, within};
use crate::queue::Queue;

pub(crate) const CASES: &[Case] = &[
    case!(a_timeout_comes_not_before_its_limit_and_soon_after, exclusive),
    case!(no_timeout_comes_while_the_key_is_free, exclusive),
    case!(a_zero_timeout_does_not_wait, exclusive),
    case!(a_timeout_below_a_millisecond_is_one, exclusive),
    case!(an_endless_timeout_waits_for_the_release, exclusive),
    case!(a_grant_within_the_limit_is_no_timeout, exclusive),
    case!(a_timed_out_wait_leaves_no_place, exclusive),
    case!(those_behind_a_timed_out_wait_are_not_delayed, exclusive),
    case!(readers_behind_a_timed_out_writer_get_in; needs Shared),
    case!(a_timed_out_wait_for_several_keys_leaves_none, exclusive),
];

/// Waits until the limit passes; says how long that took. Where a slow store does not confirm in time that the place
/// is gone, the answer is that it is not known: then asks again.
async fn times_out(lock: Lock) -> Duration {
    let attempts = async {
        loop {
            let asked = Instant::now();
            let error = lock.clone().acquire().await.expect_err("the key is held");
            match error.kind() {
                ErrorKind::Timeout => return asked.elapsed(),
                kind => assert_eq!(kind, ErrorKind::Unavailable, "{error}"),
            }
        }
    };
    within("a timeout", attempts).await
}

/// The answer comes when the limit has passed, and at the latest a second after it (and what a busy machine adds).
async fn a_timeout_comes_not_before_its_limit_and_soon_after(world: World) {
    let [here, there] = world.steadies().await;
    let _held = world.lock(&here, world.key("a")).acquire().await.expect("free");
    for limit in [10, 150].map(Duration::from_millis) {
        let took = times_out(world.lock(&there, world.key("a")).timeout(limit)).await;
        assert!(took >= limit, "{took:?} is before the limit of {limit:?}");
        assert!(
            took < limit + Duration::from_secs(1) + LIMIT,
            "{took:?} is long after the limit of {limit:?}"
        );
    }
}

/// A free key is granted whatever the limit: none at all, a nanosecond, or more than a clock can tell.
async fn no_timeout_comes_while_the_key_is_free(world: World) {
    let locks = world.steady().await;
    for limit in [Duration::ZERO, Duration::from_nanos(1), Duration::from_micros(999), Duration::MAX] {
        let guard = world.lock(&locks, world.key("a")).timeout(limit).acquire().await;
        let_go(guard.expect("the key is free")).await;
    }
}

/// A limit of zero is a timeout at once, and leaves nothing in the queue.
async fn a_zero_timeout_does_not_wait(world: World) {
    let [here, there] = world.steadies().await;
    let guard = world.lock(&here, world.key("a")).acquire().await.expect("free");
    times_out(world.lock(&there, world.key("a")).timeout(Duration::ZERO)).await;
    let_go(guard).await;
    drop(gets_in(world.lock(&here, world.key("a"))).await);
}

/// A limit of some microseconds or one nanosecond is a timeout like any other, not none and not an endless one.
async fn a_timeout_below_a_millisecond_is_one(world: World) {
    let [here, there] = world.steadies().await;
    let guard = world.lock(&here, world.key("a")).acquire().await.expect("free");
    for limit in [Duration::from_nanos(1), Duration::from_micros(300), Duration::from_micros(999)] {
        times_out(world.lock(&there, world.key("a")).timeout(limit)).await;
    }
    let_go(guard).await;
    drop(gets_in(world.lock(&here, world.key("a"))).await);
}

/// The greatest limit there is overflows nothing: it waits, and is granted.
async fn an_endless_timeout_waits_for_the_release(world: World) {
    let queue = Queue::default();
    let (here, there) = (world.steady().await, queue.locker(&world).await);
    let guard = world.lock(&here, world.key("a")).acquire().await.expect("free");
    let waiting = tokio::spawn(world.lock(&there, world.key("a")).timeout(Duration::MAX).acquire());
    queue.has(1).await;
    let_go(guard).await;
    let next = within("the grant", waiting).await.expect("no panic").expect("granted");
    let_go(next).await;
}

/// Released within the limit, the lock is granted, with a greater token.
async fn a_grant_within_the_limit_is_no_timeout(world: World) {
    let queue = Queue::default();
    let (here, there) = (world.steady().await, queue.locker(&world).await);
    let guard = world.lock(&here, world.key("a")).acquire().await.expect("free");
    let waiting = tokio::spawn(world.lock(&there, world.key("a")).timeout(LONG).acquire());
    queue.has(1).await;
    let token = guard.token();
    let_go(guard).await;
    let next = within("the grant", waiting).await.expect("no panic").expect("granted");
    assert!(next.token() > token);
}

/// After a timeout nothing stands in the queue: when the holder leaves, the next one gets in at once, by a look
/// that a leftover place would refuse.
async fn a_timed_out_wait_leaves_no_place(world: World) {
    let [here, there, third] = world.steadies().await;
    let guard = world.lock(&here, world.key("a")).acquire().await.expect("free");
    times_out(world.lock(&there, world.key("a")).timeout(Duration::from_millis(30))).await;
    let_go(guard).await;
    drop(gets_in(world.lock(&third, world.key("a"))).await);
}

/// One waits behind another whose limit passes: when the holder leaves it is served, long before the other's place
/// could lapse.
async fn those_behind_a_timed_out_wait_are_not_delayed(world: World) {
    let queue = Queue::default();
    let (here, ahead, behind) =
        (world.steady().await, queue.locker(&world).await, queue.locker(&world).await);
    let guard = world.lock(&here, world.key("a")).acquire().await.expect("free");
    let limit = Duration::from_millis(300);
    let ahead = tokio::spawn(times_out(world.lock(&ahead, world.key("a")).timeout(limit)));
    queue.has(1).await;
    let behind = tokio::spawn(world.lock(&behind, world.key("a")).acquire());
    queue.has(2).await;
    ahead.await.expect("no panic");
    let_go(guard).await;
    let next = within("the one behind", behind).await.expect("no panic").expect("granted");
    let_go(next).await;
}

/// Readers queued behind a writer get in beside the reader that holds as soon as the writer's limit has passed.
async fn readers_behind_a_timed_out_writer_get_in(world: World) {
    let queue = Queue::default();
    let (here, writer, reader) =
        (world.steady().await, queue.locker(&world).await, queue.locker(&world).await);
    let holding = here.lock(world.key("a")).shared().acquire().await.expect("free");
    let limit = Duration::from_millis(300);
    let writer = tokio::spawn(times_out(writer.lock(world.key("a")).timeout(limit)));
    queue.has(1).await;
    let reader = tokio::spawn(reader.lock(world.key("a")).shared().acquire());
    writer.await.expect("no panic");
    let reader = within("the reader behind it", reader).await.expect("no panic").expect("granted");
    assert!(holding.is_held() && reader.is_held());
}

/// Of a wait for several keys, one of them held, nothing is left on any of them.
async fn a_timed_out_wait_for_several_keys_leaves_none(world: World) {
    let [here, there, third] = world.steadies().await;
    let keys = world.keys(["a", "b", "c"]);
    let guard = world.lock(&here, &keys[1]).acquire().await.expect("free");
    times_out(world.lock(&there, &keys[..]).timeout(Duration::from_millis(30))).await;
    for free in [&keys[0], &keys[2]] {
        let_go(gets_in(world.lock(&third, free)).await).await;
    }
    let_go(guard).await;
    drop(gets_in(world.lock(&third, &keys[..])).await);
}
