//! Who is rung: whoever has a turn because of a release.

use lock_core::{Claim, Mode};

use super::{Case, case};
use crate::World;
use crate::asking::{AT_ONCE, permit, rung, until_free, waits};
use crate::patience::LONG;
use crate::world::{busy, granted, held};

pub(crate) const CASES: &[Case] = &[
    case!(a_release_rings_the_next, exclusive; needs Pushed),
    case!(a_queued_claim_that_leaves_rings_the_next, exclusive; needs Pushed, Fair),
    case!(a_writer_that_leaves_the_queue_rings_the_readers_behind_it; needs Pushed, Shared, Fair),
    case!(a_release_that_keeps_rings_though_nobody_gets_in, exclusive; needs Pushed),
    case!(what_a_reader_kept_does_not_hide_that_the_last_one_left; needs Pushed, Shared, Fair),
    case!(what_one_key_kept_does_not_hide_that_the_other_is_free, exclusive; needs Pushed, Several),
    case!(one_that_gives_up_behind_what_was_kept_rings_the_next, exclusive; needs Pushed, Fair),
    case!(a_release_rings_every_reader_that_now_fits; needs Pushed, Shared, Fair),
    case!(a_release_rings_every_permit_that_now_fits; needs Pushed, Permits, Fair),
    case!(the_last_reader_rings_the_writer; needs Pushed, Shared, Fair),
    case!(a_release_rings_the_next_on_each_key, exclusive; needs Pushed, Several, Fair),
    case!(the_last_key_to_be_freed_rings, exclusive; needs Pushed, Several),
    case!(a_lapsed_place_takes_no_ring_from_the_living, exclusive; needs Pushed, Several, Fair),
    case!(hundreds_of_waiters_are_all_rung, exclusive; needs Pushed, Several),
];

/// A release rings the next one, wherever it waits.
async fn a_release_rings_the_next(world: World) {
    let [here, there] = world.clients().await;
    for (holds, listens) in [(&here, &there), (&here, &here)] {
        let [holder, waiter] = world.rivals(&world.key("a")).map(Claim::queued);
        granted(holds.acquire(&holder).await);
        let mut bell = waits(listens, &waiter).await;
        held(holds.release(&holder, AT_ONCE).await);
        rung(&mut bell).await;
        granted(listens.acquire(&waiter).await);
        held(listens.release(&waiter, AT_ONCE).await);
    }
}

/// A queued claim whose turn has come rings the next one when it leaves.
async fn a_queued_claim_that_leaves_rings_the_next(world: World) {
    let [here, there] = world.clients().await;
    let [holder, first, second] = world.rivals(&world.key("a")).map(Claim::queued);
    granted(here.acquire(&holder).await);
    busy(here.acquire(&first).await);
    let mut bell = waits(&there, &second).await;
    held(here.release(&holder, AT_ONCE).await);
    held(here.release(&first, AT_ONCE).await);
    rung(&mut bell).await;
    granted(there.acquire(&second).await);
}

/// A queued writer that leaves rings the readers that waited for it alone.
async fn a_writer_that_leaves_the_queue_rings_the_readers_behind_it(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let shared = || world.lasting_as(Mode::Shared, &key).queued();
    let writer = world.lasting_as(Mode::Exclusive, &key).queued();
    let (first, second) = (shared(), shared());
    granted(here.acquire(&shared()).await);
    busy(here.acquire(&writer).await);
    let mut bells = [waits(&there, &first).await, waits(&there, &second).await];
    held(here.release(&writer, AT_ONCE).await);
    for (bell, reader) in bells.iter_mut().zip([&first, &second]) {
        rung(bell).await;
        granted(there.acquire(reader).await);
    }
}

