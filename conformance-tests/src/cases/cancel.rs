//! Law 10: futures may be dropped at any await. Nothing leaks past the ttl, whether or not the store acted.

use std::sync::Arc;

use lock_core::{Claim, Ownership};
use tokio::task::yield_now;

use super::{Case, case};
use crate::World;
use crate::asking::{AT_ONCE, answered, cut_short, is_free, renew, rung, until_free, waits, wins};
use crate::world::{busy, granted, held};

pub(crate) const CASES: &[Case] = &[
    case!(a_dropped_request_can_be_asked_again, exclusive),
    case!(a_dropped_request_can_be_released, exclusive),
    case!(a_dropped_request_leaves_nothing_past_its_ttl, exclusive),
    case!(a_dropped_request_of_a_waiter_leaves_nothing_past_its_ttl, exclusive; needs Several),
    case!(a_dropped_look_keeps_the_place, exclusive; needs Fair),
    case!(a_dropped_renewal_loses_nothing, exclusive),
    case!(a_dropped_release_can_be_repeated, exclusive),
    case!(a_dropped_release_that_keeps_can_be_repeated, exclusive),
    case!(a_dropped_wish_for_a_bell_leaves_none, exclusive; needs Pushed),
    case!(a_dropped_fork_does_no_harm, exclusive),
    case!(a_dropped_errand_leaves_nothing_past_its_ttl, exclusive),
];

/// As many gates as the deepest future has; more would be a loop.
const GATES: usize = 200;

/// Drops what a future is made at its first await, at its second, and so on, until it comes to its end; `after` sees to
/// what must be so each time.
macro_rules! at_every_await {
    ($gate:ident, $future:expr $(, $after:block)?) => {{
        let mut $gate = 0;
        loop {
            assert!($gate < GATES, "dropped {GATES} times, and it never came to its end");
            let ended = cut_short($future, $gate).await.is_some();
            $($after)?
            if ended {
                break;
            }
            $gate += 1;
        }
    }};
}

/// Dropped at any await, a request may be asked again: it is the same claim.
async fn a_dropped_request_can_be_asked_again(world: World) {
    let [here, there] = world.clients().await;
    let claims: Vec<_> = (0..GATES).map(|gate| world.lasting(world.key(&format!("a{gate}")))).collect();
    at_every_await!(gate, here.acquire(&claims[gate]), {
        let claim = &claims[gate];
        let first = granted(here.acquire(claim).await);
        let again = granted(here.acquire(claim).await);
        assert_eq!(first.token, again.token);
        assert!(!is_free(&there, &claim.keys()[0]).await);
    });
}

/// Dropped at any await, it may be released; if it reaches the store later than that, it lapses.
async fn a_dropped_request_can_be_released(world: World) {
    let [here, there] = world.clients().await;
    let claims: Vec<_> = (0..GATES).map(|gate| world.claim(world.key(&format!("a{gate}")))).collect();
    at_every_await!(gate, here.acquire(&claims[gate]), {
        let end = there.release(&claims[gate], AT_ONCE).await;
        assert!(end.is_ok(), "{end:?}");
        wins(&there, &world.lasting(claims[gate].keys())).await;
    });
}

/// Dropped at any await and forgotten, it is gone when its ttl has passed.
async fn a_dropped_request_leaves_nothing_past_its_ttl(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    at_every_await!(gate, here.acquire(&world.claim(&key).queued()));
    until_free(&there, &key, || async {}).await;
}

/// So is a place.
async fn a_dropped_request_of_a_waiter_leaves_nothing_past_its_ttl(world: World) {
    let [here, there] = world.clients().await;
    let [a, b] = world.keys(["a", "b"]);
    let holder = world.lasting(&a);
    granted(here.acquire(&holder).await);
    at_every_await!(gate, here.acquire(&world.claim([&a, &b]).queued()));
    until_free(&there, &b, || async {}).await;
    held(here.release(&holder, AT_ONCE).await);
    assert!(is_free(&there, &a).await);
}

