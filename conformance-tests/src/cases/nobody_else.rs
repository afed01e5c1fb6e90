//! Who is rung: whoever has a turn because of a release, and nobody else.

use lock_core::{Claim, Mode, Wakeups};

use super::{Case, case};
use crate::World;
use crate::asking::{AT_ONCE, Client, heard, permit, rung, waits};
use crate::world::{busy, granted, held};

pub(crate) const CASES: &[Case] = &[
    case!(only_the_first_in_the_queue_is_rung, exclusive; needs Pushed, Fair),
    case!(nobody_is_rung_by_a_waiter_that_leaves_the_middle, exclusive; needs Pushed, Fair),
    case!(nobody_is_rung_while_a_key_is_still_taken, exclusive; needs Pushed, Several),
    case!(nobody_is_rung_on_another_key, exclusive; needs Pushed),
    case!(nobody_is_rung_by_a_release_that_finds_nothing, exclusive; needs Pushed),
    case!(nobody_is_rung_by_a_renewal_or_a_look, exclusive; needs Pushed),
    case!(readers_behind_a_writer_are_not_rung_with_those_before_it; needs Pushed, Shared, Fair),
    case!(one_freed_permit_rings_one; needs Pushed, Permits, Fair),
    case!(a_reader_that_is_not_the_last_rings_nobody; needs Pushed, Shared, Fair),
    case!(a_holder_in_its_place_is_not_rung_again, exclusive; needs Pushed, Fair),
];

/// One who releases and one who waits, and a way to know that no ring is still on its way between them.
struct Round {
    world: World,
    here: Client,
    there: Client,
}

impl Round {
    /// Has a later ring come through: what was rung before it has come, too.
    async fn settle(&self) {
        let random = getrandom::u64().expect("the system has random numbers");
        let [holder, waiter] = self.world.rivals(&self.world.key(&format!("{random:x}"))).map(Claim::queued);
        granted(self.here.acquire(&holder).await);
        let mut bell = waits(&self.there, &waiter).await;
        held(self.here.release(&holder, AT_ONCE).await);
        rung(&mut bell).await;
        held(self.there.release(&waiter, AT_ONCE).await);
    }

    /// A bell that has rung all that it rings for a start.
    async fn waits(&self, claim: &Claim) -> Wakeups {
        let mut bell = waits(&self.there, claim).await;
        self.settle().await;
        heard(&mut bell);
        bell
    }

    /// Whether none of these has been rung.
    async fn quiet<const N: usize>(&self, bells: [&mut Wakeups; N]) -> bool {
        self.settle().await;
        // Every one is asked: a ring left behind would be taken for a later one.
        bells.map(heard) == [false; N]
    }
}

/// Passes if one of three rounds ends with quiet where there should be quiet: a ring more does no harm, and a
/// reconnect may cause one, but not each time.
macro_rules! rounds {
    ($world:ident, $round:ident, $body:block) => {{
        for _ in 0..3 {
            let world = World::new($world.subject().clone(), $world.mode());
            let [here, there] = world.clients().await;
            let $round = Round { world, here, there };
            if $body {
                return;
            }
        }
        panic!("somebody was rung whose turn it is not, each time");
    }};
}

/// A release rings the next exclusive claim, and none behind it.
async fn only_the_first_in_the_queue_is_rung(world: World) {
    rounds!(world, round, {
        let [holder, first, second, third] = round.world.rivals(&round.world.key("a")).map(Claim::queued);
        granted(round.here.acquire(&holder).await);
        let mut first = round.waits(&first).await;
        let mut others = [round.waits(&second).await, round.waits(&third).await];
        held(round.here.release(&holder, AT_ONCE).await);
        rung(&mut first).await;
        round.quiet(others.each_mut()).await
    });
}

/// A waiter that leaves rings nobody while its turn has not come.
async fn nobody_is_rung_by_a_waiter_that_leaves_the_middle(world: World) {
    rounds!(world, round, {
        let [holder, first, second, third] = round.world.rivals(&round.world.key("a")).map(Claim::queued);
        granted(round.here.acquire(&holder).await);
        let mut before = round.waits(&first).await;
        busy(round.here.acquire(&second).await);
        let mut behind = round.waits(&third).await;
        held(round.here.release(&second, AT_ONCE).await);
        round.quiet([&mut before, &mut behind]).await
    });
}

/// A claim for several keys is not rung while one of them is still taken.
async fn nobody_is_rung_while_a_key_is_still_taken(world: World) {
    rounds!(world, round, {
        let [a, b] = round.world.keys(["a", "b"]);
        let (on_a, on_b) = (round.world.lasting(&a), round.world.lasting(&b));
        granted(round.here.acquire(&on_a).await);
        granted(round.here.acquire(&on_b).await);
        let mut bell = round.waits(&round.world.lasting([&a, &b]).queued()).await;
        held(round.here.release(&on_a, AT_ONCE).await);
        let quiet = round.quiet([&mut bell]).await;
        held(round.here.release(&on_b, AT_ONCE).await);
        rung(&mut bell).await;
        quiet
    });
}

