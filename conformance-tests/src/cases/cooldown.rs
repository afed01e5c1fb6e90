//! `hold_at_least`: once in so long, at most.

use std::future::pending;
use std::time::Duration;

use lock_core::{Error, ErrorKind, Guard};

use super::{Case, case};
use crate::World;
use crate::asking::Since;
use crate::patience::{LONG, gets_in, let_go, within};
use crate::queue::Queue;

pub(crate) const CASES: &[Case] = &[
    case!(after_a_release_the_cooldown_holds, exclusive),
    case!(after_a_drop_the_cooldown_holds, exclusive),
    case!(after_an_error_the_cooldown_holds, exclusive),
    case!(after_a_panic_the_cooldown_holds, exclusive),
    case!(after_a_cancelled_run_the_cooldown_holds, exclusive),
    case!(a_cooldown_holds_every_key, exclusive),
    case!(a_cooldown_does_not_lengthen_a_long_hold, exclusive),
    case!(one_who_waits_is_served_when_the_cooldown_is_over_and_not_before, exclusive),
    case!(a_lost_lock_has_no_cooldown, exclusive),
    case!(a_skip_has_a_cooldown_too, exclusive),
    case!(a_cooling_reader_lets_readers_in_and_no_writer; needs Shared),
    case!(a_cooling_permit_counts_as_one; needs Permits),
];

/// A guard with a cooldown that outlasts the case, on a client of its own.
async fn cooled(world: &World) -> Guard {
    let locks = world.steady().await;
    world.lock(&locks, world.key("a")).hold_at_least(LONG).acquire().await.expect("free")
}

/// Others are refused, over a client of their own.
async fn refused(world: &World) {
    let locks = world.steady().await;
    let guard = world.lock(&locks, world.key("a")).try_acquire().await.expect("an answer");
    assert!(guard.is_none(), "the cooldown is not kept");
}

/// Released at once, the key stays taken, and its last holder is not let in either.
async fn after_a_release_the_cooldown_holds(world: World) {
    let locks = world.steady().await;
    let guard = world.lock(&locks, world.key("a")).hold_at_least(LONG).acquire().await.expect("free");
    let_go(guard).await;
    refused(&world).await;
    assert!(world.lock(&locks, world.key("a")).try_acquire().await.expect("an answer").is_none());
}

/// A dropped guard leaves its cooldown.
async fn after_a_drop_the_cooldown_holds(world: World) {
    let locks = world.steady().await;
    drop(world.lock(&locks, world.key("a")).hold_at_least(LONG).acquire().await.expect("free"));
    within("the release under way", locks.close()).await;
    refused(&world).await;
}

/// Work that fails leaves its cooldown.
async fn after_an_error_the_cooldown_holds(world: World) {
    let failing = async |_: &Guard| Err::<(), _>(Error::new(ErrorKind::Invalid, "the work's own"));
    let error = cooled(&world).await.run(failing).await.expect_err("the work fails");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    refused(&world).await;
}

/// Work that panics leaves its cooldown.
async fn after_a_panic_the_cooldown_holds(world: World) {
    let locks = world.steady().await;
    let lock = world.lock(&locks, world.key("a")).hold_at_least(LONG);
    let panicking =
        async |_: &Guard| -> Result<(), Error> { std::panic::resume_unwind(Box::new("on purpose")) };
    let end = tokio::spawn(async move { lock.run(panicking).await }).await;
    assert!(end.is_err_and(|end| end.is_panic()));
    within("the release under way", locks.close()).await;
    refused(&world).await;
}

/// Work that is cancelled leaves its cooldown.
async fn after_a_cancelled_run_the_cooldown_holds(world: World) {
    let locks = world.steady().await;
    let guard = world.lock(&locks, world.key("a")).hold_at_least(LONG).acquire().await.expect("free");
    let task = tokio::spawn(guard.run(async |_| pending::<Result<(), Error>>().await));
    task.abort();
    assert!(task.await.is_err_and(|end| end.is_cancelled()));
    within("the release under way", locks.close()).await;
    refused(&world).await;
}

