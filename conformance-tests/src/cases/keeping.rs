//! A lease is kept while its guard lives, and no longer.

use std::time::Duration;

use futures::future::join_all;
use lock_core::{Error, ErrorKind, Guard, Locker};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Case, case};
use crate::World;
use crate::patience::{let_go, within};
use crate::queue::Queue;

pub(crate) const CASES: &[Case] = &[
    case!(a_lock_is_held_for_several_ttls_while_another_waits, exclusive),
    case!(without_renewal_a_lock_is_lost_at_its_ttl, exclusive),
    case!(work_under_a_lost_lock_is_stopped, exclusive),
    case!(a_blocked_executor_keeps_its_lock, exclusive),
    case!(a_hundred_locks_are_kept_together, exclusive),
    case!(one_who_waits_for_several_ttls_keeps_its_place, exclusive; needs Fair),
];

/// How many ttls a lock is held for.
const TTLS: f64 = 2.5;

/// Somebody who waits for the world's key and takes note when it is granted.
pub(super) struct Waiting {
    granted: watch::Receiver<bool>,
    task: JoinHandle<Guard>,
}

impl Waiting {
    /// Begins to wait, on a client of its own, and is queued when this returns. Or granted, where a stall of the machine has
    /// lost the lock by then.
    pub(super) async fn begin(world: &World) -> Self {
        let (queue, (note, mut granted)) = (Queue::default(), watch::channel(false));
        let locks = queue.locker(world).await;
        let lock = world.lock(&locks, world.key("a"));
        let task = tokio::spawn(async move {
            let guard = lock.acquire().await.expect("granted in the end");
            note.send_replace(true);
            guard
        });
        tokio::select! {
            () = queue.has(1) => {}
            _ = granted.changed() => {}
        }
        Self { granted, task }
    }

    /// Releases the guard waited for, and takes what follows. True if it was held to the end; panics if this one was
    /// granted beside it.
    pub(super) async fn outlives(self, guard: Guard) -> bool {
        let granted = *self.granted.borrow();
        let (held, token) = (guard.is_held(), guard.token());
        assert!(!(held && granted), "granted beside a holder");
        let released = guard.release().await;
        let next = within("the one who waits", self.task).await.expect("no panic");
        assert!(next.token() > token);
        let_go(next).await;
        held && released.is_ok()
    }
}

/// Renewed at every third of its ttl, a lock is held for several of them; another who waits has to wait for the
/// release.
async fn a_lock_is_held_for_several_ttls_while_another_waits(world: World) {
    let trial = async |world: World, ttl: Duration| {
        let locks = world.steady().await;
        let guard = world.lock(&locks, world.key("a")).ttl(ttl).acquire().await.expect("free");
        let waiting = Waiting::begin(&world).await;
        tokio::time::sleep(ttl.mul_f64(TTLS)).await;
        waiting.outlives(guard).await
    };
    world.unspoiled(trial).await;
}

/// Without renewal the guard learns of its end at the deadline; the one who waits gets in; the late release says
/// `Lost` and takes nothing from it.
async fn without_renewal_a_lock_is_lost_at_its_ttl(world: World) {
    let [here, there]: [Locker; 2] = world.steadies().await;
    let lock = world.lock(&here, world.key("a")).ttl(world.ttl()).renewal(false);
    let guard = lock.acquire().await.expect("free");
    let waiting = tokio::spawn(world.lock(&there, world.key("a")).acquire());
    within("the loss at the deadline", guard.lost()).await;
    assert!(!guard.is_held() && guard.remaining() == Duration::ZERO);
    let next = within("the one who waits", waiting).await.expect("no panic").expect("granted");
    assert!(next.token() > guard.token());
    assert_eq!(guard.release().await.expect_err("it was lost").kind(), ErrorKind::Lost);
    within("the releases under way", here.close()).await;
    assert!(world.lock(&here, world.key("a")).try_acquire().await.expect("an answer").is_none());
    let_go(next).await;
}

/// Work that would go on for ever is stopped when its lock is lost, and the answer says why.
async fn work_under_a_lost_lock_is_stopped(world: World) {
    let locks = world.steady().await;
    let lock = world.lock(&locks, world.key("a")).ttl(world.ttl()).renewal(false);
    let work = lock.run(async |_| std::future::pending::<Result<(), Error>>().await);
    let error = within("the end of the work", work).await.expect_err("the lock was lost");
    assert_eq!(error.kind(), ErrorKind::Lost);
}

/// The only thread of a runtime is blocked for several ttls by the holder itself: the lock is renewed all the same,
/// and whoever waits elsewhere has to wait.
async fn a_blocked_executor_keeps_its_lock(world: World) {
    let trial = async |world: World, ttl: Duration| {
        let (here, held) = (world.clone(), tokio::sync::oneshot::channel());
        let (block, blocks) = std::sync::mpsc::channel();
        let taken = held.0;
        let holder = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let locks = here.steady().await;
                let guard = here.lock(&locks, here.key("a")).ttl(ttl).acquire().await.expect("free");
                taken.send(()).expect("the case waits for this");
                blocks.recv().expect("the case goes on");
                std::thread::sleep(ttl.mul_f64(TTLS));
                guard
            })
        });
        within("the holder", held.1).await.expect("it has not died");
        let waiting = Waiting::begin(&world).await;
        block.send(()).expect("the holder listens");
        let holder = tokio::task::spawn_blocking(|| holder.join().expect("no panic"));
        let guard = within("the blocked holder", holder).await.expect("no panic");
        waiting.outlives(guard).await
    };
    world.unspoiled(trial).await;
}

/// A hundred locks of one client are all renewed for several ttls.
async fn a_hundred_locks_are_kept_together(world: World) {
    let trial = async |world: World, ttl: Duration| {
        let locks = world.steady().await;
        let lock = |number| world.lock(&locks, world.key(&format!("{number}"))).ttl(ttl).acquire();
        let guards = join_all((0..100).map(lock)).await;
        let guards: Vec<_> = guards.into_iter().map(|guard| guard.expect("free")).collect();
        tokio::time::sleep(ttl.mul_f64(TTLS)).await;
        let held = guards.iter().all(Guard::is_held);
        let released = join_all(guards.into_iter().map(Guard::release)).await;
        held && released.iter().all(Result::is_ok)
    };
    world.unspoiled(trial).await;
}

/// One who waits for several of its own ttls keeps its place: one who comes later is served later.
async fn one_who_waits_for_several_ttls_keeps_its_place(world: World) {
    let trial = async |world: World, ttl: Duration| {
        let queue = Queue::default();
        let (here, early, late) =
            (world.steady().await, queue.locker(&world).await, queue.locker(&world).await);
        let guard = world.lock(&here, world.key("a")).acquire().await.expect("free");
        let early = tokio::spawn(world.lock(&early, world.key("a")).ttl(ttl).acquire());
        queue.has(1).await;
        let late = tokio::spawn(world.lock(&late, world.key("a")).acquire());
        queue.has(2).await;
        tokio::time::sleep(ttl.mul_f64(TTLS)).await;
        let_go(guard).await;
        let served = async |waiting: JoinHandle<lock_core::Result<Guard>>| {
            let guard = within("one who waits", waiting).await.expect("no panic").expect("granted");
            let token = guard.token();
            drop(guard);
            token
        };
        let (early, late) = tokio::join!(served(early), served(late));
        early < late
    };
    world.unspoiled(trial).await;
}
