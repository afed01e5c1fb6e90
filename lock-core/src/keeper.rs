//! Renews what is held and finishes what was left, on a thread that no user code can block.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, OnceCell, watch};
use tokio::time::timeout;

use crate::backoff::{Backoff, sleep};
use crate::clock::Moment;
use crate::life::Life;
use crate::{Backend, Error, ErrorKind, Ownership, Profile, Result, observe};

/// How often the clocks are compared while anything is held: timers do not count suspend, deadlines do.
const TICK: Duration = Duration::from_secs(1);

/// The most claims of one call.
const BATCH: usize = 1024;

/// How long one attempt to make the keeper's own client may take.
const CONNECT: Duration = Duration::from_secs(10);

/// The keeper of one store. All of a process share one thread; each has one task there.
pub(crate) struct Keeper {
    /// The user's client; its I/O may depend on the user's runtime.
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) profile: Profile,
    /// The keeper's own client, made on its runtime when first needed.
    fork: OnceCell<Arc<dyn Backend>>,
    runtime: Handle,
    schedule: Mutex<Schedule>,
    /// Rung when something falls due before the task would wake, and when the keeper is dropped.
    wake: Arc<Notify>,
    /// How many background jobs are under way.
    jobs: watch::Sender<usize>,
}

/// What is held, by when it next needs the keeper.
struct Schedule {
    held: BTreeMap<Slot, Entry>,
    /// When the task next wakes by itself; `None` until there is a task.
    wakes: Option<Moment>,
    /// Nothing was held at the last turn, nor since.
    quiet: bool,
}

/// A time, and the address of a life to tell apart those of the same time.
type Slot = (Moment, usize);

struct Entry {
    life: Arc<Life>,
    /// A renewal is under way; the time is when to stop counting on it.
    renewing: bool,
}

impl Schedule {
    fn insert(&mut self, life: &Arc<Life>, at: Moment, renewing: bool) {
        life.set_slot(at);
        self.held.insert((at, life.address()), Entry { life: life.clone(), renewing });
    }

    fn remove(&mut self, life: &Life) -> bool {
        self.held.remove(&(life.slot(), life.address())).is_some()
    }

    /// Takes out what is due, and what falls due soon enough to share its call: within a twelfth of its ttl.
    fn take_due(&mut self, now: Moment) -> Vec<Arc<Life>> {
        let mut due = Vec::new();
        while let Some(first) = self.held.first_entry() {
            let (at, _) = *first.key();
            let early = match first.get() {
                entry if entry.renewing || !entry.life.renews() || due.is_empty() => Duration::ZERO,
                entry => entry.life.claim.ttl() / 12,
            };
            if at > now + early {
                break;
            }
            due.push(first.remove().life);
        }
        due
    }
}

impl Keeper {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Self {
            profile: backend.profile(),
            backend,
            fork: OnceCell::new(),
            runtime: runtime(),
            schedule: Mutex::new(Schedule { held: BTreeMap::new(), wakes: None, quiet: true }),
            wake: Arc::default(),
            jobs: watch::Sender::new(0),
        })
    }

    /// Takes a life into care, to be looked after at `at` first.
    pub(crate) fn watch(self: &Arc<Self>, life: &Arc<Life>, at: Moment) {
        let mut schedule = self.schedule();
        schedule.quiet = false;
        schedule.insert(life, at, false);
        match schedule.wakes {
            Some(wakes) if wakes <= at => {}
            Some(_) => self.wake.notify_one(),
            None => {
                schedule.wakes = Some(at);
                #[expect(clippy::disallowed_methods, reason = "the one task a store")]
                drop(self.runtime.spawn(keep(Arc::downgrade(self), self.wake.clone())));
            }
        }
    }

    pub(crate) fn forget(&self, life: &Life) {
        self.schedule().remove(life);
    }

    /// The client whose I/O is on the keeper's runtime; tries to make one until `until`.
    pub(crate) async fn client(&self, until: Moment) -> Result<Arc<dyn Backend>> {
        let mut backoff = Backoff::default();
        loop {
            let fork = self.fork.get_or_try_init(|| self.backend.fork());
            let error = match timeout(until.since(Moment::now()).min(CONNECT), fork).await {
                Ok(Ok(fork)) => return Ok(fork.clone()),
                Ok(Err(error)) => error,
                Err(_) => Error::new(ErrorKind::Unavailable, "no connection of the keeper's own in time"),
            };
            let pause = backoff.next();
            if Moment::now() + pause >= until {
                return Err(error);
            }
            sleep(pause).await;
        }
    }

    /// Runs a job in the background; [`close`](Self::close) waits for it.
    pub(crate) fn spawn(self: &Arc<Self>, job: impl Future<Output = ()> + Send + 'static) {
        let counted = self.job();
        #[expect(clippy::disallowed_methods, reason = "`close` waits for it")]
        drop(self.runtime.spawn(async move {
            job.await;
            drop(counted);
        }));
    }

    /// Counts as a job under way until it is dropped.
    pub(crate) fn job(self: &Arc<Self>) -> Job {
        self.jobs.send_modify(|jobs| *jobs += 1);
        Job(self.clone())
    }

    pub(crate) async fn close(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.jobs.subscribe().wait_for(|jobs| *jobs == 0).await;
    }

    /// Looks after what is due, and says when to do so again: at the latest at the next tick, or
    /// [`NEVER`](Moment::NEVER) when nothing has been held for a whole one.
    fn turn(self: &Arc<Self>) -> Moment {
        let now = Moment::now();
        let mut schedule = self.schedule();
        let due = schedule.take_due(now);
        let (alive, over): (Vec<_>, Vec<_>) = due.into_iter().partition(|life| !life.lapsed());
        for life in &alive {
            let patience = if life.renews() { now + life.claim.ttl() / 3 } else { Moment::NEVER };
            schedule.insert(life, patience.min(life.deadline()), life.renews());
        }
        let wakes = match schedule.held.keys().next() {
            Some((first, _)) => (*first).min(now + TICK),
            None if schedule.quiet => Moment::NEVER,
            None => now + TICK,
        };
        schedule.quiet = schedule.held.is_empty();
        schedule.wakes = Some(wakes);
        drop(schedule);

        over.iter().for_each(|life| life.lose());
        let renewing: Vec<_> = alive.into_iter().filter(|life| life.renews()).collect();
        for batch in renewing.chunks(BATCH) {
            #[expect(clippy::disallowed_methods, reason = "a batch has its patience, and then ends")]
            drop(self.runtime.spawn(renew(self.clone(), batch.to_vec())));
        }
        wakes
    }

    /// Looks after a life at `at` again, unless it has ended.
    fn again(&self, life: &Arc<Life>, at: Moment) {
        let mut schedule = self.schedule();
        if schedule.remove(life) {
            schedule.insert(life, at, false);
            if schedule.wakes.is_some_and(|wakes| at < wakes) {
                self.wake.notify_one();
            }
        }
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("backend", &self.backend).finish_non_exhaustive()
    }
}

