//! A lock that is held.

use std::fmt;
use std::time::Duration;

use tracing::Span;

use crate::acquire::GRACE;
use crate::clock::Moment;
use crate::ordered::Lives;
use crate::{Claim, Error, ErrorKind, Key, Profile, Result, Token};

/// A lock that is held, and released when it is dropped.
///
/// A dropped guard is released in the background, on the library's own thread: in a panic, outside a runtime,
/// and after the runtime's end. [`release`](Self::release) waits for the store and says whether the lock was held
/// to the end. While the guard is alive it is renewed, also when the runtime is blocked.
///
/// A holder can be paused at any point: *check and act* is never safe by itself. Give the [token](Self::token) to
/// what you protect, or use [`run`](Self::run), which stops the work when the lock is lost.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> lock_core::Result<()> {
/// # use lock_core::{Locker, Memory};
/// # let locks = Locker::new(Memory::new());
/// let guard = locks.lock("a").acquire().await?;
/// assert!(guard.is_held());
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "if unused the lock is released at once"]
#[clippy::has_significant_drop]
pub struct Guard {
    lives: Lives,
    _span: Span,
}

impl Guard {
    pub(crate) fn new(lives: Lives, span: impl FnOnce(Token) -> Span) -> Self {
        let span = span(lives.token());
        Self { lives, _span: span }
    }

