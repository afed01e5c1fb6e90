//! Law 9: no ring is missed, whenever the bell hangs and however often.

use futures::future::join_all;
use lock_core::Claim;
use tokio::task::yield_now;

use super::{Case, case};
use crate::World;
use crate::asking::{AT_ONCE, heard, permit, rung, waits};
use crate::patience::LONG;
use crate::world::{busy, granted, held};

pub(crate) const CASES: &[Case] = &[
    case!(a_bell_that_came_down_can_hang_again, exclusive; needs Pushed),
    case!(a_second_bell_for_a_claim_rings, exclusive; needs Pushed),
    case!(a_dropped_wait_for_a_ring_loses_none, exclusive; needs Pushed),
    case!(a_bell_rings_more_than_once; needs Pushed, Permits, Fair),
    case!(a_claim_rings_each_time_its_turn_comes, exclusive; needs Pushed),
    case!(a_ring_before_the_bell_hangs_is_kept, exclusive; needs Pushed),
    case!(however_many_ring_before_no_ring_is_lost, exclusive; needs Pushed),
];

/// Dropping a stream leaves nothing that would be in the way of the next one.
async fn a_bell_that_came_down_can_hang_again(world: World) {
    let [here, there] = world.clients().await;
    for rings_between in [false, true] {
        let [holder, waiter] = world.rivals(&world.key(&format!("{rings_between}"))).map(Claim::queued);
        granted(here.acquire(&holder).await);
        for _ in 0..5 {
            drop(waits(&there, &waiter).await);
        }
        let bell = there.wakeups(&waiter).await.expect("a bell");
        drop(bell);
        if rings_between {
            busy(there.acquire(&waiter).await);
            held(here.release(&holder, AT_ONCE).await);
            rung(&mut there.wakeups(&waiter).await.expect("a bell")).await;
        } else {
            let mut bell = there.wakeups(&waiter).await.expect("a bell");
            held(here.release(&holder, AT_ONCE).await);
            rung(&mut bell).await;
        }
        granted(there.acquire(&waiter).await);
    }
}

/// A second stream for a claim rings, also when the first one is dropped meanwhile.
async fn a_second_bell_for_a_claim_rings(world: World) {
    let [here, there] = world.clients().await;
    for keeps_the_first in [true, false] {
        let [holder, waiter] = world.rivals(&world.key(&format!("{keeps_the_first}"))).map(Claim::queued);
        granted(here.acquire(&holder).await);
        let first = waits(&there, &waiter).await;
        let mut second = there.wakeups(&waiter).await.expect("a bell");
        let first = keeps_the_first.then_some(first);
        held(here.release(&holder, AT_ONCE).await);
        rung(&mut second).await;
        drop(first);
        granted(there.acquire(&waiter).await);
    }
}

/// No ring is lost when a wait for it is dropped.
async fn a_dropped_wait_for_a_ring_loses_none(world: World) {
    let [here, there] = world.clients().await;
    let [holder, waiter] = world.rivals(&world.key("a")).map(Claim::queued);
    granted(here.acquire(&holder).await);
    let mut bell = waits(&there, &waiter).await;
    for _ in 0..5 {
        heard(&mut bell);
        yield_now().await;
    }
    held(here.release(&holder, AT_ONCE).await);
    rung(&mut bell).await;
}

/// A stream rings as often as there is a reason: here for a permit that is freed but kept, and for the next one.
async fn a_bell_rings_more_than_once(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let [one, two, waiter] = [(); 3].map(|()| world.lasting_as(permit(2), &key).queued());
    granted(here.acquire(&one).await);
    granted(here.acquire(&two).await);
    let mut bell = waits(&there, &waiter).await;
    held(here.release(&one, LONG).await);
    rung(&mut bell).await;
    busy(there.acquire(&waiter).await);
    held(here.release(&two, AT_ONCE).await);
    rung(&mut bell).await;
    granted(there.acquire(&waiter).await);
}

/// A claim that was rung, left, and queued anew is rung again.
async fn a_claim_rings_each_time_its_turn_comes(world: World) {
    let [here, there] = world.clients().await;
    let [holder, waiter] = world.rivals(&world.key("a")).map(Claim::queued);
    for _ in 0..5 {
        granted(here.acquire(&holder).await);
        let mut bell = waits(&there, &waiter).await;
        held(here.release(&holder, AT_ONCE).await);
        rung(&mut bell).await;
        granted(there.acquire(&waiter).await);
        held(there.release(&waiter, AT_ONCE).await);
    }
}

/// The stream delivers a ring that was due between the look that said `Busy` and the asking for the stream.
async fn a_ring_before_the_bell_hangs_is_kept(world: World) {
    let [here, there] = world.clients().await;
    for round in 0..20 {
        let [holder, waiter] = world.rivals(&world.key(&format!("a{round}"))).map(Claim::queued);
        granted(here.acquire(&holder).await);
        busy(there.acquire(&waiter).await);
        held(here.release(&holder, AT_ONCE).await);
        rung(&mut there.wakeups(&waiter).await.expect("a bell")).await;
        granted(there.acquire(&waiter).await);
    }
}

/// Also when more rings than anybody could remember came before it.
async fn however_many_ring_before_no_ring_is_lost(world: World) {
    let [here, there] = world.clients().await;
    let pair = |name: &str| world.rivals::<2>(&world.key(name)).map(Claim::queued);
    let [holder, patient] = pair("patient");
    granted(here.acquire(&holder).await);
    busy(there.acquire(&patient).await);
    held(here.release(&holder, AT_ONCE).await);
    let others: Vec<_> = (0..1200).map(|at| pair(&format!("a{at}"))).collect();
    for some in others.chunks(50) {
        let ring = some.iter().map(|[holder, waiter]| async {
            granted(here.acquire(holder).await);
            busy(there.acquire(waiter).await);
            held(here.release(holder, AT_ONCE).await);
        });
        join_all(ring).await;
    }
    rung(&mut there.wakeups(&patient).await.expect("a bell")).await;
    rung(&mut there.wakeups(&others[1199][1]).await.expect("a bell")).await;
}
