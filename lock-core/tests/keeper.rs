//! The keeper on its own thread and by the real clock: what it does when the user's runtime is blocked or gone.
#![allow(clippy::disallowed_methods, reason = "a test waits and spawns as it likes")]

use std::collections::HashSet;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lock_core::{Attempt, Backend, Claim, Guard, Locker, Memory, Ownership, Profile, Result, Wakeups};
use tokio::runtime::{Builder, Runtime};

/// So long that nothing here goes away by lapsing.
const LONG: Duration = Duration::from_secs(60 * 60);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn soon(what: &str, mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn soon_empty(store: &Memory) {
    soon("the store is empty", || store.is_empty());
}

fn locks_on(store: &Memory) -> Locker {
    Locker::new(store.clone()).with_ttl(LONG)
}

fn hold(runtime: &Runtime, store: &Memory) -> Guard {
    let guard = runtime.block_on(locks_on(store).lock("a").acquire()).expect("it is free");
    assert!(!store.is_empty());
    guard
}

/// A store that notes who calls it, and whose grants can get lost on their way.
#[derive(Clone, Debug, Default)]
struct Noted {
    store: Memory,
    notes: Arc<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    renewals: AtomicUsize,
    renewing: Mutex<HashSet<thread::ThreadId>>,
    forking: Mutex<Vec<Option<String>>>,
    silent: AtomicBool,
}

#[async_trait]
impl Backend for Noted {
    fn profile(&self) -> Profile {
        Profile::new("noted")
    }

    async fn acquire(&self, claim: &Claim) -> Result<Attempt> {
        let attempt = self.store.acquire(claim).await;
        if self.notes.silent.load(SeqCst) {
            pending::<()>().await;
        }
        attempt
    }

    async fn renew(&self, claims: &[Arc<Claim>]) -> Vec<Result<Ownership>> {
        self.notes.renewals.fetch_add(1, SeqCst);
        self.notes.renewing.lock().expect("no holder panics").insert(thread::current().id());
        self.store.renew(claims).await
    }

    async fn release(&self, claim: &Claim, keep: Duration) -> Result<Ownership> {
        self.store.release(claim, keep).await
    }

    async fn wakeups(&self, claim: &Claim) -> Result<Wakeups> {
        self.store.wakeups(claim).await
    }

    async fn fork(&self) -> Result<Arc<dyn Backend>> {
        let name = thread::current().name().map(str::to_owned);
        self.notes.forking.lock().expect("no holder panics").push(name);
        Ok(Arc::new(self.clone()))
    }
}

#[test]
fn a_blocked_executor_does_not_keep_its_locks_from_being_renewed() {
    let backend = Noted::default();
    let locks = Locker::new(backend.clone()).with_ttl(Duration::from_secs(3));
    let start = Instant::now();
    runtime().block_on(async {
        let guard = locks.lock("a").acquire().await.expect("it is free");
        // Blocks the only thread of this runtime, beyond the ttl.
        soon("it is renewed again and again", || {
            backend.notes.renewals.load(SeqCst) >= 4 && start.elapsed() > Duration::from_secs(4)
        });
        assert!(guard.is_held());
        assert!(locks.lock("a").try_acquire().await.expect("an answer").is_none());
        guard.release().await.expect("held to the end");
    });
    assert_eq!(*backend.notes.forking.lock().expect("no holder panics"), [Some("lock-keeper".to_owned())]);
}

#[test]
fn one_thread_renews_for_every_locker_of_the_process() {
    let backend = Noted::default();
    let runtime = runtime();
    let lockers: Vec<_> =
        (0..8).map(|_| Locker::new(backend.clone()).with_ttl(Duration::from_secs(3))).collect();
    let guards: Vec<_> = lockers
        .iter()
        .enumerate()
        .map(|(n, locks)| runtime.block_on(locks.lock(format!("{n}")).acquire()).expect("it is free"))
        .collect();
    soon("all are renewed", || backend.notes.renewals.load(SeqCst) >= 16);
    assert_eq!(backend.notes.renewing.lock().expect("no holder panics").len(), 1);
    drop(guards);
}

#[test]
fn a_guard_dropped_in_a_panic_is_released() {
    let store = Memory::new();
    let runtime = runtime();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let _guard = locks_on(&store).lock("a").acquire().await.expect("it is free");
            resume_unwind(Box::new("a bug"));
        });
    }));
    assert!(panicked.is_err());
    soon_empty(&store);
}

