//! Law 12: unknown is an error. A network that loses requests and replies: nobody knows what the store has done, nobody
//! makes it up, and all comes out right. What a store's own client says of connections that break is in `cuts`.

use std::iter::repeat_n;
use std::time::Duration;

use lock_core::{Backend, ErrorKind, Guard, Locker};

use super::keeping::Waiting;
use super::{Case, case};
use crate::asking::AT_ONCE;
use crate::history::Recorder;
use crate::patience::{LONG, crowd, gets_in, is_free, let_go, within};
use crate::world::held;
use crate::{Call, Fate, Flaky, World};

pub(crate) const CASES: &[Case] = &[
    case!(lost_replies_make_no_second_holder_and_no_leak, exclusive),
    case!(lost_requests_and_replies_make_no_second_holder_and_no_leak, exclusive),
    case!(a_grant_whose_reply_was_lost_is_found_again, exclusive),
    case!(a_skip_whose_reply_was_lost_leaves_nothing, exclusive),
    case!(a_release_whose_reply_was_lost_is_a_release, exclusive),
    case!(a_dropped_guard_is_released_over_lost_replies, exclusive),
    case!(a_timeout_over_lost_replies_leaves_no_place, exclusive),
    case!(a_lock_is_kept_over_lost_renewals, exclusive),
    case!(a_lock_whose_renewals_are_all_lost_is_lost_in_time, exclusive),
];

/// A locker over a client that fails by a pattern, with a ttl that outlasts the case: what leaks, shows.
async fn over(world: &World, pattern: impl Fn(Call, u64) -> Fate + Send + Sync + 'static) -> Locker {
    Locker::new(Flaky::new(world.client().await, pattern)).with_ttl(LONG)
}

/// The first call of a kind fails.
fn first(kind: Call, fate: Fate) -> impl Fn(Call, u64) -> Fate + Send + Sync + 'static {
    move |call, count| if (call, count) == (kind, 1) { fate } else { Fate::Well }
}

/// Once everything under way has ended, nothing is left on the world's key.
async fn nothing_left(world: &World, flaky: &[Locker]) {
    for locks in flaky {
        within("the releases under way", locks.close()).await;
    }
    let locks = world.steady().await;
    is_free(world.lock(&locks, world.key("a"))).await;
}

/// Ten tasks on flaky clients take turns: all are served, none overlap, and nothing is left.
async fn take_turns(world: &World, flaky: &[Locker]) {
    let history = Recorder::default();
    crowd(10, |task| {
        let lock = world.lock(&flaky[task % flaky.len()], world.key("a"));
        history.clone().turns(task, repeat_n(lock, 2))
    })
    .await;
    history.assert_sound(20);
    nothing_left(world, flaky).await;
}

/// Every third call of each kind is done by the store and not answered.
async fn lost_replies_make_no_second_holder_and_no_leak(world: World) {
    let mut flaky = Vec::new();
    for _ in 0..4 {
        flaky.push(Locker::new(Flaky::every(3, world.client().await)).with_ttl(LONG));
    }
    take_turns(&world, &flaky).await;
}

/// One call in five never arrives, and two in five are not answered, by fixed seeds.
async fn lost_requests_and_replies_make_no_second_holder_and_no_leak(world: World) {
    let mut flaky = Vec::new();
    for seed in 1..=4 {
        flaky.push(Locker::new(Flaky::seeded(seed, world.client().await)).with_ttl(LONG));
    }
    take_turns(&world, &flaky).await;
}

/// The store grants and nobody hears of it: asking again finds the same grant, instead of waiting for itself.
async fn a_grant_whose_reply_was_lost_is_found_again(world: World) {
    let locks = over(&world, first(Call::Acquire, Fate::ReplyLost)).await;
    let guard = within("the grant", world.lock(&locks, world.key("a")).acquire()).await.expect("granted");
    let_go(guard).await;
    nothing_left(&world, &[locks]).await;
}

