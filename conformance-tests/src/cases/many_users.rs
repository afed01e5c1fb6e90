//! Many at once, each on its own or all on one record: few enough to follow, and five hundred.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use lock_core::{ErrorKind, Guard, Lock, Locker};
use tokio::sync::{Barrier, watch};
use tokio::task::yield_now;

use super::{Case, case};
use crate::World;
use crate::history::{Bound, History, Recorder, Recording};
use crate::patience::{LIMIT, LONG, crowd, gets_in, is_free, let_go, within};
use crate::recorded::assert_nothing;

pub(crate) const CASES: &[Case] = &[
    case!(a1_fifty_executions_run_in_parallel, exclusive),
    case!(a1_five_hundred_executions_run_in_parallel),
    case!(a2_a_hundred_contexts_are_all_different_and_leave_nothing, exclusive),
    case!(a2_five_hundred_contexts_are_all_different_and_leave_nothing),
    case!(a4_a_hundred_tasks_through_five_clients_are_all_served, exclusive),
    case!(a4_five_hundred_tasks_through_five_clients_are_all_served),
    case!(a5_thirty_registrations_in_one_record_are_all_there, exclusive),
    case!(a5_five_hundred_registrations_in_one_record_are_all_there),
    case!(tasks_that_give_up_leave_the_others_alone, exclusive),
];

/// 50 executions over 5 clients, each under a key of its own, are all in their critical sections at once: no state
/// written under one key or by one user is seen under another, the events of each are in order, and none takes far longer
/// than the others.
async fn a1_fifty_executions_run_in_parallel(world: World) {
    executions(world, 50).await;
}

/// The same with 500 executions.
async fn a1_five_hundred_executions_run_in_parallel(world: World) {
    executions(world, 500).await;
}

async fn executions(world: World, size: usize) {
    let (clients, all) = (world.steadies::<5>().await, Arc::new(Barrier::new(size)));
    let (state, recorder) = (State::default(), Recorder::default());
    crowd(size, |n| {
        let lock = world.lock(&clients[n % 5], world.key(&format!("execution {n}")));
        execute(n, lock, recorder.clone(), state.clone(), all.clone())
    })
    .await;
    for n in 0..size {
        let name = world.key(&format!("execution {n}")).to_string();
        assert_eq!(state.of(&name), [0, 1, 2].map(|event| format!("execution {n}, event {event}")), "{name}");
    }
    let history = recorder.history();
    let found =
        [history.order(), history.identity(), history.isolation(Bound::Key), history.isolation(Bound::User)];
    assert_nothing(found.concat());
    assert_eq!(history.operations().len(), size * 4, "executions and events");
    // An event waits for nothing: it is no fellow of an execution.
    let executions = history.operations().iter().filter(|operation| !operation.holds.is_empty());
    assert_nothing(executions.cloned().collect::<History>().timing(20, LIMIT / 3));
}

/// One execution of three events, each of which reads the state under its key and adds to it.
async fn execute(n: usize, lock: Lock, recorder: Recorder, state: State, all: Arc<Barrier>) {
    let (name, user) = (format!("execution {n}"), format!("user {n}"));
    let mut execution = recorder.ask(&name, &user);
    let guard = lock.acquire().await.expect("nobody else wants it");
    execution.hold(&guard);
    all.wait().await;
    let (key, mut cause) = (guard.keys().next().expect("it has one").to_string(), name.clone());
    for event in 0..3 {
        let mut recording = recorder.begin(format!("{name}, event {event}"), &user);
        recording.after(cause);
        cause = format!("{name}, event {event}");
        state.of(&key).into_iter().for_each(|version| execution.saw(version));
        yield_now().await;
        state.add(&key, cause.clone());
        execution.wrote(cause.clone());
    }
    execution.end();
    let_go(guard).await;
}

/// What is stored under each key.
#[derive(Clone, Default)]
struct State(Arc<Mutex<HashMap<String, Vec<String>>>>);

impl State {
    fn of(&self, key: &str) -> Vec<String> {
        self.0.lock().expect("no panic under it").get(key).cloned().unwrap_or_default()
    }

    fn add(&self, key: &str, version: String) {
        self.0.lock().expect("no panic under it").entry(key.to_owned()).or_default().push(version);
    }
}

/// 100 contexts, each with a locker and a lock of its own, exist at once: no two have the same owner or token. When they
/// have gone, nothing of them is left in the store, and their clients are gone from memory.
async fn a2_a_hundred_contexts_are_all_different_and_leave_nothing(world: World) {
    contexts(world, 100).await;
}

/// The same with 500 contexts.
async fn a2_five_hundred_contexts_are_all_different_and_leave_nothing(world: World) {
    contexts(world, 500).await;
}