/// A background job under way.
pub(crate) struct Job(Arc<Keeper>);

impl Drop for Job {
    fn drop(&mut self) {
        self.0.jobs.send_modify(|jobs| *jobs -= 1);
    }
}

/// The keeper's task: lives as long as a locker or a guard of its store.
async fn keep(keeper: Weak<Keeper>, wake: Arc<Notify>) {
    loop {
        let Some(wakes) = keeper.upgrade().map(|keeper| keeper.turn()) else { return };
        let nap = async {
            match wakes {
                Moment::NEVER => std::future::pending().await,
                wakes => sleep(wakes.since(Moment::now())).await,
            }
        };
        tokio::select! {
            () = wake.notified() => {}
            () = nap => {}
        }
    }
}

/// Renews some lives in one call. Not knowing is no loss: until the deadline, it is tried again.
async fn renew(keeper: Arc<Keeper>, lives: Vec<Arc<Life>>) {
    let Some(patience) = lives.iter().map(|life| life.claim.ttl()).max() else { return };
    let claims: Vec<_> = lives.iter().map(|life| life.claim.clone()).collect();
    let client = keeper.client(Moment::now() + patience).await;
    let sent = Moment::now();
    let mut answers = match client {
        Ok(client) => timeout(patience, client.renew(&claims)).await.unwrap_or_default(),
        Err(error) => vec![Err(error); lives.len()],
    }
    .into_iter();
    for life in &lives {
        let missing = || Err(Error::new(ErrorKind::Unavailable, "no answer to the renewal in time"));
        match answers.next().unwrap_or_else(missing) {
            Ok(Ownership::Held { lease }) if life.extend(sent, lease) => {
                let pause = (lease / 3).max(life.claim.ttl() / 20);
                keeper.again(life, (sent + pause).min(life.deadline()));
            }
            Ok(_) => life.lose(),
            Err(error) => {
                observe::renew_failed(&keeper.profile, &error);
                let pause = Duration::from_secs(1).min(life.claim.ttl() / 20);
                keeper.again(life, (Moment::now() + pause).min(life.deadline()));
            }
        }
    }
}

/// The runtime of the keeper thread, which lives as long as the process.
#[cfg(not(test))]
fn runtime() -> Handle {
    static RUNTIME: std::sync::OnceLock<Handle> = std::sync::OnceLock::new();
    let start = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("the system has file descriptors for the keeper's event loop");
        let handle = runtime.handle().clone();
        std::thread::Builder::new()
            .name("lock-keeper".into())
            .spawn(move || runtime.block_on(std::future::pending::<()>()))
            .expect("the system has a thread for the keeper");
        handle
    };
    RUNTIME.get_or_init(start).clone()
}

/// Under test the keeper runs where the test runs, so that a paused clock moves it.
#[cfg(test)]
fn runtime() -> Handle {
    Handle::current()
}
