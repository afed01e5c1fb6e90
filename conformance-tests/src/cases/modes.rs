//! The model: who has room behind whom.

use std::num::NonZeroU32;

use futures::future::join_all;
use lock_core::{Attempt, Claim, Mode};

use super::{Case, case};
use crate::World;
use crate::asking::{AT_ONCE, permit};
use crate::world::{busy, granted, held};

pub(crate) const CASES: &[Case] = &[
    case!(every_pair_of_modes_on_one_key; needs Shared, Permits),
    case!(every_pair_of_modes_queued_on_one_key; needs Shared, Permits),
    case!(every_three_modes_on_one_key; needs Shared, Permits, Fair),
    case!(readers_hold_together; needs Shared),
    case!(readers_that_come_at_once_all_get_in; needs Shared),
    case!(readers_do_not_starve_a_writer; needs Shared, Fair),
    case!(readers_behind_a_waiting_writer_get_in_together_after_it; needs Shared, Fair),
    case!(as_many_hold_as_there_are_permits; needs Permits),
    case!(permits_that_are_asked_for_at_once_are_given_out_once_each; needs Permits),
    case!(a_freed_permit_goes_to_the_first_in_the_queue; needs Permits, Fair),
    case!(the_smallest_number_of_permits_counts; needs Permits, Fair),
    case!(the_largest_number_of_permits_is_a_number; needs Permits),
];

/// The modes of the table below, in its order.
fn modes() -> [Mode; 5] {
    [Mode::Exclusive, Mode::Shared, permit(1), permit(2), permit(4)]
}

/// Whether the mode of the column has room behind that of the row.
const ROOM: [[bool; 5]; 5] = [
    // exclusive, shared, 1, 2, 4
    [false, false, false, false, false],
    [false, true, false, false, false],
    [false, false, false, false, false],
    [false, false, false, true, true],
    [false, false, false, true, true],
];

/// Exclusive beside nothing, shared beside shared, permits beside fewer permits than the smaller number of both.
async fn every_pair_of_modes_on_one_key(world: World) {
    pairs(world, |claim| claim).await;
}

/// A claim that waits is granted beside the same as one that skips.
async fn every_pair_of_modes_queued_on_one_key(world: World) {
    pairs(world, Claim::queued).await;
}

async fn pairs(world: World, asks: fn(Claim) -> Claim) {
    let [here, there] = world.clients().await;
    for (row, ahead) in modes().into_iter().enumerate() {
        for (column, behind) in modes().into_iter().enumerate() {
            let key = world.key(&format!("{row} {column}"));
            let first = asks(world.lasting_as(ahead, &key));
            granted(here.acquire(&first).await);
            let second = asks(world.lasting_as(behind, &key));
            let room = matches!(there.acquire(&second).await, Ok(Attempt::Granted(_)));
            assert_eq!(room, ROOM[row][column], "{behind} behind {ahead}");
            held(here.release(&first, AT_ONCE).await);
            granted(there.acquire(&second).await);
        }
    }
}

/// Three in a row: whether the third has room depends on both that are ahead, held or queued.
async fn every_three_modes_on_one_key(world: World) {
    let [here, there] = world.clients().await;
    for at in 0..125 {
        let numbers = [at / 25, at / 5 % 5, at % 5];
        let [first, second, third] = numbers.map(|number| modes()[number]);
        let key = world.key(&format!("{at}"));
        let claims = [first, second, third].map(|mode| world.lasting_as(mode, &key).queued());
        granted(here.acquire(&claims[0]).await);
        let looks = [there.acquire(&claims[1]).await, here.acquire(&claims[2]).await];
        let room = looks.map(|look| matches!(look, Ok(Attempt::Granted(_))));
        let [one, two, three] = numbers;
        let expected = [ROOM[one][two], room_for(third, [first, second])];
        assert_eq!(room, expected, "{second}, then {third}, behind {first}");
        held(here.release(&claims[0], AT_ONCE).await);
        granted(there.acquire(&claims[1]).await);
        let look = there.acquire(&claims[2]).await;
        assert_eq!(matches!(look, Ok(Attempt::Granted(_))), ROOM[two][three], "{third} behind {second}");
    }
}

/// The rule of the model, for two that are ahead.
fn room_for(mode: Mode, ahead: [Mode; 2]) -> bool {
    let of = |mode| match mode {
        Mode::Permit { of } => Some(NonZeroU32::get(of)),
        _ => None,
    };
    match mode {
        Mode::Exclusive => false,
        Mode::Shared => ahead == [Mode::Shared; 2],
        _ => ahead.into_iter().chain([mode]).map(of).min().expect("three").is_some_and(|least| least > 2),
    }
}

/// Any number of shared claims hold a key together.
async fn readers_hold_together(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    for _ in 0..20 {
        granted(here.acquire(&world.lasting_as(Mode::Shared, &key)).await);
        granted(there.acquire(&world.lasting_as(Mode::Shared, &key).queued()).await);
    }
    busy(there.acquire(&world.lasting_as(Mode::Exclusive, &key)).await);
}

/// None of many readers that come at once is refused.
async fn readers_that_come_at_once_all_get_in(world: World) {
    let clients: [_; 5] = world.clients().await;
    let key = world.key("a");
    let readers: Vec<_> = (0..25).map(|_| world.lasting_as(Mode::Shared, &key)).collect();
    let looks = readers.iter().enumerate().map(|(at, reader)| clients[at % 5].acquire(reader));
    for look in join_all(looks).await {
        granted(look);
    }
}

