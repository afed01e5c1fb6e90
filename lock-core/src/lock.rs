//! One request for a lock, before it is asked.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

use crate::acquire::{Limit, Order};
use crate::claim::distinct;
use crate::keeper::Keeper;
use crate::ordered::Lives;
use crate::{Claim, Error, ErrorKind, Guard, Key, Mode, Result, observe};

/// A request for a lock, made by [`Locker::lock`](crate::Locker::lock). Does nothing until it is awaited.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> lock_core::Result<()> {
/// # use std::time::Duration;
/// # use lock_core::{Locker, Memory};
/// # let locks = Locker::new(Memory::new());
/// let guard = locks.lock("gpu").permit_of(4).timeout(Duration::from_secs(5)).acquire().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a request does nothing until it is awaited: acquire(), try_acquire() or run()"]
#[derive(Clone, Debug)]
pub struct Lock {
    keeper: Arc<Keeper>,
    keys: Result<Arc<[Key]>>,
    mode: Result<Mode>,
    ttl: Duration,
    label: String,
    renews: bool,
    hold: Duration,
    timeout: Option<Duration>,
}

impl Lock {
    pub(crate) fn new(
        keeper: Arc<Keeper>,
        keys: Result<Vec<Key>>,
        ttl: Duration,
        label: String,
        renews: bool,
    ) -> Self {
        let keys = keys.and_then(distinct);
        Self {
            keeper,
            keys,
            mode: Ok(Mode::Exclusive),
            ttl,
            label,
            renews,
            hold: Duration::ZERO,
            timeout: None,
        }
    }

