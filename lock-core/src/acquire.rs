//! Asking and waiting: everything that happens between a request and its grant, once for all stores.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use crate::backoff::{Backoff, random, sleep};
use crate::clock::Moment;
use crate::keeper::{Job, Keeper};
use crate::life::Life;
use crate::parting::Parting;
use crate::{Attempt, Backend, Busy, Claim, Error, ErrorKind, Key, Mode, Result, Wakeups};

/// How long after its limit a wait may still take, to have the store confirm that its place is gone.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// The longest that a waiter goes without looking, however long its ttl: this finds what a store failed to ring.
const NET: Duration = Duration::from_secs(10);

/// What somebody asks for, before it becomes a claim.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// Sorted and distinct.
    pub(crate) keys: Arc<[Key]>,
    pub(crate) mode: Mode,
    pub(crate) ttl: Duration,
    pub(crate) label: String,
    /// Whether the keeper renews the grant.
    pub(crate) renews: bool,
}

impl Order {
    /// One order for each key, in key order.
    pub(crate) fn one_by_one(&self) -> Vec<Self> {
        let one = |key: &Key| Self { keys: [key.clone()].into(), ..self.clone() };
        self.keys.iter().map(one).collect()
    }

    fn claim(&self, waits: bool) -> Result<Claim> {
        let claim = Claim::of(self.keys.clone(), self.mode, self.ttl)?.labelled(&*self.label)?;
        Ok(if waits { claim.queued() } else { claim })
    }
}

/// How long somebody waits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// Not at all.
    Skip,
    /// Until then, by the clock of the caller's runtime.
    Until(Instant),
    /// As long as it takes.
    Never,
}

impl Limit {
    pub(crate) fn after(timeout: Option<Duration>) -> Self {
        // Longer than the clock can tell is for ever.
        timeout.and_then(|limit| Instant::now().checked_add(limit)).map_or(Self::Never, Self::Until)
    }

    pub(crate) fn passed(self) -> bool {
        match self {
            Self::Skip => true,
            Self::Until(limit) => Instant::now() >= limit,
            Self::Never => false,
        }
    }

    /// Ends a pause, which was to end at the limit at the latest. If it ends later, the process or its executor stood
    /// still, and that is not cut from the time that the store has for its answers: the limit is now.
    fn wake(&mut self) {
        if let Self::Until(limit) = self {
            *limit = (*limit).max(Instant::now());
        }
    }

    fn cap(self, pause: Duration) -> Duration {
        match self {
            Self::Until(limit) => pause.min(limit.saturating_duration_since(Instant::now())),
            _ => pause,
        }
    }

    /// How long an answer may still take: until [`GRACE`] after the limit.
    fn patience(self) -> Duration {
        let Self::Until(limit) = self else { return Duration::MAX };
        let now = Instant::now();
        match limit.checked_duration_since(now) {
            Some(left) => left.saturating_add(GRACE),
            None => GRACE.saturating_sub(now.duration_since(limit)),
        }
    }

    /// Until when the removal of what was not granted may take.
    pub(crate) fn grace(self) -> Moment {
        Moment::now() + GRACE.min(self.patience())
    }
}

/// Asks until the order is granted; `None` when it was refused and the limit has passed. The store then has
/// nothing of it. A limit that the process slept through is moved to when it woke.
///
/// # Cancel safety
///
/// A claim of a dropped future is released in the background once its request has been answered.
pub(crate) async fn obtain(
    keeper: &Arc<Keeper>,
    order: &Order,
    limit: &mut Limit,
) -> Result<Option<Arc<Life>>> {
    let mut trouble = Trouble::default();
    loop {
        let claim = Arc::new(order.claim(!limit.passed())?);
        let mut pending = Pending::new(keeper, claim);
        match pending.wait(order.renews, limit, &mut trouble).await? {
            Outcome::Granted(life) => return Ok(Some(life)),
            Outcome::Refused => return Ok(None),
            // A fresh claim asks again.
            Outcome::Late => {}
        }
    }
}

enum Outcome {
    Granted(Arc<Life>),
    Refused,
    /// The answer came after its own deadline.
    Late,
}

/// Since when there has been nothing but errors.
#[derive(Default)]
struct Trouble(Option<Instant>);

impl Trouble {
    /// Takes note of an error; true if there has been nothing else for `long`. It counts from its receipt, not from
    /// the request: the first one may be no more than a pause of this process.
    fn lasts(&mut self, long: Duration) -> bool {
        self.0.get_or_insert_with(Instant::now).elapsed() >= long
    }
}

/// A claim that is being asked for. Dropped before it is settled, it is released in the background, and not
/// before a request under way has run to its end.
struct Pending<'a> {
    keeper: &'a Arc<Keeper>,
    claim: Arc<Claim>,
    request: Option<Request>,
    /// Where a request under way is driven to its end.
    runtime: Handle,
    /// There is nothing to undo, or it is undone elsewhere.
    settled: bool,
}

type Request = Pin<Box<dyn Future<Output = Result<Attempt>> + Send>>;

impl<'a> Pending<'a> {
    fn new(keeper: &'a Arc<Keeper>, claim: Arc<Claim>) -> Self {
        Self { keeper, claim, request: None, runtime: Handle::current(), settled: false }
    }