/// A writer waits for the readers that were there, and for none that come later.
async fn readers_do_not_starve_a_writer(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let early = world.lasting_as(Mode::Shared, &key);
    let writer = world.lasting_as(Mode::Exclusive, &key).queued();
    granted(here.acquire(&early).await);
    busy(there.acquire(&writer).await);
    let late: Vec<_> = (0..20).map(|_| world.lasting_as(Mode::Shared, &key).queued()).collect();
    for reader in &late {
        busy(here.acquire(reader).await);
    }
    held(here.release(&early, AT_ONCE).await);
    busy(here.acquire(&late[0]).await);
    granted(there.acquire(&writer).await);
}

/// Readers behind a waiting writer wait, and get in together when it is done.
async fn readers_behind_a_waiting_writer_get_in_together_after_it(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let shared = || world.lasting_as(Mode::Shared, &key).queued();
    let (early, readers, last) = (shared(), [shared(), shared(), shared()], shared());
    let [writer, second] = [(); 2].map(|()| world.lasting_as(Mode::Exclusive, &key).queued());
    granted(here.acquire(&early).await);
    for waiter in [&writer, &readers[0], &readers[1], &readers[2], &second, &last] {
        busy(there.acquire(waiter).await);
    }
    held(here.release(&early, AT_ONCE).await);
    granted(there.acquire(&writer).await);
    for reader in &readers {
        busy(there.acquire(reader).await);
    }
    held(there.release(&writer, AT_ONCE).await);
    for reader in &readers {
        granted(there.acquire(reader).await);
    }
    busy(there.acquire(&last).await);
    for reader in &readers {
        busy(there.acquire(&second).await);
        held(there.release(reader, AT_ONCE).await);
    }
    granted(there.acquire(&second).await);
}

/// As many hold as there are permits: no more, and no fewer.
async fn as_many_hold_as_there_are_permits(world: World) {
    let [here, there] = world.clients().await;
    for of in [1, 2, 3, 20] {
        let key = world.key(&format!("{of}"));
        let claims: Vec<_> = (0..=of).map(|_| world.lasting_as(permit(of), &key)).collect();
        let (last, first) = claims.split_last().expect("at least two");
        for claim in first {
            granted(here.acquire(claim).await);
        }
        busy(there.acquire(last).await);
        held(there.release(&first[0], AT_ONCE).await);
        granted(there.acquire(last).await);
        busy(here.acquire(&first[0]).await);
    }
}

/// Of many that ask at once exactly as many are granted as there are permits, time after time.
async fn permits_that_are_asked_for_at_once_are_given_out_once_each(world: World) {
    let clients: [_; 6] = world.clients().await;
    let key = world.key("a");
    for _ in 0..10 {
        let claims: Vec<_> = (0..12).map(|_| world.lasting_as(permit(5), &key)).collect();
        let looks =
            join_all(claims.iter().enumerate().map(|(at, claim)| clients[at % 6].acquire(claim))).await;
        let got = looks.iter().map(|look| matches!(look, Ok(Attempt::Granted(_))));
        let holders: Vec<_> =
            claims.iter().zip(got).filter(|(_, got)| *got).map(|(claim, _)| claim).collect();
        assert_eq!(holders.len(), 5, "{looks:?}");
        for holder in holders {
            held(clients[0].release(holder, AT_ONCE).await);
        }
    }
}

/// A freed permit goes to the first that waits, and to nobody else.
async fn a_freed_permit_goes_to_the_first_in_the_queue(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let claims: Vec<_> = (0..7).map(|_| world.lasting_as(permit(3), &key).queued()).collect();
    let (holders, waiters) = claims.split_at(3);
    for holder in holders {
        granted(here.acquire(holder).await);
    }
    for waiter in waiters {
        busy(there.acquire(waiter).await);
    }
    // In another order than they came in: the permits are all alike.
    for (freed, next) in [1, 0, 2].into_iter().zip(0..) {
        held(here.release(&holders[freed], AT_ONCE).await);
        busy(there.acquire(&waiters[next + 1]).await);
        granted(there.acquire(&waiters[next]).await);
    }
}

/// Where claims differ on how many permits there are, the smallest number counts, also that of one that waits.
async fn the_smallest_number_of_permits_counts(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    let [first, second, third] = [4, 4, 4].map(|of| world.lasting_as(permit(of), &key));
    let strict = world.lasting_as(permit(1), &key).queued();
    granted(here.acquire(&first).await);
    granted(here.acquire(&second).await);
    busy(there.acquire(&strict).await);
    busy(here.acquire(&third).await);
    held(here.release(&first, AT_ONCE).await);
    busy(there.acquire(&strict).await);
    held(here.release(&second, AT_ONCE).await);
    granted(there.acquire(&strict).await);
    busy(here.acquire(&third).await);
    held(there.release(&strict, AT_ONCE).await);
    granted(here.acquire(&third).await);
}

/// The largest number of permits is no overflow, and no exception.
async fn the_largest_number_of_permits_is_a_number(world: World) {
    let [here, there] = world.clients().await;
    let key = world.key("a");
    granted(here.acquire(&world.lasting_as(permit(u32::MAX), &key)).await);
    granted(there.acquire(&world.lasting_as(permit(u32::MAX), &key)).await);
    granted(there.acquire(&world.lasting_as(permit(u32::MAX - 1), &key)).await);
    busy(there.acquire(&world.lasting_as(permit(3), &key)).await);
    granted(there.acquire(&world.lasting_as(permit(4), &key)).await);
    busy(here.acquire(&world.lasting_as(Mode::Shared, &key)).await);
}
