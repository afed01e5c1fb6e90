//! A store behind a bad network.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{Attempt, Backend, Claim, Error, ErrorKind, Ownership, Profile, Result, Wakeups};

/// A backend that hands every call on to another one, and loses some requests and some replies.
///
/// Its forks are as bad, and count on where it is.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> lock_core::Result<()> {
/// use std::time::Duration;
/// use conformance_tests::{Call, Fate, Flaky};
/// use lock_core::{Backend, Claim, ErrorKind, Memory, Mode};
///
/// let pattern = |call, count| if (call, count) == (Call::Acquire, 1) { Fate::ReplyLost } else { Fate::Well };
/// let store = Memory::new();
/// let flaky = Flaky::new(store.clone(), pattern);
/// let claim = Claim::new("a", Mode::Exclusive, Duration::from_secs(30))?;
/// assert_eq!(flaky.acquire(&claim).await.unwrap_err().kind(), ErrorKind::Unavailable);
/// assert!(!store.is_empty()); // it was granted, and nobody knows
/// assert!(flaky.acquire(&claim).await.is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Flaky {
    inner: Arc<dyn Backend>,
    pattern: Arc<dyn Fn(Call, u64) -> Fate + Send + Sync>,
    /// How many calls of each kind there were.
    counts: Arc<[AtomicU64; 5]>,
}

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "they are the methods of `Backend`")]
pub enum Call {
    Acquire,
    Renew,
    Release,
    Wakeups,
    Fork,
}

/// What becomes of a call.
///
/// ```
/// # use conformance_tests::{Call, Fate, Flaky};
/// # use lock_core::Memory;
/// let deaf_to_release = Flaky::new(Memory::new(), |call, _| match call {
///     Call::Release => Fate::RequestLost,
///     _ => Fate::Well,
/// });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is answered.
    Well,
    /// It fails, and the store has not heard of it.
    RequestLost,
    /// It fails, and the store has acted.
    ReplyLost,
}

impl Flaky {
    /// A store that fails by a pattern of the kind of call and how many of that kind there were, counted from one.
    ///
    /// ```
    /// # use conformance_tests::{Fate, Flaky};
    /// let dead = Flaky::new(lock_core::Memory::new(), |_, _| Fate::RequestLost);
    /// ```
    pub fn new(inner: impl Backend, pattern: impl Fn(Call, u64) -> Fate + Send + Sync + 'static) -> Self {
        Self { inner: Arc::new(inner), pattern: Arc::new(pattern), counts: Arc::default() }
    }

    /// A store of which every `n`-th call of each kind loses its reply.
    ///
    /// ```
    /// let store = conformance_tests::Flaky::every(3, lock_core::Memory::new());
    /// ```
    pub fn every(n: u64, inner: impl Backend) -> Self {
        Self::new(inner, move |_, count| if count % n == 0 { Fate::ReplyLost } else { Fate::Well })
    }

    /// A store where each call, by a chance that the seed decides, loses its request (once in five) or its reply
    /// (twice in five).
    ///
    /// ```
    /// let store = conformance_tests::Flaky::seeded(42, lock_core::Memory::new());
    /// ```
    pub fn seeded(seed: u64, inner: impl Backend) -> Self {
        Self::new(inner, move |call, count| {
            let mut dice = DefaultHasher::new();
            (seed, call, count).hash(&mut dice);
            [Fate::RequestLost, Fate::ReplyLost, Fate::ReplyLost, Fate::Well, Fate::Well]
                [(dice.finish() % 5) as usize]
        })
    }

    async fn call<T>(&self, call: Call, answer: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let count = self.counts[call as usize].fetch_add(1, Ordering::Relaxed) + 1;
        let fate = (self.pattern)(call, count);
        let lost = |what| Err(Error::new(ErrorKind::Unavailable, format!("the {what} was lost")));
        match fate {
            Fate::Well => answer.await,
            Fate::RequestLost => lost("request"),
            Fate::ReplyLost => answer.await.and_then(|_| lost("reply")),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for Flaky {
    fn profile(&self) -> Profile {
        self.inner.profile()
    }

    async fn acquire(&self, claim: &Claim) -> Result<Attempt> {
        self.call(Call::Acquire, self.inner.acquire(claim)).await
    }

    async fn renew(&self, claims: &[Arc<Claim>]) -> Vec<Result<Ownership>> {
        let all = self.call(Call::Renew, async { Ok(self.inner.renew(claims).await) }).await;
        all.unwrap_or_else(|error| claims.iter().map(|_| Err(error.clone())).collect())
    }

    async fn release(&self, claim: &Claim, keep: Duration) -> Result<Ownership> {
        self.call(Call::Release, self.inner.release(claim, keep)).await
    }

    async fn wakeups(&self, claim: &Claim) -> Result<Wakeups> {
        self.call(Call::Wakeups, self.inner.wakeups(claim)).await
    }

    async fn fork(&self) -> Result<Arc<dyn Backend>> {
        let inner = self.call(Call::Fork, self.inner.fork()).await?;
        Ok(Arc::new(Self { inner, ..self.clone() }))
    }
}

impl fmt::Debug for Flaky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flaky").field("inner", &self.inner).finish_non_exhaustive()
    }
}