#[test]
fn a_guard_dropped_in_a_panic_of_a_task_is_released() {
    let store = Memory::new();
    let locks = locks_on(&store);
    runtime().block_on(async {
        let work = async |_: &Guard| -> Result<()> { resume_unwind(Box::new("a bug")) };
        let request = locks.lock("a");
        assert!(tokio::spawn(async move { request.run(work).await }).await.is_err());
        locks.close().await;
        assert!(store.is_empty());
    });
}

#[test]
fn a_guard_dropped_outside_a_runtime_is_released() {
    let store = Memory::new();
    let runtime = runtime();
    drop(hold(&runtime, &store));
    soon_empty(&store);
}

#[test]
fn a_guard_dropped_on_a_thread_of_its_own_is_released() {
    let store = Memory::new();
    let guard = hold(&runtime(), &store);
    thread::Builder::new().spawn(move || drop(guard)).expect("a thread").join().expect("no panic");
    soon_empty(&store);
}

#[test]
fn a_guard_outlives_its_runtime_and_is_released_after_it() {
    let store = Memory::new();
    let gone = runtime();
    let guard = hold(&gone, &store);
    drop(gone);
    assert!(guard.is_held());
    drop(guard);
    soon_empty(&store);
}

#[test]
fn a_guard_can_be_released_on_another_runtime_than_its_own() {
    let store = Memory::new();
    let gone = runtime();
    let guard = hold(&gone, &store);
    drop(gone);
    runtime().block_on(guard.release()).expect("held to the end");
    assert!(store.is_empty());
}

#[test]
fn a_guard_held_by_a_task_is_released_when_its_runtime_ends() {
    let store = Memory::new();
    let ends = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let request = locks_on(&store).lock("a");
    ends.spawn(async move {
        let _guard = request.acquire().await;
        pending::<()>().await;
    });
    soon("it is held", || !store.is_empty());
    drop(ends);
    soon_empty(&store);
}

#[test]
fn a_wait_dropped_with_its_runtime_leaves_no_place() {
    let store = Memory::new();
    let other = hold(&runtime(), &store);
    let ends = runtime();
    let wait = ends.spawn(locks_on(&store).lock("a").acquire());
    ends.block_on(tokio::task::yield_now());
    assert!(!wait.is_finished());
    drop(ends);
    drop(other);
    soon_empty(&store);
}

#[test]
fn a_request_under_way_when_its_runtime_ends_is_released() {
    let backend = Noted::default();
    backend.notes.silent.store(true, SeqCst);
    let ends = runtime();
    let wait = ends.spawn(Locker::new(backend.clone()).with_ttl(LONG).lock("a").acquire());
    ends.block_on(tokio::task::yield_now());
    assert!(!backend.store.is_empty(), "the store has granted it");
    assert!(!wait.is_finished(), "and nobody knows");
    drop(ends);
    soon_empty(&backend.store);
}

#[test]
fn a_request_dropped_before_its_runtime_ends_is_released_too() {
    let backend = Noted::default();
    backend.notes.silent.store(true, SeqCst);
    let locks = Locker::new(backend.clone()).with_ttl(LONG);
    let ends = runtime();
    ends.block_on(async {
        let wait = tokio::time::timeout(Duration::from_millis(1), locks.lock("a").acquire());
        assert!(wait.await.is_err());
    });
    assert!(!backend.store.is_empty(), "its request runs on, detached");
    drop(ends);
    runtime().block_on(locks.close());
    assert!(backend.store.is_empty());
}
