//! Holders and waiters that die, or stand still, without a word. They are processes of their own.

use lock_core::{Guard, Mode, Result};
use tokio::task::JoinHandle;

use super::{Case, case};
use crate::World;
use crate::asking::Since;
use crate::helper::Helper;
use crate::patience::{LONG, gets_in, let_go, within};
use crate::queue::Queue;

pub(crate) const CASES: &[Case] = &[
    case!(a_killed_holders_lock_is_free_after_its_ttl_and_not_before, exclusive; needs Processes),
    case!(a_killed_holders_keys_are_all_free_after_its_ttl, exclusive; needs Processes),
    case!(a_killed_holders_cooldown_lasts_no_longer_than_its_ttl, exclusive; needs Processes),
    case!(a_killed_reader_lets_the_writer_in; needs Processes, Shared),
    case!(one_killed_while_waiting_delays_the_queue_by_its_ttl_at_most, exclusive; needs Processes),
    case!(one_paused_beyond_its_ttl_learns_that_it_lost, exclusive; needs Processes),
    case!(one_paused_while_waiting_loses_its_place, exclusive; needs Processes),
    case!(a_process_that_closes_leaves_nothing, exclusive; needs Processes),
    case!(processes_hand_over_to_each_other_in_order, exclusive; needs Processes, Fair),
    case!(processes_lose_no_update, exclusive; needs Processes),
];

/// A process that holds and renews is killed. Who waits gets the lock, not before a ttl has passed since the grant,
/// with a greater token.
async fn a_killed_holders_lock_is_free_after_its_ttl_and_not_before(world: World) {
    let (locks, key) = (world.steady().await, world.key("a"));
    let mut helper = Helper::start(&world).await;
    let asked = Since::now();
    let token = helper.hold(world.mode(), &[&key], world.ttl()).await;
    helper.kill().await;
    let guard = within("the lock of the dead", world.lock(&locks, &key).acquire()).await.expect("granted");
    asked.lasted(world.ttl());
    assert!(guard.token() > token);
    let_go(guard).await;
}

/// The same for three keys: all are free after the ttl, together and each.
async fn a_killed_holders_keys_are_all_free_after_its_ttl(world: World) {
    let (locks, keys) = (world.steady().await, world.keys(["a", "b", "c"]));
    let mut helper = Helper::start(&world).await;
    let asked = Since::now();
    let token = helper.hold(world.mode(), &keys.each_ref(), world.ttl()).await;
    helper.kill().await;
    let guard =
        within("the keys of the dead", world.lock(&locks, &keys[..]).acquire()).await.expect("granted");
    asked.lasted(world.ttl());
    assert!(keys.iter().all(|key| guard.token_of(key).is_some_and(|later| later > token)));
    let_go(guard).await;
}

/// A cooldown of ten minutes dies with the process: what it held is free after the ttl.
async fn a_killed_holders_cooldown_lasts_no_longer_than_its_ttl(world: World) {
    let (locks, key) = (world.steady().await, world.key("a"));
    let mut helper = Helper::start(&world).await;
    helper.hold_at_least(world.mode(), &[&key], world.ttl(), LONG).await;
    helper.kill().await;
    let guard = within("the lock of the dead", world.lock(&locks, &key).acquire()).await.expect("granted");
    let_go(guard).await;
}

/// A writer waits for a process that reads, and for a reader here: the first is killed, the second leaves, and the
/// writer gets in.
async fn a_killed_reader_lets_the_writer_in(world: World) {
    let (queue, key) = (Queue::default(), world.key("a"));
    let (here, writer) = (world.steady().await, queue.locker(&world).await);
    let mut helper = Helper::start(&world).await;
    helper.hold(Mode::Shared, &[&key], world.ttl()).await;
    let reader = here.lock(&key).shared().acquire().await.expect("readers share");
    let writer = tokio::spawn(writer.lock(&key).acquire());
    queue.has(1).await;
    helper.kill().await;
    let_go(reader).await;
    let writer = within("the writer", writer).await.expect("no panic").expect("granted");
    let_go(writer).await;
}

