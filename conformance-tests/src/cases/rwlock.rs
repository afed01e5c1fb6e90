//! Readers and writers.

use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::task::yield_now;

use super::{Case, case};
use crate::World;
use crate::patience::{crowd, gets_in, let_go, within};
use crate::queue::Queue;

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

/// Six readers over three clients come back at once whenever they have left; a writer among them is served.
async fn a_writer_does_not_starve_among_readers(world: World) {
    stream(&world, true).await;
}

/// Six writers over three clients come back at once whenever they have left; a reader among them is served.
async fn a_reader_does_not_starve_among_writers(world: World) {
    stream(&world, false).await;
}

/// One reader or writer served in a stream of the other kind, in which there is always somebody.
async fn stream(world: &World, of_readers: bool) {
    let key = world.key("a");
    let lock = move |locks: &lock_core::Locker, reads: bool| {
        let lock = locks.lock(&key);
        if reads { lock.shared() } else { lock }
    };
    let (clients, started) = (world.steadies::<3>().await, Arc::new(Barrier::new(7)));
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let streaming: Vec<_> = (0..6)
        .map(|task| {
            let (locks, lock, started, stopped) =
                (clients[task % 3].clone(), lock.clone(), started.clone(), stopped.clone());
            tokio::spawn(async move {
                started.wait().await;
                while !*stopped.borrow() {
                    let guard = lock(&locks, of_readers).acquire().await.expect("granted in the end");
                    yield_now().await;
                    let_go(guard).await;
                }
            })
        })
        .collect();
    started.wait().await;
    let alone = world.steady().await;
    for _ in 0..3 {
        let served = within("the one in the stream", lock(&alone, !of_readers).acquire()).await;
        let_go(served.expect("granted")).await;
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
