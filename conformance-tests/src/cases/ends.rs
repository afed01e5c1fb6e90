//! The ends of a critical section: whichever it is, the lock is free, long before its ttl of ten minutes.

use std::future::pending;

use lock_core::{Error, ErrorKind, Guard, Locker};
use tokio::sync::oneshot;

use super::{Case, case};
use crate::World;
use crate::patience::{LONG, gets_in, is_free, let_go, within};
use crate::queue::Queue;

pub(crate) const CASES: &[Case] = &[
    case!(after_ok_the_lock_is_free, exclusive),
    case!(after_an_error_the_lock_is_free, exclusive),
    case!(after_a_panic_the_lock_is_free, exclusive),
    case!(after_a_cancelled_run_the_lock_is_free, exclusive),
    case!(after_an_aborted_task_the_lock_is_free, exclusive),
    case!(after_a_dropped_guard_the_lock_is_free, exclusive),
    case!(after_a_guard_dropped_outside_a_runtime_the_lock_is_free, exclusive),
    case!(after_the_end_of_its_runtime_the_lock_is_free, exclusive),
    case!(after_the_end_of_a_waiting_runtime_no_place_is_left, exclusive),
    case!(after_close_nothing_is_under_way, exclusive),
    case!(after_a_dropped_guard_of_several_keys_all_are_free, exclusive),
    case!(a_dropped_guard_hands_over_to_one_who_waits, exclusive),
    case!(a_second_release_is_told_apart_from_the_first, exclusive),
];

/// Somebody else gets the lock by a look that does not wait.
async fn free_now(world: &World) {
    let locks = world.steady().await;
    let_go(gets_in(world.lock(&locks, world.key("a"))).await).await;
}

/// Somebody else gets the lock: the release is under way in the background.
async fn free_soon(world: &World) {
    let locks = world.steady().await;
    let guard = within("the release in the background", world.lock(&locks, world.key("a")).acquire()).await;
    let_go(guard.expect("granted")).await;
}

/// A guard of the world's key, on a client of its own.
async fn held(world: &World) -> Guard {
    let locks = world.steady().await;
    world.lock(&locks, world.key("a")).acquire().await.expect("free")
}

/// `run` answers what the work answers, and the lock is free by then.
async fn after_ok_the_lock_is_free(world: World) {
    let answer = held(&world).await.run(async |guard| Ok::<_, Error>(guard.is_held())).await;
    assert!(answer.expect("the work succeeds"), "not held while the work was done");
    free_now(&world).await;
}

/// The work's own error comes back, and the lock is free by then.
async fn after_an_error_the_lock_is_free(world: World) {
    let failing = async |_: &Guard| Err::<(), _>(Error::new(ErrorKind::Invalid, "the work's own"));
    let error = held(&world).await.run(failing).await.expect_err("the work fails");
    assert!(error.to_string().contains("the work's own"), "{error}");
    free_now(&world).await;
}

/// A panic in the work comes through, and frees the lock.
async fn after_a_panic_the_lock_is_free(world: World) {
    let guard = held(&world).await;
    let panicking =
        async |_: &Guard| -> Result<(), Error> { std::panic::resume_unwind(Box::new("on purpose")) };
    let end = tokio::spawn(async move { guard.run(panicking).await }).await;
    assert!(end.is_err_and(|end| end.is_panic()));
    free_soon(&world).await;
}

/// A `run` that is dropped in the middle of its work frees the lock.
async fn after_a_cancelled_run_the_lock_is_free(world: World) {
    let guard = held(&world).await;
    let (begun, begins) = oneshot::channel();
    let work = async |_: &Guard| {
        begun.send(()).expect("somebody waits for this");
        pending::<Result<(), Error>>().await
    };
    tokio::select! {
        _ = guard.run(work) => unreachable!("the work never ends"),
        begun = begins => begun.expect("the work begins"),
    }
    free_soon(&world).await;
}

/// A task that is aborted while it holds frees the lock.
async fn after_an_aborted_task_the_lock_is_free(world: World) {
    let guard = held(&world).await;
    let task = tokio::spawn(guard.run(async |_| pending::<Result<(), Error>>().await));
    task.abort();
    assert!(task.await.is_err_and(|end| end.is_cancelled()));
    free_soon(&world).await;
}

/// Dropping the guard is enough.
async fn after_a_dropped_guard_the_lock_is_free(world: World) {
    drop(held(&world).await);
    free_soon(&world).await;
}