/// The cooldown of three keys holds each of them.
async fn a_cooldown_holds_every_key(world: World) {
    let [here, there] = world.steadies().await;
    let keys = world.keys(["a", "b", "c"]);
    let guard = world.lock(&here, &keys[..]).hold_at_least(LONG).acquire().await.expect("free");
    let_go(guard).await;
    for key in &keys {
        assert!(world.lock(&there, key).try_acquire().await.expect("an answer").is_none(), "{key} is free");
    }
}

/// Held for longer than its cooldown anyway, the lock is free as soon as it is released.
async fn a_cooldown_does_not_lengthen_a_long_hold(world: World) {
    let [here, there] = world.steadies().await;
    let cooldown = Duration::from_millis(50);
    let guard = world.lock(&here, world.key("a")).hold_at_least(cooldown).acquire().await.expect("free");
    tokio::time::sleep(cooldown + Duration::from_millis(5)).await;
    let_go(guard).await;
    drop(gets_in(world.lock(&there, world.key("a"))).await);
}

/// One who waits gets the lock when the cooldown is over: no bell rings then, and none is needed.
async fn one_who_waits_is_served_when_the_cooldown_is_over_and_not_before(world: World) {
    let (queue, cooldown) = (Queue::default(), Duration::from_millis(400));
    let (here, there) = (world.steady().await, queue.locker(&world).await);
    let asked = Since::now();
    let guard = world.lock(&here, world.key("a")).hold_at_least(cooldown).acquire().await.expect("free");
    let waiting = tokio::spawn(world.lock(&there, world.key("a")).acquire());
    queue.has(1).await;
    let token = guard.token();
    let_go(guard).await;
    let next = within("the end of the cooldown", waiting).await.expect("no panic").expect("granted");
    asked.lasted(cooldown);
    assert!(next.token() > token);
    let_go(next).await;
}

/// A lock that was lost leaves no cooldown: others get it after the ttl.
async fn a_lost_lock_has_no_cooldown(world: World) {
    let [here, there] = world.steadies().await;
    let lock = world.lock(&here, world.key("a")).hold_at_least(LONG).ttl(world.ttl()).renewal(false);
    let guard = lock.acquire().await.expect("free");
    within("the loss at the deadline", guard.lost()).await;
    let next = within("the lapse", world.lock(&there, world.key("a")).acquire()).await.expect("granted");
    assert_eq!(guard.release().await.expect_err("it was lost").kind(), ErrorKind::Lost);
    here.close().await;
    let_go(next).await;
    drop(gets_in(world.lock(&there, world.key("a"))).await);
}

/// Once in ten minutes, whoever comes first: the first skip gets it, the second is refused after its release.
async fn a_skip_has_a_cooldown_too(world: World) {
    let [here, there] = world.steadies().await;
    let once =
        |locks: &lock_core::Locker| world.lock(locks, world.key("a")).hold_at_least(LONG).try_acquire();
    let first = once(&here).await.expect("an answer").expect("free");
    assert!(once(&there).await.expect("an answer").is_none());
    let_go(first).await;
    assert!(once(&there).await.expect("an answer").is_none());
}

/// What remains of a reader is a reader.
async fn a_cooling_reader_lets_readers_in_and_no_writer(world: World) {
    let [here, there] = world.steadies().await;
    let reader = here.lock(world.key("a")).shared().hold_at_least(LONG).acquire().await.expect("free");
    let_go(reader).await;
    assert!(there.lock(world.key("a")).try_acquire().await.expect("an answer").is_none());
    drop(gets_in(there.lock(world.key("a")).shared()).await);
}

/// What remains of one of two permits is one of two permits.
async fn a_cooling_permit_counts_as_one(world: World) {
    let [here, there] = world.steadies().await;
    let permit = here.lock(world.key("a")).permit_of(2).hold_at_least(LONG).acquire().await.expect("free");
    let_go(permit).await;
    let second = gets_in(there.lock(world.key("a")).permit_of(2)).await;
    assert!(here.lock(world.key("a")).permit_of(2).try_acquire().await.expect("an answer").is_none());
    let_go(second).await;
}