/// A skip that was granted without a word is `Unavailable`, never `Granted` or `Busy`: to who asks the store, who then
/// releases it, and to the user of a locker, for whom the grant is given back.
async fn a_skip_whose_reply_was_lost_leaves_nothing(world: World) {
    let (store, claim) = (world.client().await, world.lasting(world.key("a")));
    let flaky = Flaky::new(store.clone(), first(Call::Acquire, Fate::ReplyLost));
    let error = flaky.acquire(&claim).await.expect_err("the reply was lost");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    held(store.release(&claim, AT_ONCE).await);

    let locks = over(&world, first(Call::Acquire, Fate::ReplyLost)).await;
    let error = world.lock(&locks, world.key("a")).try_acquire().await.expect_err("the reply was lost");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    nothing_left(&world, &[locks]).await;
}

/// The store releases and nobody hears of it: releasing again finds nothing, which is success.
async fn a_release_whose_reply_was_lost_is_a_release(world: World) {
    let locks = over(&world, first(Call::Release, Fate::ReplyLost)).await;
    let guard = world.lock(&locks, world.key("a")).acquire().await.expect("free");
    let_go(guard).await;
    nothing_left(&world, &[locks]).await;
}

/// A release in the background is tried until it is confirmed, also where no connection can be made at first.
async fn a_dropped_guard_is_released_over_lost_replies(world: World) {
    let bad = |call, count| match call {
        Call::Release | Call::Fork if count < 3 => Fate::RequestLost,
        _ => Fate::Well,
    };
    let locks = over(&world, bad).await;
    drop(world.lock(&locks, world.key("a")).acquire().await.expect("free"));
    nothing_left(&world, &[locks]).await;
}

/// A wait that times out says so only once its place is gone, although the first word of that was lost.
async fn a_timeout_over_lost_replies_leaves_no_place(world: World) {
    for fate in [Fate::ReplyLost, Fate::RequestLost] {
        world
            .unspoiled(async |world, _| {
                let (steady, flaky) = (world.steady().await, over(&world, first(Call::Release, fate)).await);
                let guard = world.lock(&steady, world.key("a")).acquire().await.expect("free");
                let waiting = world.lock(&flaky, world.key("a")).timeout(Duration::from_millis(50)).acquire();
                let error = within("the timeout", waiting).await.expect_err("the key is held");
                let_go(guard).await;
                let_go(gets_in(world.lock(&steady, world.key("a"))).await).await;
                // What a stall held up for longer than a release is waited for goes on in the background.
                let stalled = error.to_string().ends_with("no answer to the release in time");
                assert!(stalled || error.kind() == ErrorKind::Timeout, "{error}");
                !stalled
            })
            .await;
    }
}

/// Two renewals in three fail, before or after the store has acted: the lock is kept for several ttls.
async fn a_lock_is_kept_over_lost_renewals(world: World) {
    world
        .unspoiled(async |world, ttl| {
            let bad = |call, count| match (call, count % 3) {
                (Call::Renew, 1) => Fate::RequestLost,
                (Call::Renew, 2) => Fate::ReplyLost,
                _ => Fate::Well,
            };
            let locks = over(&world, bad).await;
            let guard = world.lock(&locks, world.key("a")).ttl(ttl).acquire().await.expect("free");
            let waiting = Waiting::begin(&world).await;
            tokio::time::sleep(ttl.mul_f64(2.5)).await;
            waiting.outlives(guard).await
        })
        .await;
}

/// When no renewal arrives the guard knows of its loss before anybody else is granted.
async fn a_lock_whose_renewals_are_all_lost_is_lost_in_time(world: World) {
    let deaf = |call, _| if call == Call::Renew { Fate::RequestLost } else { Fate::Well };
    let (locks, other) = (over(&world, deaf).await, world.steady().await);
    let guard = world.lock(&locks, world.key("a")).ttl(world.ttl()).acquire().await.expect("free");
    let next = within("the lapse", world.lock(&other, world.key("a")).acquire()).await.expect("granted");
    assert!(!guard.is_held(), "two hold at once");
    within("word of the loss", guard.lost()).await;
    assert_eq!(Guard::release(guard).await.expect_err("it was lost").kind(), ErrorKind::Lost);
    locks.close().await;
    let_go(next).await;
}