    /// The keys it holds, sorted.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> lock_core::Result<()> {
    /// # use lock_core::{Locker, Memory};
    /// # let locks = Locker::new(Memory::new());
    /// let guard = locks.lock(["b", "a"]).acquire().await?;
    /// assert_eq!(guard.keys().map(|key| key.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.lives.iter().flat_map(|life| life.claim.keys())
    }

    /// The fencing token; for several keys on a store that takes them one by one, the greatest of theirs (see
    /// [`token_of`](Self::token_of)).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> lock_core::Result<()> {
    /// # use lock_core::{Locker, Memory};
    /// # let locks = Locker::new(Memory::new());
    /// let guard = locks.lock("a").acquire().await?;
    /// let earlier = guard.token();
    /// guard.release().await?;
    /// assert!(locks.lock("a").acquire().await?.token() > earlier);
    /// # Ok(())
    /// # }
    /// ```
    pub fn token(&self) -> Token {
        self.lives.token()
    }

    /// The fencing token of one key: what to fence a resource with that has this name. `None` for a key that is not
    /// held.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> lock_core::Result<()> {
    /// # use lock_core::{Locker, Memory};
    /// # let locks = Locker::new(Memory::new());
    /// let guard = locks.lock(["a", "b"]).acquire().await?;
    /// assert_eq!(guard.token_of("a"), Some(guard.token()));
    /// assert_eq!(guard.token_of("c"), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn token_of(&self, key: impl AsRef<str>) -> Option<Token> {
        let holds = |keys: &[Key]| keys.iter().any(|held| held.as_str() == key.as_ref());
        self.lives.iter().find(|life| holds(life.claim.keys())).map(|life| life.token)
    }

    /// What the store knows it by, for a backend that ties a caller's transaction to it: one claim, or, on a store that
    /// takes keys one by one, one for each key, in key order.
    ///
    /// Whoever has a claim can renew and release it: keep it between the guard and its store.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> lock_core::Result<()> {
    /// # use lock_core::{Locker, Memory};
    /// # let locks = Locker::new(Memory::new());
    /// let guard = locks.lock(["a", "b"]).acquire().await?;
    /// let owners: Vec<[u8; 16]> = guard.claims().map(|claim| claim.owner().to_bytes()).collect();
    /// assert_eq!(owners.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.lives.iter().map(|life| &*life.claim)
    }

    /// What the store is that it was taken on.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> lock_core::Result<()> {
    /// # use lock_core::{Locker, Memory};
    /// # let locks = Locker::new(Memory::new());
    /// assert_eq!(locks.lock("a").acquire().await?.profile(), locks.profile());
    /// # Ok(())
    /// # }
    /// ```
    pub fn profile(&self) -> Profile {
        self.lives.profile()
    }

    /// Whether it is held at this moment, by a clock that counts suspend. Once false, false for ever.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> lock_core::Result<()> {
    /// # use lock_core::{Locker, Memory};
    /// # let locks = Locker::new(Memory::new());
    /// assert!(locks.lock("a").acquire().await?.is_held());
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_held(&self) -> bool {
        self.lives.iter().all(|life| life.is_held())
    }

    /// How long it may be used from now if no renewal succeeds any more; zero once it is lost.
    ///
    /// The lease less a margin for clocks that do not run alike: 2 % of it, at least 2 ms.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> lock_core::Result<()> {
    /// # use lock_core::{Locker, Memory};
    /// # let locks = Locker::new(Memory::new());
    /// let guard = locks.lock("a").acquire().await?;
    /// assert!(guard.remaining().as_secs() < 30);
    /// # Ok(())
    /// # }
    /// ```
    pub fn remaining(&self) -> Duration {
        self.lives.iter().map(|life| life.remaining()).min().unwrap_or_default()
    }

    /// Completes when the lock is lost: at its deadline, or when a renewal learns that it is gone. After a resume
    /// from suspend, within a second. Never completes otherwise.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> lock_core::Result<()> {
    /// # use std::time::Duration;
    /// # use lock_core::{Locker, Memory};
    /// # let locks = Locker::new(Memory::new());
    /// let guard = locks.lock("a").ttl(Duration::from_millis(10)).renewal(false).acquire().await?;
    /// guard.lost().await;
    /// assert!(!guard.is_held());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn lost(&self) {
        self.lives.lost().await;
    }

    /// Runs a critical section and releases the lock: on `Ok`, on `Err`, in a panic, and when this future is
    /// dropped. When the lock is lost the work is stopped at its next await.
    ///
    /// # Errors
    ///
    /// The work's own, else [`Lost`](ErrorKind::Lost): the lock was not held to the end of the work, and what it did
    /// may have been done beside somebody else. A release that could not be confirmed is no error: the work was
    /// done under the lock, and the keeper goes on releasing.
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
    /// let Some(guard) = locks.lock("claim/42").try_acquire().await? else { return Ok(()) };
    /// let answer = guard.run(async |guard| Ok::<_, Error>(guard.token().get() % 1)).await?;
    /// assert_eq!(answer, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run<T, E, F>(self, work: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&Guard) -> Result<T, E>,
        E: From<Error>,
    {
        let outcome = tokio::select! {
            biased;
            () = self.lost() => Err(None),
            outcome = work(&self) => outcome.map_err(Some),
        };
        let released = self.release().await;
        match (outcome, released) {
            (Ok(value), Ok(())) => Ok(value),
            (Ok(value), Err(error)) if error.kind() != ErrorKind::Lost => {
                tracing::warn!(%error, "the work was done, its lock is released in the background");
                Ok(value)
            }
            (Err(Some(error)), _) => Err(error),
            (_, Err(error)) => Err(error.into()),
            (Err(None), Ok(())) => unreachable!("a lost lock is not released"),
        }
    }

    /// Releases the lock and waits, for about a second at most, until the store confirms.
    ///
    /// # Errors
    ///
    /// - [`Lost`](ErrorKind::Lost): it was no longer held. Whatever it protected may have been touched by somebody
    ///   else.
    /// - [`Unavailable`](ErrorKind::Unavailable): not confirmed; the keeper goes on trying until the claim lapses.
    ///
    /// # Cancel safety
    ///
    /// The release goes on in the background.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> lock_core::Result<()> {
    /// # use lock_core::{Locker, Memory};
    /// # let locks = Locker::new(Memory::new());
    /// locks.lock("a").acquire().await?.release().await?;
    /// assert!(locks.lock("a").try_acquire().await?.is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn release(mut self) -> Result<()> {
        self.lives.release(Moment::now() + GRACE).await
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guard").field(&self.lives).finish()
    }
}