/// A release that keeps rings the same claims, although what it kept still blocks them: they look, and learn when
/// it lapses.
async fn a_release_that_keeps_rings_though_nobody_gets_in(world: World) {
    let [here, there] = world.clients().await;
    let [holder, waiter] = world.rivals(&world.key("a")).map(Claim::queued);
    granted(here.acquire(&holder).await);
    let mut bell = waits(&there, &waiter).await;
    held(here.release(&holder, LONG / 2).await);
    rung(&mut bell).await;
    assert!(busy(there.acquire(&waiter).await).retry_after <= LONG / 2 + std::time::Duration::from_secs(1));
}

/// Remnants count as gone: a writer that waits for nothing else is rung when the last reader leaves, and learns when the
/// remnant of another lapses.
async fn what_a_reader_kept_does_not_hide_that_the_last_one_left(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let [one, two] = [world.lasting_as(Mode::Shared, &key), world.lasting_as(Mode::Shared, &key)];
    let writer = world.lasting_as(Mode::Exclusive, &key).queued();
    granted(here.acquire(&one).await);
    granted(here.acquire(&two).await);
    let mut bell = waits(&there, &writer).await;
    held(here.release(&one, LONG / 2).await);
    held(here.release(&two, AT_ONCE).await);
    rung(&mut bell).await;
    assert!(busy(there.acquire(&writer).await).retry_after <= LONG / 2);
}

/// Remnants count as gone on every key.
async fn what_one_key_kept_does_not_hide_that_the_other_is_free(world: World) {
    let [here, there] = world.clients().await;
    let [a, b] = world.keys(["a", "b"]);
    let (first, second, both) = (world.lasting(&a), world.lasting(&b), world.lasting([&a, &b]).queued());
    granted(here.acquire(&first).await);
    granted(here.acquire(&second).await);
    let mut bell = waits(&there, &both).await;
    held(here.release(&first, LONG / 2).await);
    held(here.release(&second, AT_ONCE).await);
    rung(&mut bell).await;
    assert!(busy(there.acquire(&both).await).retry_after <= LONG / 2);
}

/// The first behind a remnant gives up: the next one waits for nothing else now, and is told.
async fn one_that_gives_up_behind_what_was_kept_rings_the_next(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let [first, second] = world.rivals(&key).map(Claim::queued);
    let holder = world.lasting(&key);
    granted(here.acquire(&holder).await);
    busy(here.acquire(&first).await);
    let mut bell = waits(&there, &second).await;
    held(here.release(&holder, LONG / 2).await);
    held(here.release(&first, AT_ONCE).await);
    rung(&mut bell).await;
    assert!(busy(there.acquire(&second).await).retry_after <= LONG / 2);
}

/// A release rings all shared claims that now fit.
async fn a_release_rings_every_reader_that_now_fits(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let writer = world.lasting_as(Mode::Exclusive, &key);
    granted(here.acquire(&writer).await);
    let readers: Vec<_> = (0..10).map(|_| world.lasting_as(Mode::Shared, &key).queued()).collect();
    let mut bells = Vec::new();
    for reader in &readers {
        bells.push(waits(&there, reader).await);
    }
    held(here.release(&writer, AT_ONCE).await);
    for (bell, reader) in bells.iter_mut().zip(&readers) {
        rung(bell).await;
        granted(there.acquire(reader).await);
    }
}

/// A release rings all permits that now fit: as many as there are, behind an exclusive claim.
async fn a_release_rings_every_permit_that_now_fits(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let holder = world.lasting_as(Mode::Exclusive, &key);
    granted(here.acquire(&holder).await);
    let permits: Vec<_> = (0..3).map(|_| world.lasting_as(permit(3), &key).queued()).collect();
    let mut bells = Vec::new();
    for one in &permits {
        bells.push(waits(&there, one).await);
    }
    held(here.release(&holder, AT_ONCE).await);
    for (bell, one) in bells.iter_mut().zip(&permits) {
        rung(bell).await;
        granted(there.acquire(one).await);
    }
}