async fn contexts(world: World, size: usize) {
    let (clients, recorder) = (world.clients::<5>().await, Recorder::default());
    let contexts = crowd(size, |n| {
        let locks = Locker::new(clients[n % 5].clone()).with_ttl(LONG);
        let (lock, mut recording) =
            (world.lock(&locks, world.key(&n.to_string())), recorder.ask(n.to_string(), ""));
        async move {
            let guard = lock.acquire().await.expect("nobody else wants it");
            recording.hold(&guard);
            Context { locks, guard, recording }
        }
    })
    .await;
    let owners: HashSet<_> =
        contexts.iter().flat_map(|one| one.guard.claims()).map(|claim| claim.owner()).collect();
    assert_eq!(owners.len(), size, "owners");
    let clients = clients.map(|client| Arc::downgrade(&client));
    within("the end of all contexts", join_all(contexts.into_iter().map(Context::end))).await;
    recorder.assert_sound(size);

    let gone = async {
        while clients.iter().any(|client| client.strong_count() > 0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("the end of their clients", gone).await;
    let locks = world.steady().await;
    crowd(size, |n| gets_in(world.lock(&locks, world.key(&n.to_string())))).await;
}

struct Context {
    locks: Locker,
    guard: Guard,
    recording: Recording,
}

impl Context {
    async fn end(self) {
        self.recording.end();
        let_go(self.guard).await;
        self.locks.close().await;
    }
}

/// 100 tasks share 5 clients. Ten keep locks of their own for twice their ttl, and lose none, while the others contend for
/// ten keys over and over: all of them are served, none overlap, and none waits far longer than the others.
async fn a4_a_hundred_tasks_through_five_clients_are_all_served(world: World) {
    world.unspoiled(|world, ttl| through_five_clients(world, ttl, 100)).await;
}

/// The same with 500 tasks.
async fn a4_five_hundred_tasks_through_five_clients_are_all_served(world: World) {
    world.unspoiled(|world, ttl| through_five_clients(world, ttl, 500)).await;
}

/// Whether no lock was lost to the stalls of a machine.
async fn through_five_clients(world: World, ttl: Duration, size: usize) -> bool {
    let (clients, recorder) = (world.steadies::<5>().await, Recorder::default());
    let kept = watch::Sender::new(0);
    let ends = crowd(size, |task| {
        let own = world.lock(&clients[task % 5], world.key(&format!("own {task}"))).ttl(ttl);
        let common = world.lock(&clients[task % 5], world.key(&format!("common {}", task % 10)));
        let (recorder, kept) = (recorder.clone(), kept.clone());
        async move {
            if task < 10 {
                let held = keep(own, ttl * 2).await;
                kept.send_modify(|kept| *kept += 1);
                return held;
            }
            let over = kept.subscribe();
            let turns = std::iter::once(common.clone())
                .chain(std::iter::repeat_with(|| common.clone()).take_while(|_| *over.borrow() < 10));
            recorder.turns(task, turns).await;
            true
        }
    })
    .await;
    let history = recorder.history();
    recorder.assert_sound(history.operations().len());
    assert_nothing(history.timing(20, LIMIT / 3));
    ends.into_iter().all(|held| held)
}

/// Holds a lock that nobody else wants for so long, and answers whether it was still held then.
async fn keep(lock: Lock, lasts: Duration) -> bool {
    // A store that does not answer for a whole ttl is too busy for it.
    let Ok(guard) = lock.acquire().await else { return false };
    tokio::time::sleep(lasts).await;
    !matches!(guard.release().await, Err(error) if error.kind() == ErrorKind::Lost)
}

/// 30 users over 5 clients register in one record, which is read and later written whole: all 30 are in it.
async fn a5_thirty_registrations_in_one_record_are_all_there(world: World) {
    registrations(world, 30).await;
}

/// The same with 500 users.
async fn a5_five_hundred_registrations_in_one_record_are_all_there(world: World) {
    registrations(world, 500).await;
}

async fn registrations(world: World, size: usize) {
    let (clients, record) = (world.steadies::<5>().await, Arc::new(Mutex::new(Vec::new())));
    let recorder = Recorder::default();
    crowd(size, |user| {
        let (lock, record) = (world.lock(&clients[user % 5], world.key("registry")), record.clone());
        let recorder = recorder.clone();
        async move {
            let mut recording = recorder.ask(format!("registration {user}"), format!("user {user}"));
            let guard = lock.acquire().await.expect("granted in the end");
            recording.hold(&guard);
            let mut registered = record.lock().expect("no panic under it").clone();
            yield_now().await;
            registered.push(user);
            *record.lock().expect("no panic under it") = registered;
            recording.end();
            let_go(guard).await;
        }
    })
    .await;
    recorder.assert_sound(size);
    let mut registered = record.lock().expect("no panic under it").clone();
    registered.sort_unstable();
    assert_eq!(registered, (0..size).collect::<Vec<_>>());
}

/// Of 40 tasks that want one key every other gives up in the middle of its wait, as users do: the rest are served,
/// and nothing is left.
async fn tasks_that_give_up_leave_the_others_alone(world: World) {
    let (clients, history) = (world.steadies::<5>().await, Recorder::default());
    crowd(40, |task| {
        let lock = world.lock(&clients[task % 5], world.key("a"));
        let history = history.clone();
        async move {
            if task % 2 == 0 {
                let patience = Duration::from_millis(task as u64 / 4);
                let _ = tokio::time::timeout(patience, lock.acquire()).await;
                return;
            }
            history.turns(task, [lock]).await;
        }
    })
    .await;
    history.assert_sound(20);
    join_all(clients.iter().map(Locker::close)).await;
    let locks = world.steady().await;
    is_free(world.lock(&locks, world.key("a"))).await;
}
