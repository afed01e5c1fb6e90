//! What cases at the level of the trait ask, and how they wait for the answer.

use std::array;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::join_all;
use lock_core::{Attempt, Backend, Claim, Grant, Key, Keys, Mode, Ownership, Result, Wakeups};

use crate::World;
use crate::patience::{LONG, within};
use crate::world::{busy, granted, held};

/// A client of the store under test.
pub(crate) type Client = Arc<dyn Backend>;

/// A release that keeps nothing.
pub(crate) const AT_ONCE: Duration = Duration::ZERO;

/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(5);

impl World {
    /// Independent clients.
    pub(crate) async fn clients<const N: usize>(&self) -> [Client; N] {
        join_all((0..N).map(|_| self.client())).await.try_into().expect("as many as were asked for")
    }

    /// Keys of this world.
    pub(crate) fn keys<const N: usize>(&self, names: [&str; N]) -> [Key; N] {
        names.map(|name| self.key(name))
    }

    /// A claim that skips and outlasts the case, in the mode of this run.
    pub(crate) fn lasting(&self, keys: impl Keys) -> Claim {
        self.claim_for(LONG, keys)
    }

    /// A claim that skips and outlasts the case, in any mode.
    pub(crate) fn lasting_as(&self, mode: Mode, keys: impl Keys) -> Claim {
        Claim::new(keys, mode, LONG).expect("a valid claim")
    }

    /// A claim that skips, with any ttl, in the mode of this run.
    pub(crate) fn claim_for(&self, ttl: Duration, keys: impl Keys) -> Claim {
        Claim::new(keys, self.mode(), ttl).expect("a valid claim")
    }

    /// Several lasting claims on the same keys.
    pub(crate) fn rivals<const N: usize>(&self, keys: impl Keys + Clone) -> [Claim; N] {
        array::from_fn(|_| self.lasting(keys.clone()))
    }

    /// Runs a trial that a stall of the machine can spoil (it answers false then) with a longer and longer ttl,
    /// on fresh keys each time.
    pub(crate) async fn unspoiled<F>(&self, trial: impl Fn(World, Duration) -> F)
    where
        F: Future<Output = bool>,
    {
        for doubled in 0..6 {
            let world = World::new(self.subject().clone(), self.mode());
            if trial(world, self.ttl() * (1 << doubled)).await {
                return;
            }
        }
        panic!("the machine stalls for longer than {:?}, time and again", self.ttl() * 32);
    }
}

/// Permits of so many.
pub(crate) fn permit(of: u32) -> Mode {
    Mode::permit_of(of).expect("not zero")
}

/// A look whose answer may be either.
#[track_caller]
pub(crate) fn answered(attempt: Result<Attempt>) {
    assert!(attempt.is_ok(), "expected an answer, got {attempt:?}");
}

/// Asks until the claim is granted.
pub(crate) async fn wins(client: &Client, claim: &Claim) -> Grant {
    let ask = async {
        loop {
            match client.acquire(claim).await {
                Ok(Attempt::Busy(_)) => tokio::time::sleep(PAUSE).await,
                attempt => return granted(attempt),
            }
        }
    };
    within(&format!("a grant of {:?} in mode {}", claim.keys(), claim.mode()), ask).await
}

/// Waits until the claim, which nobody renews or looks at, has lapsed: until another one for all its keys is
/// granted, which then goes away.
pub(crate) async fn lapse(client: &Client, claim: &Claim) {
    let probe = Claim::new(claim.keys(), Mode::Exclusive, LONG).expect("as valid as the one that lapses");
    wins(client, &probe).await;
    held(client.release(&probe, AT_ONCE).await);
}

/// Renews one claim.
pub(crate) async fn renew(client: &Client, claim: &Claim) -> Result<Ownership> {
    let mut answers = client.renew(&[Arc::new(claim.clone())]).await;
    assert_eq!(answers.len(), 1, "one claim, one answer");
    answers.remove(0)
}