/// A guard may be dropped on a thread that knows no runtime.
async fn after_a_guard_dropped_outside_a_runtime_the_lock_is_free(world: World) {
    let guard = held(&world).await;
    std::thread::spawn(move || drop(guard)).join().expect("dropping a guard does not panic");
    free_soon(&world).await;
}

/// Runs something on a runtime of its own, on a thread of its own, until it sends word; then the runtime ends.
async fn on_a_runtime_that_ends<F>(until: impl FnOnce(oneshot::Sender<()>) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (word, sent) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        drop(runtime.spawn(until(word)));
        runtime.block_on(sent).expect("word is sent");
    });
    let end = within("the end of the runtime", tokio::task::spawn_blocking(|| thread.join())).await;
    end.expect("no panic").expect("ending a runtime does not panic");
}

/// A runtime ends while one of its tasks holds, on a client of that runtime: the lock is free.
async fn after_the_end_of_its_runtime_the_lock_is_free(world: World) {
    let there = world.clone();
    on_a_runtime_that_ends(async move |word| {
        let _guard = held(&there).await;
        word.send(()).expect("somebody waits for this");
        pending::<()>().await;
    })
    .await;
    free_soon(&world).await;
}

/// A runtime ends while one of its tasks waits: when the holder leaves, nothing is ahead of the next one.
async fn after_the_end_of_a_waiting_runtime_no_place_is_left(world: World) {
    let (guard, there) = (held(&world).await, world.clone());
    on_a_runtime_that_ends(async move |word| {
        let queue = Queue::default();
        let locks = queue.locker(&there).await;
        let queued = async {
            queue.has(1).await;
            word.send(()).expect("somebody waits for this");
            pending::<()>().await;
        };
        tokio::select! {
            _ = there.lock(&locks, there.key("a")).acquire() => unreachable!("the key is held"),
            () = queued => {}
        }
    })
    .await;
    let_go(guard).await;
    free_soon(&world).await;
}

/// After `close` the releases of dropped guards and dropped waits have been to the store.
async fn after_close_nothing_is_under_way(world: World) {
    let queue = Queue::default();
    let locks = queue.locker(&world).await;
    let guard = world.lock(&locks, world.key("a")).acquire().await.expect("free");
    let waiting = tokio::spawn(world.lock(&locks, world.key("a")).acquire());
    queue.has(1).await;
    waiting.abort();
    assert!(waiting.await.is_err_and(|end| end.is_cancelled()));
    drop(guard);
    within("the releases under way", locks.close()).await;
    is_free(world.lock(&world.steady().await, world.key("a"))).await;
}

/// A dropped guard of three keys frees all three.
async fn after_a_dropped_guard_of_several_keys_all_are_free(world: World) {
    let [here, there]: [Locker; 2] = world.steadies().await;
    let keys = world.keys(["a", "b", "c"]);
    drop(world.lock(&here, &keys[..]).acquire().await.expect("free"));
    within("the releases under way", here.close()).await;
    is_free(world.lock(&there, &keys[..])).await;
}

/// Who waits is told of a release in the background as of any other.
async fn a_dropped_guard_hands_over_to_one_who_waits(world: World) {
    let queue = Queue::default();
    let (guard, locks) = (held(&world).await, queue.locker(&world).await);
    let waiting = tokio::spawn(world.lock(&locks, world.key("a")).timeout(LONG).acquire());
    queue.has(1).await;
    drop(guard);
    let next = within("the one who waits", waiting).await.expect("no panic").expect("granted");
    let_go(next).await;
}

/// Each of two grants, one after the other on one client, is released by its own guard: the first guard's release
/// does not reach into the second grant.
async fn a_second_release_is_told_apart_from_the_first(world: World) {
    let locks = world.steady().await;
    let first = world.lock(&locks, world.key("a")).ttl(world.ttl()).renewal(false);
    let first = first.acquire().await.expect("free");
    within("the loss at the deadline", first.lost()).await;
    let second = within("the lapse", world.lock(&locks, world.key("a")).acquire()).await.expect("granted");
    assert_eq!(first.release().await.expect_err("it was lost").kind(), ErrorKind::Lost);
    locks.close().await;
    assert!(world.lock(&locks, world.key("a")).try_acquire().await.expect("an answer").is_none());
    let_go(second).await;
}