    /// Beside other shared holders.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> lock_core::Result<()> {
    /// # use lock_core::{Locker, Memory};
    /// # let locks = Locker::new(Memory::new());
    /// let one = locks.lock("catalogue").shared().acquire().await?;
    /// let two = locks.lock("catalogue").shared().acquire().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn shared(mut self) -> Self {
        self.mode = Ok(Mode::Shared);
        self
    }

    /// One of at most `of` at a time. Zero is refused when the request is awaited.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> lock_core::Result<()> {
    /// # use lock_core::{Locker, Memory};
    /// # let locks = Locker::new(Memory::new());
    /// let permit = locks.lock("gpu").permit_of(1).acquire().await?;
    /// assert!(locks.lock("gpu").permit_of(1).try_acquire().await?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn permit_of(mut self, of: u32) -> Self {
        self.mode = Mode::permit_of(of);
        self
    }

    /// A ttl of its own, 10 ms to 24 h.
    ///
    /// ```
    /// # use lock_core::{Locker, Memory};
    /// # let locks = Locker::new(Memory::new());
    /// let request = locks.lock("claim/42").ttl(std::time::Duration::from_secs(120));
    /// ```
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// A label of its own, at most 128 bytes without control characters.
    ///
    /// ```
    /// # use lock_core::{Locker, Memory};
    /// # let locks = Locker::new(Memory::new());
    /// let request = locks.lock("claim/42").label("nightly run");
    /// ```
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Whether the grant is renewed. If not, it is lost at its ttl.
    ///
    /// ```
    /// # use lock_core::{Locker, Memory};
    /// # let locks = Locker::new(Memory::new());
    /// let request = locks.lock("claim/42").renewal(false);
    /// ```
    pub fn renewal(mut self, on: bool) -> Self {
        self.renews = on;
        self
    }

    /// How long to wait at most; without it, as long as it takes. Zero means not to wait.
    ///
    /// The limit is measured by the caller's tokio clock, which stops while the machine is suspended. The answer
    /// comes at the latest a second after it, or after the executor goes on, if it stood still at the limit.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> lock_core::Result<()> {
    /// # use std::time::Duration;
    /// # use lock_core::{ErrorKind, Locker, Memory};
    /// # let locks = Locker::new(Memory::new());
    /// let guard = locks.lock("a").acquire().await?;
    /// let error = locks.lock("a").timeout(Duration::from_millis(5)).acquire().await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Timeout);
    /// assert_eq!(error.to_string(), r#"acquire "a" on memory: timed out after 5ms"#);
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// A cooldown: released earlier, the keys stay taken until this long after the grant. At most 24 h.
    ///
    /// It applies however the guard ends, unless the lock was lost. After a crash it lasts no longer than the ttl.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> lock_core::Result<()> {
    /// # use std::time::Duration;
    /// # use lock_core::{Locker, Memory};
    /// # let locks = Locker::new(Memory::new());
    /// let hour = Duration::from_secs(60 * 60);
    /// let guard = locks.lock("cleanup").hold_at_least(hour).acquire().await?;
    /// guard.release().await?;
    /// assert!(locks.lock("cleanup").try_acquire().await?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn hold_at_least(mut self, cooldown: Duration) -> Self {
        self.hold = cooldown;
        self
    }

    /// Waits for the lock, first come first served.
    ///
    /// # Errors
    ///
    /// - [`Timeout`](ErrorKind::Timeout): the limit passed; the lock is definitely not held.
    /// - [`Unavailable`](ErrorKind::Unavailable): at the limit it is not known whether the place is gone; or,
    ///   without a limit, a whole ttl brought nothing but errors. Whatever is left lapses within the ttl.
    /// - [`Invalid`](ErrorKind::Invalid), [`Unsupported`](ErrorKind::Unsupported): nothing was sent.
    /// - [`Backend`](ErrorKind::Backend): the store says why.
    ///
    /// # Cancel safety
    ///
    /// You lose your place in the queue. A grant on its way is released in the background.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> lock_core::Result<()> {
    /// # use lock_core::{Locker, Memory};
    /// # let locks = Locker::new(Memory::new());
    /// let guard = locks.lock("a").acquire().await?;
    /// assert!(guard.is_held());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn acquire(self) -> Result<Guard> {
        let limit = Limit::after(self.timeout);
        match self.obtain("acquire", limit).await? {
            Some(guard) => Ok(guard),
            None => {
                observe::timed_out(&self.keeper.profile);
                let message = format!("timed out after {:?}", self.timeout.unwrap_or_default());
                Err(self.explain("acquire", Error::new(ErrorKind::Timeout, message)))
            }
        }
    }

    /// Takes the lock, or skips: a busy key answers `None` at once and leaves nothing behind in the store. A
    /// [timeout](Self::timeout) plays no part.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), without `Timeout`. `Unavailable` comes within the ttl.
    ///
    /// # Cancel safety
    ///
    /// A grant on its way is released in the background.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> lock_core::Result<()> {
    /// # use lock_core::{Locker, Memory};
    /// # let locks = Locker::new(Memory::new());
    /// let Some(guard) = locks.lock("claim/42").try_acquire().await? else { return Ok(()) };
    /// assert!(locks.lock("claim/42").try_acquire().await?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn try_acquire(self) -> Result<Option<Guard>> {
        let guard = self.obtain("try_acquire", Limit::Skip).await?;
        if guard.is_none() {
            observe::skipped(&self.keeper.profile);
        }
        Ok(guard)
    }

    /// Waits for the lock and runs a critical section under it: [`acquire`](Self::acquire), then [`Guard::run`].
    ///
    /// # Errors
    ///
    /// Those of `acquire`, of the work, and [`Lost`](ErrorKind::Lost).
    ///
    /// # Cancel safety
    ///
    /// The work is dropped and the lock released in the background.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> lock_core::Result<()> {
    /// # use lock_core::{Error, Locker, Memory};
    /// # let locks = Locker::new(Memory::new());
    /// let token = locks.lock("bot/4").run(async |guard| Ok::<_, Error>(guard.token())).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run<T, E, F>(self, work: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&Guard) -> Result<T, E>,
        E: From<Error>,
    {
        self.acquire().await?.run(work).await
    }

    async fn obtain(&self, operation: &'static str, limit: Limit) -> Result<Option<Guard>> {
        let start = Instant::now();
        let profile = &self.keeper.profile;
        let guard = async {
            let order = self.order()?;
            let span = observe::wait_span(profile, &order.keys);
            let lives = Lives::obtain(&self.keeper, &order, self.hold, limit).instrument(span).await?;
            // Made after the wait's span has closed: the hold is beside it, not within.
            Ok(lives.map(|lives| Guard::new(lives, |token| observe::hold_span(profile, &order, token))))
        };
        let guard = guard.await.map_err(|error| self.explain(operation, error))?;
        if guard.is_some() {
            observe::granted(profile, start.elapsed());
        }
        Ok(guard)
    }

    /// Checks everything that can be checked before any I/O.
    fn order(&self) -> Result<Order> {
        let profile = &self.keeper.profile;
        let (keys, mode) = (self.keys.clone()?, self.mode.clone()?);
        profile.check(mode)?;
        if self.hold > Claim::MAX_TTL {
            let message = format!("hold_at_least is {:?}; it may be 24h", self.hold);
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        // A ttl out of bounds is refused as it was given, not rounded into them.
        let ttl = if self.ttl < Claim::MIN_TTL { self.ttl } else { self.ttl.max(profile.min_ttl) };
        Ok(Order { keys, mode, ttl, label: self.label.clone(), renews: self.renews })
    }

    fn explain(&self, operation: &'static str, error: Error) -> Error {
        let keys = self.keys.as_deref().unwrap_or_default();
        error.in_operation(operation, keys, self.keeper.profile.name)
    }
}