/// The last reader to leave rings the writer, whichever it is.
async fn the_last_reader_rings_the_writer(world: World) {
    let [here, there] = world.clients().await;
    for (round, order) in [[0, 1, 2], [2, 1, 0], [1, 2, 0]].into_iter().enumerate() {
        let key = world.key(&format!("a{round}"));
        let readers = [(); 3].map(|()| world.lasting_as(Mode::Shared, &key));
        for reader in &readers {
            granted(here.acquire(reader).await);
        }
        let writer = world.lasting_as(Mode::Exclusive, &key).queued();
        let mut bell = waits(&there, &writer).await;
        for at in order {
            busy(there.acquire(&writer).await);
            held(here.release(&readers[at], AT_ONCE).await);
        }
        rung(&mut bell).await;
        granted(there.acquire(&writer).await);
    }
}

/// A release of several keys rings the next on each of them.
async fn a_release_rings_the_next_on_each_key(world: World) {
    let [here, there] = world.clients().await;
    let keys = world.keys(["a", "b", "c"]);
    let holder = world.lasting(&keys[..]);
    granted(here.acquire(&holder).await);
    let waiters = keys.each_ref().map(|key| world.lasting(key).queued());
    let mut bells = Vec::new();
    for waiter in &waiters {
        bells.push(waits(&there, waiter).await);
    }
    held(here.release(&holder, AT_ONCE).await);
    for (bell, waiter) in bells.iter_mut().zip(&waiters) {
        rung(bell).await;
        granted(there.acquire(waiter).await);
    }
}

/// A claim that waits on several keys is rung when the last of them is freed, whichever it is.
async fn the_last_key_to_be_freed_rings(world: World) {
    let [here, there] = world.clients().await;
    for (round, order) in [[0, 1], [1, 0]].into_iter().enumerate() {
        let keys = ["a", "b"].map(|name| world.key(&format!("{name}{round}")));
        let holders = keys.each_ref().map(|key| world.lasting(key));
        for holder in &holders {
            granted(here.acquire(holder).await);
        }
        let waiter = world.lasting(&keys[..]).queued();
        let mut bell = waits(&there, &waiter).await;
        for at in order {
            held(here.release(&holders[at], AT_ONCE).await);
        }
        rung(&mut bell).await;
        granted(there.acquire(&waiter).await);
    }
}

/// A waiter that died is not rung in place of the one behind it.
async fn a_lapsed_place_takes_no_ring_from_the_living(world: World) {
    let [here, there] = world.clients().await;
    let [a, b] = world.keys(["a", "b"]);
    let [holder, living] = world.rivals(&a).map(Claim::queued);
    granted(here.acquire(&holder).await);
    busy(there.acquire(&world.claim([&a, &b]).queued()).await);
    let mut bell = waits(&there, &living).await;
    until_free(&here, &b, || async {}).await;
    held(here.release(&holder, AT_ONCE).await);
    rung(&mut bell).await;
    granted(there.acquire(&living).await);
}

/// One release can ring hundreds, and forgets none.
async fn hundreds_of_waiters_are_all_rung(world: World) {
    let [here, there] = world.clients().await;
    let keys: Vec<_> = (0..Claim::MAX_KEYS).map(|at| world.key(&format!("k{at}"))).collect();
    let holders: Vec<_> = keys.chunks(8).map(|some| world.lasting(some)).collect();
    for holder in &holders {
        granted(here.acquire(holder).await);
    }
    let mut bells = Vec::new();
    for at in 0..200 {
        let (key, own) = (&keys[at % keys.len()], world.key(&format!("own{at}")));
        // Beside each other, they share nothing but what the holder has: shared claims where there are any.
        let mode = if there.profile().shared { Mode::Shared } else { world.mode() };
        bells.push(waits(&there, &world.lasting_as(mode, [key, &own]).queued()).await);
    }
    for holder in &holders {
        held(here.release(holder, AT_ONCE).await);
    }
    for bell in bells.iter_mut().take(if there.profile().shared { 200 } else { keys.len() }) {
        rung(bell).await;
    }
}