    async fn wait(&mut self, renews: bool, limit: &mut Limit, trouble: &mut Trouble) -> Result<Outcome> {
        let mut bell = Bell::new(self.keeper.profile.pushed);
        let mut backoff = Backoff::default();
        // Never later than the last request was sent: deadlines count from it.
        let mut sent = self.claim.made();
        loop {
            let pause = match self.look(*limit).await {
                Ok(Attempt::Granted(grant)) => {
                    if let Some(life) = Life::begin(self.keeper, &self.claim, grant, sent, renews) {
                        self.settled = true;
                        return Ok(Outcome::Granted(life));
                    }
                    let error =
                        || Error::new(ErrorKind::Unavailable, "the grant came after its own deadline");
                    match *limit {
                        Limit::Skip => return Err(error()),
                        Limit::Never if trouble.lasts(self.claim.ttl()) => {
                            return Err(error());
                        }
                        _ if limit.passed() => return self.leave(*limit).await,
                        _ => return Ok(self.start_over(*limit).await),
                    }
                }
                Ok(Attempt::Busy(_)) if !self.claim.waits() => {
                    self.settled = true;
                    return Ok(Outcome::Refused);
                }
                Ok(Attempt::Busy(busy)) => {
                    *trouble = Trouble::default();
                    backoff.reset();
                    self.pace(busy)
                }
                Err(error) if error.kind() != ErrorKind::Unavailable || !self.claim.waits() => {
                    return Err(error);
                }
                Err(error) if matches!(limit, Limit::Never) && trouble.lasts(self.claim.ttl()) => {
                    return Err(error);
                }
                Err(_) => {
                    trouble.lasts(Duration::ZERO);
                    backoff.next()
                }
            };
            if limit.passed() {
                return self.leave(*limit).await;
            }
            tokio::select! {
                () = bell.ring(&*self.keeper.backend, &self.claim) => {}
                () = sleep(limit.cap(pause)) => {}
            }
            limit.wake();
            sent = Moment::now();
        }
    }

    /// Asks once. No answer within the ttl could be a grant any more, so none is waited for.
    async fn look(&mut self, limit: Limit) -> Result<Attempt> {
        let (backend, claim) = (self.keeper.backend.clone(), self.claim.clone());
        let patience = claim.ttl().min(limit.patience());
        let request = self.request.insert(Box::pin(async move { backend.acquire(&claim).await }));
        let answer = timeout(patience, poll_fn(|cx| request.as_mut().poll(cx))).await;
        let no_answer = |_| Err(Error::new(ErrorKind::Unavailable, format!("no answer within {patience:?}")));
        answer.inspect(|_| self.request = None).unwrap_or_else(no_answer)
    }

    /// How long to do nothing if nothing rings: until a lapse ahead, or until the place needs keeping.
    fn pace(&self, busy: Busy) -> Duration {
        let spread = (busy.retry_after / 20).min(Duration::from_millis(50)).mul_f64(random());
        let lapse = busy.retry_after.saturating_add(Duration::from_millis(1) + spread);
        let keep = (self.claim.ttl() / 3).min(NET).mul_f64(0.8 + 0.2 * random());
        lapse.min(keep).max(Duration::from_millis(1))
    }

    /// Takes a late grant back, so that the fresh claim does not queue behind it.
    async fn start_over(&mut self, limit: Limit) -> Outcome {
        // If it fails, the keeper goes on.
        let _ = self.undo().confirm(limit.grace()).await;
        Outcome::Late
    }

    /// Takes the place back at the limit, and answers only when that is certain.
    async fn leave(&mut self, limit: Limit) -> Result<Outcome> {
        if self.request.is_some() {
            let message = "the limit passed while the store did not answer";
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        self.undo().confirm(limit.grace()).await?;
        Ok(Outcome::Refused)
    }

    /// What takes it out of the store.
    fn undo(&mut self) -> Parting {
        self.settled = true;
        Parting::new(self.keeper, &self.claim)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        // Dropped here, without a request, it releases at once.
        let parting = self.undo();
        if let Some(request) = self.request.take() {
            let orphan = Orphan { request, parting, job: self.keeper.job() };
            #[expect(clippy::disallowed_methods, reason = "`close` waits for its job")]
            drop(self.runtime.spawn(orphan.run(self.claim.ttl())));
        }
    }
}

/// A request that nobody waits for. Run to its end, or dropped with its runtime, it is followed by the release,
/// and that by the end of the job: so are fields dropped, and below the bindings, which go the other way.
struct Orphan {
    request: Request,
    parting: Parting,
    job: Job,
}

impl Orphan {
    async fn run(self, patience: Duration) {
        let Self { job, parting, request } = self;
        let _ = timeout(patience, request).await;
        drop(parting);
        drop(job);
    }
}

/// What ends a pause early: rings, or a slow poll where there are none.
struct Bell {
    pushed: bool,
    hung: Option<Wakeups>,
    /// Hung before, and fallen silent.
    ended: bool,
    backoff: Backoff,
}

impl Bell {
    fn new(pushed: bool) -> Self {
        Self { pushed, hung: None, ended: false, backoff: Backoff::default() }
    }

    /// Returns when it is worth looking again.
    async fn ring(&mut self, backend: &dyn Backend, claim: &Claim) {
        if self.hung.is_none() && (self.pushed || !self.ended) {
            self.hung = backend.wakeups(claim).await.ok();
        }
        if let Some(rings) = &mut self.hung {
            if rings.next().await.is_some() {
                return;
            }
            (self.hung, self.ended) = (None, true);
        }
        self.backoff.sleep().await;
    }
}