/// A release rings nobody who waits for another key, alike as the names may be.
async fn nobody_is_rung_on_another_key(world: World) {
    rounds!(world, round, {
        let [a, b] = round.world.keys(["a", "a/b"]);
        let (on_a, on_b) = (round.world.lasting(&a), round.world.lasting(&b));
        granted(round.here.acquire(&on_a).await);
        granted(round.here.acquire(&on_b).await);
        let mut bell = round.waits(&round.world.lasting(&a).queued()).await;
        let mut other = round.waits(&round.world.lasting(&b).queued()).await;
        held(round.here.release(&on_a, AT_ONCE).await);
        rung(&mut bell).await;
        round.quiet([&mut other]).await
    });
}

/// A release that says `Lost` changes nothing, and rings nobody.
async fn nobody_is_rung_by_a_release_that_finds_nothing(world: World) {
    rounds!(world, round, {
        let [holder, waiter, stranger] = round.world.rivals(&round.world.key("a"));
        granted(round.here.acquire(&holder).await);
        let mut bell = round.waits(&waiter.queued()).await;
        crate::world::lost(round.here.release(&stranger, AT_ONCE).await);
        round.quiet([&mut bell]).await
    });
}

/// Nor do a renewal, a look of the holder, or a newcomer that is refused.
async fn nobody_is_rung_by_a_renewal_or_a_look(world: World) {
    rounds!(world, round, {
        let [holder, waiter, newcomer, other] = round.world.rivals(&round.world.key("a"));
        granted(round.here.acquire(&holder).await);
        let mut bell = round.waits(&waiter.queued()).await;
        held(crate::asking::renew(&round.here, &holder).await);
        granted(round.here.acquire(&holder).await);
        busy(round.here.acquire(&newcomer).await);
        busy(round.here.acquire(&other.queued()).await);
        round.quiet([&mut bell]).await
    });
}

/// A release rings the readers up to the next writer, and neither the writer nor those behind it.
async fn readers_behind_a_writer_are_not_rung_with_those_before_it(world: World) {
    rounds!(world, round, {
        let key = round.world.key("a");
        let claim = |mode| round.world.lasting_as(mode, &key).queued();
        let holder = claim(Mode::Exclusive);
        granted(round.here.acquire(&holder).await);
        let mut before = [round.waits(&claim(Mode::Shared)).await, round.waits(&claim(Mode::Shared)).await];
        let mut writer = round.waits(&claim(Mode::Exclusive)).await;
        let mut behind = round.waits(&claim(Mode::Shared)).await;
        held(round.here.release(&holder, AT_ONCE).await);
        for bell in &mut before {
            rung(bell).await;
        }
        round.quiet([&mut writer, &mut behind]).await
    });
}

/// One freed permit rings one waiting claim, the next freed one the next.
async fn one_freed_permit_rings_one(world: World) {
    rounds!(world, round, {
        let key = round.world.key("a");
        let one = || round.world.lasting_as(permit(2), &key).queued();
        let holders = [one(), one()];
        for holder in &holders {
            granted(round.here.acquire(holder).await);
        }
        let mut waiting = [round.waits(&one()).await, round.waits(&one()).await, round.waits(&one()).await];
        let [first, second, third] = waiting.each_mut();
        held(round.here.release(&holders[0], AT_ONCE).await);
        rung(first).await;
        let others_quiet = round.quiet([&mut *second, &mut *third]).await;
        held(round.here.release(&holders[1], AT_ONCE).await);
        rung(second).await;
        round.quiet([first, third]).await && others_quiet
    });
}

/// While readers remain, one that leaves rings nobody.
async fn a_reader_that_is_not_the_last_rings_nobody(world: World) {
    rounds!(world, round, {
        let key = round.world.key("a");
        let readers = [(); 3].map(|()| round.world.lasting_as(Mode::Shared, &key));
        for reader in &readers {
            granted(round.here.acquire(reader).await);
        }
        let mut writer = round.waits(&round.world.lasting_as(Mode::Exclusive, &key).queued()).await;
        let mut behind = round.waits(&round.world.lasting_as(Mode::Shared, &key).queued()).await;
        held(round.here.release(&readers[1], AT_ONCE).await);
        let quiet = round.quiet([&mut writer, &mut behind]).await;
        held(round.here.release(&readers[0], AT_ONCE).await);
        round.quiet([&mut writer, &mut behind]).await && quiet
    });
}

/// Who already has its turn is not rung again when somebody behind it leaves.
async fn a_holder_in_its_place_is_not_rung_again(world: World) {
    rounds!(world, round, {
        let [holder, first, second, third] = round.world.rivals(&round.world.key("a")).map(Claim::queued);
        granted(round.here.acquire(&holder).await);
        let mut bell = round.waits(&first).await;
        busy(round.here.acquire(&second).await);
        let mut last = round.waits(&third).await;
        held(round.here.release(&holder, AT_ONCE).await);
        rung(&mut bell).await;
        held(round.here.release(&second, AT_ONCE).await);
        round.quiet([&mut bell, &mut last]).await
    });
}
