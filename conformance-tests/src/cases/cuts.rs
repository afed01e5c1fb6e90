//! Laws 9 and 12 on the wire: a client whose connections are cut makes nothing up, misses no ring, and goes on.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{Attempt, Claim, ErrorKind, Locker, Result, Wakeups};

use super::keeping::Waiting;
use super::{Case, case};
use crate::asking::{AT_ONCE, Client, is_free, renew};
use crate::patience::{LONG, crowd, let_go, within};
use crate::world::{busy, granted, held};
use crate::{Line, World};

pub(crate) const CASES: &[Case] = &[
    case!(one_who_is_cut_off_hears_of_a_release_before_and_after, exclusive; needs Fair, Pushed, Cut),
    case!(a_look_whose_answer_is_cut_off_is_no_made_up_answer, exclusive; needs Cut),
    case!(a_renewal_whose_answer_is_cut_off_is_not_a_loss, exclusive; needs Cut),
    case!(a_release_whose_answer_is_cut_off_is_not_a_loss, exclusive; needs Cut),
    case!(a_skip_after_a_cut_is_answered_by_the_store, exclusive; needs Cut),
    case!(a_lock_outlives_the_connections_of_its_holder, exclusive; needs Fair, Cut),
    case!(a3_twenty_five_clients_that_are_cut_off_and_go_leave_no_connection, exclusive; needs Cut, Counted),
    case!(a3_five_hundred_clients_that_are_cut_off_and_go_leave_no_connection; needs Cut, Counted),
];

/// How long to let a store alone that did not answer.
const PAUSE: Duration = Duration::from_millis(5);

/// A client that has done everything once: what it prepares for that is no answer to be cut off any more.
async fn practised(world: &World) -> (Client, Arc<dyn Line>) {
    let (client, line) = world.cuttable().await;
    let claim = world.lasting(world.key("practice"));
    granted(client.acquire(&claim).await);
    held(renew(&client, &claim).await);
    held(client.release(&claim, AT_ONCE).await);
    (client, line)
}

/// What the store says in the end: a client that was cut off comes back.
async fn answer<T, F>(ask: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let asking = async {
        loop {
            match ask().await {
                Err(error) if error.kind() == ErrorKind::Unavailable => tokio::time::sleep(PAUSE).await,
                answer => return answer,
            }
        }
    };
    within("an answer after a cut", asking).await
}

/// The answer to a request that may have been cut off: a fact, or nothing.
#[track_caller]
fn fact<T>(answer: Result<T>) -> Option<T> {
    match answer {
        Ok(fact) => Some(fact),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            None
        }
    }
}

/// Looks when the bell rings, and at no other time, until the claim is granted.
async fn follow(client: &Client, claim: &Claim, mut bell: Wakeups) {
    let follow = async {
        loop {
            if bell.next().await.is_none() {
                bell = answer(|| client.wakeups(claim)).await.expect("a bell");
            } else if let Attempt::Granted(_) = answer(|| client.acquire(claim)).await.expect("an answer") {
                return;
            }
        }
    };
    within("a grant by rings alone", follow).await;
}

/// The stream delivers every ring that was due since the look that said busy, or begins with one: the client is cut off
/// at the same moment as the holder releases.
async fn one_who_is_cut_off_hears_of_a_release_before_and_after(world: World) {
    let near = world.client().await;
    let (far, line) = world.cuttable().await;
    for round in 0..20 {
        let [holder, waiter] = world.rivals(&world.key(&round.to_string())).map(Claim::queued);
        granted(near.acquire(&holder).await);
        busy(answer(|| far.acquire(&waiter)).await);
        let bell = answer(|| far.wakeups(&waiter)).await.expect("a bell");
        if round % 2 == 0 {
            line.cut();
        }
        held(near.release(&holder, AT_ONCE).await);
        if round % 2 == 1 {
            line.cut();
        }
        follow(&far, &waiter, bell).await;
    }
}

/// A grant that was not heard of is an error, or the grant that the store made; a refusal is an error, or a refusal.
async fn a_look_whose_answer_is_cut_off_is_no_made_up_answer(world: World) {
    let near = world.client().await;
    let (far, line) = practised(&world).await;
    let [claim, other] = world.rivals(&world.key("a"));
    line.cut_answers();
    match fact(within("an answer", far.acquire(&claim)).await) {
        Some(Attempt::Busy(busy)) => panic!("there was nobody, but {busy:?}"),
        Some(attempt) => assert_eq!(granted(Ok(attempt)).token, granted(near.acquire(&claim).await).token),
        None => drop(granted(near.acquire(&claim).await)),
    }
    line.cut_answers();
    if let Some(attempt) = fact(within("an answer", far.acquire(&other)).await) {
        busy(Ok(attempt));
    }
    held(near.release(&claim, AT_ONCE).await);
    assert!(is_free(&near, &world.key("a")).await);
}