/// Takes a claim, and renews it when half its ttl has passed: since when, and for how long. `None` if a stall of the
/// machine made that too late.
pub(crate) async fn renewed_halfway(client: &Client, claim: &Claim) -> Option<(Since, Duration)> {
    let asked = Since::now();
    let lease = granted(client.acquire(claim).await).lease;
    tokio::time::sleep(claim.ttl() / 2).await;
    let renewed = Since::now();
    let answer = renew(client, claim).await;
    asked.within(lease).then(|| (renewed, held(answer)))
}

/// Whether a key is free for an exclusive claim. Leaves nothing.
pub(crate) async fn is_free(client: &Client, key: &Key) -> bool {
    let probe = Claim::new(key, Mode::Exclusive, LONG).expect("a valid claim");
    match client.acquire(&probe).await {
        Ok(Attempt::Busy(_)) => false,
        attempt => {
            granted(attempt);
            held(client.release(&probe, AT_ONCE).await);
            true
        }
    }
}

/// Waits until a key is free for an exclusive claim, doing something before every look.
pub(crate) async fn until_free<F>(client: &Client, key: &Key, meanwhile: impl Fn() -> F)
where
    F: Future<Output = ()>,
{
    let free = async {
        meanwhile().await;
        while !is_free(client, key).await {
            tokio::time::sleep(PAUSE).await;
            meanwhile().await;
        }
    };
    within(&format!("the lapse of what holds {key}"), free).await;
}

/// Queues a claim that is refused, and hangs its bell.
pub(crate) async fn waits(client: &Client, claim: &Claim) -> Wakeups {
    busy(client.acquire(claim).await);
    client.wakeups(claim).await.expect("the bell of a waiting claim")
}

/// Waits for a ring.
pub(crate) async fn rung(wakeups: &mut Wakeups) {
    assert!(within("a ring", wakeups.next()).await.is_some(), "the stream ended instead of ringing");
}

/// Whether rings have arrived; takes them.
pub(crate) fn heard(wakeups: &mut Wakeups) -> bool {
    let mut any = false;
    while let Some(Some(_)) = wakeups.next().now_or_never() {
        any = true;
    }
    any
}

/// Polls a future so many times at most and drops it; what it answered if it came to its end.
pub(crate) async fn cut_short<T>(future: impl Future<Output = T>, mut polls: usize) -> Option<T> {
    let mut future = pin!(future);
    let cut = poll_fn(|cx| {
        if polls == 0 {
            return Poll::Ready(None);
        }
        polls -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending if polls == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    });
    within("an answer", cut).await
}

/// How long it is since a call was made. Whatever the store did in that call, it did later.
pub(crate) struct Since(Instant);

impl Since {
    /// To be read before the call.
    pub(crate) fn now() -> Self {
        Self(Instant::now())
    }

    /// Whether what lasts so long from the call is still there: safe to say, up to a margin for clocks that do not
    /// run alike.
    pub(crate) fn within(&self, lasts: Duration) -> bool {
        self.0.elapsed() + margin(lasts) < lasts
    }

    /// What lasts so long from the call was gone by now, and so had to last no longer.
    #[track_caller]
    pub(crate) fn lasted(&self, lasts: Duration) {
        let passed = self.0.elapsed();
        assert!(passed + margin(lasts) >= lasts, "gone after {passed:?}; it had to last {lasts:?}");
    }

    /// What had to be over long before.
    #[track_caller]
    pub(crate) fn at_most(&self, limit: Duration) {
        let passed = self.0.elapsed();
        assert!(passed <= limit, "took {passed:?}; {limit:?} is more than enough");
    }
}

/// The same margin as a guard's deadline has.
fn margin(lasts: Duration) -> Duration {
    (lasts / 50).max(Duration::from_millis(2))
}

/// Sleeps by what the store itself said, as the core does: a little longer.
pub(crate) async fn pause(retry_after: Duration) {
    assert!(retry_after <= LONG * 2, "retry after {retry_after:?}: later than any lapse");
    tokio::time::sleep(retry_after + Duration::from_millis(1)).await;
}
