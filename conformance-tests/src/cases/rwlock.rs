//! Readers and writers.

use std::sync::Arc;
use std::time::Duration;

use lock_core::Mode;
use tokio::sync::{Barrier, watch};
use tokio::time::timeout;

use super::{Case, case};
use crate::World;
use crate::patience::{crowd, gets_in, let_go, within};
use crate::queue::Queue;
use crate::world::in_mode;

pub(crate) const CASES: &[Case] = &[
    case!(readers_share; needs Shared),
    case!(a_writer_is_alone; needs Shared),
    case!(a_reader_does_not_pass_a_waiting_writer; needs Shared, Fair),
    case!(a_writer_does_not_starve_among_readers; needs Shared, Fair),
    case!(a_reader_does_not_starve_among_writers; needs Shared, Fair),
    case!(all_readers_behind_a_writer_get_in_together; needs Shared),
    case!(a_writer_waits_for_the_last_reader; needs Shared),
];

/// Six readers over three clients hold at once: none lets go before all are in.
async fn readers_share(world: World) {
    let (clients, all) = (world.steadies::<3>().await, Arc::new(Barrier::new(6)));
    crowd(6, |task| {
        let (lock, all) = (clients[task % 3].lock(world.key("a")).shared(), all.clone());
        async move {
            let guard = lock.acquire().await.expect("readers share");
            all.wait().await;
            assert!(guard.is_held());
            let_go(guard).await;
        }
    })
    .await;
}

/// While a writer holds, neither reader nor writer gets in.
async fn a_writer_is_alone(world: World) {
    let [here, there] = world.steadies().await;
    let guard = here.lock(world.key("a")).acquire().await.expect("free");
    assert!(there.lock(world.key("a")).shared().try_acquire().await.expect("an answer").is_none());
    assert!(there.lock(world.key("a")).try_acquire().await.expect("an answer").is_none());
    let_go(guard).await;
    drop(gets_in(there.lock(world.key("a")).shared()).await);
}

/// A reader that comes after a waiting writer waits behind it, although readers hold.
async fn a_reader_does_not_pass_a_waiting_writer(world: World) {
    let queue = Queue::default();
    let key = world.key("a");
    let (here, writer, late) = (world.steady().await, queue.locker(&world).await, queue.locker(&world).await);
    let early = here.lock(&key).shared().acquire().await.expect("free");
    let writer = tokio::spawn(writer.lock(&key).acquire());
    queue.has(1).await;
    assert!(here.lock(&key).shared().try_acquire().await.expect("an answer").is_none(), "a skip passed it");
    let late = tokio::spawn(late.lock(&key).shared().acquire());
    queue.has(2).await; // refused, though a reader holds
    let_go(early).await;
    let writer = within("the writer", writer).await.expect("no panic").expect("granted");
    assert!(!late.is_finished(), "a reader beside the writer");
    let_go(writer).await;
    let late = within("the late reader", late).await.expect("no panic").expect("granted");
    let_go(late).await;
}

/// Six readers over three clients come back at once whenever they have left, and none leaves before another has come,
/// so there is always one: a writer among them is served.
async fn a_writer_does_not_starve_among_readers(world: World) {
    stream(&world, Mode::Shared, Mode::Exclusive).await;
}

/// Six writers over three clients come back at once whenever they have left, so there is always one that waits: a
/// reader among them is served.
async fn a_reader_does_not_starve_among_writers(world: World) {
    stream(&world, Mode::Exclusive, Mode::Shared).await;
}

/// Serves three in a stream of others.
async fn stream(world: &World, of: Mode, served: Mode) {
    let clients = world.steadies::<3>().await;
    let (stop, stopped) = watch::channel(false);
    let entries = watch::Sender::new(0_u64);
    let streaming: Vec<_> = (0..6)
        .map(|task| {
            let lock = in_mode(clients[task % 3].lock(world.key("a")), of);
            let (entries, stopped) = (entries.clone(), stopped.clone());
            tokio::spawn(async move {
                while !*stopped.borrow() {
                    let guard = lock.clone().acquire().await.expect("granted in the end");
                    let mut mine = 0;
                    entries.send_modify(|entries| {
                        *entries += 1;
                        mine = *entries;
                    });
                    if of == Mode::Shared {
                        let mut others = entries.subscribe();
                        // Nobody comes while the one to be served is first in the queue: then this is its turn.
                        let _ = timeout(Duration::from_millis(100), others.wait_for(|now| *now > mine)).await;
                    }
                    let_go(guard).await;
                }
            })
        })
        .collect();
    within("the stream", entries.subscribe().wait_for(|entries| *entries > 6)).await.expect("it lasts");
    let alone = in_mode(world.steady().await.lock(world.key("a")), served);
    for _ in 0..3 {
        let guard = within("the one in the stream", alone.clone().acquire()).await;
        let_go(guard.expect("granted")).await;
    }
    stop.send_replace(true);
    for task in streaming {
        within("the end of the stream", task).await.expect("no panic");
    }
}

/// Four readers wait behind a writer: when it leaves all of them get in, and none lets go before all are in.
async fn all_readers_behind_a_writer_get_in_together(world: World) {
    let (queue, all) = (Queue::default(), Arc::new(Barrier::new(4)));
    let key = world.key("a");
    let writer = world.steady().await.lock(&key).acquire().await.expect("free");
    let clients = [queue.locker(&world).await, queue.locker(&world).await];
    let readers = (0..4).map(|task| {
        let (lock, all) = (clients[task % 2].lock(&key).shared(), all.clone());
        tokio::spawn(async move {
            let guard = lock.acquire().await.expect("granted in the end");
            all.wait().await;
            let_go(guard).await;
        })
    });
    let readers: Vec<_> = readers.collect();
    queue.has(4).await;
    let_go(writer).await;
    for reader in readers {
        within("all readers at once", reader).await.expect("no panic");
    }
}

/// A writer behind three readers waits until all of them have left, in whatever order they leave.
async fn a_writer_waits_for_the_last_reader(world: World) {
    let queue = Queue::default();
    let key = world.key("a");
    let (here, there, writer) = (world.steady().await, world.steady().await, queue.locker(&world).await);
    let one = here.lock(&key).shared().acquire().await.expect("free");
    let two = there.lock(&key).shared().acquire().await.expect("shared");
    let three = here.lock(&key).shared().acquire().await.expect("shared");
    let writer = tokio::spawn(writer.lock(&key).acquire());
    queue.has(1).await;
    let_go(two).await;
    let_go(one).await;
    assert!(!writer.is_finished(), "a writer beside a reader");
    assert!(there.lock(&key).shared().try_acquire().await.expect("an answer").is_none());
    let_go(three).await;
    let writer = within("the writer", writer).await.expect("no panic").expect("granted");
    let_go(writer).await;
}