/// A holder here, a process that waits with the comfortable ttl, and one here that waits behind it.
async fn a_waiting_process_and_one_behind(world: &World) -> (Guard, Helper, JoinHandle<Result<Guard>>) {
    let (queue, key) = (Queue::default(), world.key("a"));
    let (here, behind) = (world.steady().await, queue.locker(world).await);
    let guard = world.lock(&here, &key).acquire().await.expect("free");
    let mut helper = Helper::start(world).await;
    helper.wait_for(world.mode(), &[&key], world.ttl()).await;
    let behind = tokio::spawn(world.lock(&behind, &key).acquire());
    queue.has(1).await;
    (guard, helper, behind)
}

/// A process that is next in line is killed. When the holder leaves, the one behind it is served once the dead one's
/// place has lapsed.
async fn one_killed_while_waiting_delays_the_queue_by_its_ttl_at_most(world: World) {
    let (guard, helper, behind) = a_waiting_process_and_one_behind(&world).await;
    helper.kill().await;
    let_go(guard).await;
    let behind = within("the one behind the dead", behind).await.expect("no panic").expect("granted");
    let_go(behind).await;
}

/// A process that holds is stopped for longer than its ttl and goes on. By then somebody else holds; it knows at
/// once that it lost, is told so, its release says so, and whatever it still sends frees nothing.
async fn one_paused_beyond_its_ttl_learns_that_it_lost(world: World) {
    let ([here, there], key) = (world.steadies().await, world.key("a"));
    let mut helper = Helper::start(&world).await;
    let token = helper.hold(world.mode(), &[&key], world.ttl()).await;
    helper.pause();
    let successor =
        within("the lock of the paused", world.lock(&here, &key).acquire()).await.expect("granted");
    assert!(successor.token() > token);
    helper.resume();
    helper.ask("is_held", "false").await;
    helper.ask("lost", "lost").await;
    helper.ask("release", "Lost").await;
    helper.ask("close", "closed").await; // its late release has been to the store
    assert!(world.lock(&there, &key).try_acquire().await.expect("an answer").is_none(), "it freed another's");
    assert!(successor.is_held());
    let_go(successor).await;
}

/// A process that waits is stopped for longer than its ttl, and those behind it are served. Going on, it waits
/// again, behind the one who holds by now, and is granted with a greater token.
async fn one_paused_while_waiting_loses_its_place(world: World) {
    let (guard, mut helper, behind) = a_waiting_process_and_one_behind(&world).await;
    helper.pause();
    let_go(guard).await;
    let behind = within("the one behind the paused", behind).await.expect("no panic").expect("granted");
    helper.resume();
    let token = behind.token();
    let_go(behind).await;
    assert!(helper.held().await > token);
    helper.ask("release", "released").await;
}

/// A process drops its guard, closes its locker and ends: the lock is free at once, not at its ttl of ten minutes.
async fn a_process_that_closes_leaves_nothing(world: World) {
    let (locks, key) = (world.steady().await, world.key("a"));
    let mut helper = Helper::start(&world).await;
    helper.hold(world.mode(), &[&key], LONG).await;
    helper.ask("close", "closed").await;
    helper.kill().await;
    drop(gets_in(world.lock(&locks, &key)).await);
}

/// Three processes wait one behind the other; each release lets in the next, with a greater token.
async fn processes_hand_over_to_each_other_in_order(world: World) {
    let (locks, key) = (world.steady().await, world.key("a"));
    let guard = world.lock(&locks, &key).acquire().await.expect("free");
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut helper = Helper::start(&world).await;
        helper.wait_for(world.mode(), &[&key], LONG).await;
        waiting.push(helper);
    }
    let mut last = guard.token();
    let_go(guard).await;
    for helper in &mut waiting {
        let token = helper.held().await;
        assert!(token > last);
        last = token;
        helper.ask("release", "released").await;
    }
}

/// Four processes count in one file, ten times each, reading and writing it under the lock: all 40 are there.
async fn processes_lose_no_update(world: World) {
    let key = world.key("counter");
    let file = tempfile::NamedTempFile::new().expect("a file to count in");
    std::fs::write(file.path(), "0").expect("a file of ours can be written");
    let mut helpers = Vec::new();
    for _ in 0..4 {
        helpers.push(Helper::start(&world).await);
    }
    for helper in &mut helpers {
        helper.count(world.mode(), &key, file.path(), 10).await;
    }
    for helper in &mut helpers {
        helper.expect("counted").await;
    }
    assert_eq!(std::fs::read_to_string(file.path()).expect("a file of ours can be read"), "40");
}