/// A waiter whose look is dropped at any await keeps its place.
async fn a_dropped_look_keeps_the_place(world: World) {
    let [here, there] = world.clients().await;
    let [holder, first, second] = world.rivals(&world.key("a")).map(Claim::queued);
    granted(here.acquire(&holder).await);
    busy(there.acquire(&first).await);
    busy(there.acquire(&second).await);
    at_every_await!(gate, there.acquire(&first));
    held(here.release(&holder, AT_ONCE).await);
    busy(there.acquire(&second).await);
    at_every_await!(gate, there.acquire(&first));
    granted(there.acquire(&first).await);
}

/// A renewal dropped at any await may or may not have come to pass; the claim is there either way.
async fn a_dropped_renewal_loses_nothing(world: World) {
    let [here, there] = world.clients().await;
    let claims: Vec<_> = (0..20).map(|at| Arc::new(world.lasting(world.key(&format!("a{at}"))))).collect();
    for claim in &claims {
        granted(here.acquire(claim).await);
    }
    at_every_await!(gate, here.renew(&claims), {
        for answer in here.renew(&claims).await {
            held(answer);
        }
    });
    assert!(!is_free(&there, &claims[0].keys()[0]).await);
}

/// A release dropped at any await may be repeated, and then the lock is free.
async fn a_dropped_release_can_be_repeated(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let mut claim = world.lasting(&key);
    granted(here.acquire(&claim).await);
    at_every_await!(gate, here.release(&claim, AT_ONCE), {
        let end = here.release(&claim, AT_ONCE).await;
        assert!(end.is_ok(), "{end:?}");
        claim = world.lasting(&key);
        granted(there.acquire(&claim).await);
    });
}

/// A release that keeps, dropped at any await and repeated, keeps once: what the first one kept, the second leaves.
async fn a_dropped_release_that_keeps_can_be_repeated(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let mut claim = world.lasting(&key);
    granted(here.acquire(&claim).await);
    at_every_await!(gate, here.release(&claim, world.ttl()), {
        let end = here.release(&claim, world.ttl()).await;
        assert!(matches!(end, Ok(Ownership::Held { .. } | Ownership::Lost)), "{end:?}");
        claim = world.lasting(&key);
        wins(&there, &claim).await;
    });
}

/// A bell that was asked for and dropped at any await is not in the way of the next one.
async fn a_dropped_wish_for_a_bell_leaves_none(world: World) {
    let [here, there] = world.clients().await;
    let [holder, waiter] = world.rivals(&world.key("a")).map(Claim::queued);
    granted(here.acquire(&holder).await);
    busy(there.acquire(&waiter).await);
    at_every_await!(gate, there.wakeups(&waiter));
    let mut bell = waits(&there, &waiter).await;
    held(here.release(&holder, AT_ONCE).await);
    rung(&mut bell).await;
    granted(there.acquire(&waiter).await);
}

/// A fork dropped at any await, and one that was made and dropped, leave the client as it was.
async fn a_dropped_fork_does_no_harm(world: World) {
    let [here, there] = world.clients().await;
    let claim = world.lasting(world.key("a"));
    granted(here.acquire(&claim).await);
    at_every_await!(gate, here.fork(), {
        held(renew(&here, &claim).await);
    });
    assert!(!is_free(&there, &world.key("a")).await);
    held(here.release(&claim, AT_ONCE).await);
}

/// A whole errand dropped at any await, between its calls or within one, leaves nothing past its ttl.
async fn a_dropped_errand_leaves_nothing_past_its_ttl(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    at_every_await!(gate, async {
        let claim = Arc::new(world.claim(&key).queued());
        answered(here.acquire(&claim).await);
        yield_now().await;
        drop(here.wakeups(&claim).await);
        yield_now().await;
        drop(here.renew(std::slice::from_ref(&claim)).await);
        yield_now().await;
        drop(here.release(&claim, AT_ONCE).await);
    });
    until_free(&there, &key, || async {}).await;
}