/// What was held before it was renewed is not lost by it.
async fn a_renewal_whose_answer_is_cut_off_is_not_a_loss(world: World) {
    let near = world.client().await;
    let (far, line) = practised(&world).await;
    let claim = world.lasting(world.key("a"));
    granted(far.acquire(&claim).await);
    line.cut_answers();
    if let Some(ownership) = fact(within("an answer", renew(&far, &claim)).await) {
        held(Ok(ownership));
    }
    held(renew(&near, &claim).await);
}

/// Nobody but this release removes the claim: it says so, or that it does not know.
async fn a_release_whose_answer_is_cut_off_is_not_a_loss(world: World) {
    let near = world.client().await;
    let (far, line) = practised(&world).await;
    let claim = world.lasting(world.key("a"));
    granted(far.acquire(&claim).await);
    line.cut_answers();
    match fact(within("an answer", far.release(&claim, AT_ONCE)).await) {
        Some(ownership) => drop(held(Ok(ownership))),
        None => drop(answer(|| far.release(&claim, AT_ONCE)).await.expect("an answer")),
    }
    assert!(is_free(&near, &world.key("a")).await);
}

/// At the first try or with an error before: a taken key is refused, and a free one granted.
async fn a_skip_after_a_cut_is_answered_by_the_store(world: World) {
    let near = world.client().await;
    let (far, line) = world.cuttable().await;
    let taken = world.key("taken");
    granted(near.acquire(&world.lasting(&taken)).await);
    for round in 0..10 {
        // One for each: a request that was cut off may yet be done, and bring back a claim that was released.
        let free = world.key(&format!("free/{round}"));
        let (refused, claim) = (world.lasting(&taken), world.lasting(&free));
        line.cut();
        busy(answer(|| far.acquire(&refused)).await);
        line.cut();
        granted(answer(|| far.acquire(&claim)).await);
        held(near.release(&claim, AT_ONCE).await);
    }
}

/// The lock of a client that is cut off again and again is renewed, and another who waits has to wait for the release.
async fn a_lock_outlives_the_connections_of_its_holder(world: World) {
    let trial = async |world: World, ttl: Duration| {
        let (client, line) = world.cuttable().await;
        let guard = world.lock(&Locker::new(client).with_ttl(ttl), world.key("a")).acquire().await;
        let waiting = Waiting::begin(&world).await;
        for _ in 0..5 {
            line.cut();
            tokio::time::sleep(ttl / 2).await;
        }
        waiting.outlives(guard.expect("free")).await
    };
    world.unspoiled(trial).await;
}

/// 25 clients lock, are cut off, and go: the server has as many connections as before.
async fn a3_twenty_five_clients_that_are_cut_off_and_go_leave_no_connection(world: World) {
    come_and_go(&world, 1).await;
}

/// The same with 500 clients, of whom 25 are there at a time, and five more.
async fn a3_five_hundred_clients_that_are_cut_off_and_go_leave_no_connection(world: World) {
    come_and_go(&world, 20).await;
}

async fn come_and_go(world: &World, times: usize) {
    let world = world.alone().await;
    let before = world.connections().await;
    for _ in 0..times {
        // Five are not cut off: a cut ends what a client has forgotten, too.
        let coming = crowd(30, |at| {
            let world = world.clone();
            async move {
                let (client, line) = world.cuttable().await;
                let locks = Locker::new(client).with_ttl(LONG);
                let guard = world.lock(&locks, world.key(&at.to_string())).acquire().await.expect("free");
                (locks, guard, line)
            }
        });
        let there = coming.await;
        let most = world.connections().await;
        assert!(most >= before + 25, "{most} connections with 30 clients, and {before} without");
        let mut lines = Vec::new();
        for (at, (locks, guard, line)) in there.into_iter().enumerate() {
            if at < 25 {
                line.cut();
            }
            let_go(guard).await;
            within("the releases under way", locks.close()).await;
            // It would end what a client leaves open.
            lines.push(line);
        }
        let gone = async {
            while world.connections().await > before {
                tokio::time::sleep(PAUSE).await;
            }
        };
        within("the end of the clients' connections", gone).await;
    }
}
