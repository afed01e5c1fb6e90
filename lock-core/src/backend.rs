//! What a store has to do, and the laws it keeps.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Claim, Profile, Result, Token, Wakeups};

/// A store that claims are kept in: what somebody who brings a new one implements.
///
/// A backend looks, answers and returns. It never sleeps, retries, or waits for a holder: the
/// [`Locker`](crate::Locker) does that once, for all of them. It reports what happened as facts, and everything
/// else as an error.
///
/// # The model
///
/// A key is a queue of unlapsed claims, oldest first. A claim has **room** on a key, looking at the unlapsed
/// claims ahead of it, if it is
///
/// - exclusive, and there are none;
/// - shared, and all of them are shared;
/// - a permit, and all of them are permits, and they are fewer than the smallest `of` among them and itself.
///
/// A claim is granted when it has room on every one of its keys; one that still waits on another key counts all
/// the same for those behind it. [`Room`](crate::Room) is this rule in Rust.
///
/// Nothing else marks a holder. When the claim ahead goes away the next one *already is* the holder, and a
/// wake-up tells it to look. A claim arrives when it is first granted or queued; its arrival number, its
/// position in every queue and its token are one and the same number.
///
/// # The laws
///
/// The conformance suite has cases for each.
///
/// 1. **All or nothing.** A claim is granted on all its keys or on none, and it arrives on all of them at once.
/// 2. **Asking twice is asking once.** A holder asking again gets the same token; a waiter keeps its place. Both
///    then last a full ttl from this look, or at least as long as they would have without it.
/// 3. **A lapsed claim is gone**, not before its ttl has passed since it was taken, renewed or (a waiter) looked
///    at, and soon after, though no client rings. [`renew`](Self::renew) and [`release`](Self::release) of it
///    say `Lost`; asking again queues it anew, last, with a new token. A place lapses as a grant does.
/// 4. **Only the holder.** Renew or release by any other owner changes nothing and says `Lost`.
/// 5. **Release is thorough.** Afterwards nothing of the claim remains but what `keep` asked for. A request of it
///    still under way elsewhere can bring back no more than a claim that lapses within its ttl.
/// 6. **Skip leaves nothing.** A claim that does not [wait](Claim::waits) and is refused writes nothing. It is
///    refused by whoever is ahead and unlapsed, holding or queued, as any newcomer would be; when only lapsed
///    claims remain it is granted. No look ever lengthens another claim's expiry, and it shortens only one that
///    lies further ahead than that claim's own ttl, or a remnant's than its `keep` (a clock was set back), to that.
/// 7. **Tokens grow.** A token is greater than that of every earlier grant of the key that conflicts with it, and
///    no two claims of a store have the same: across holders, expiries, crashes and restarts. It is at least the
///    store's wall clock, in µs since 1970, of when its counter was started or started again, so that it also
///    outgrows what a store lost; it stays below [`Token::LIMIT`]. The counter is kept per store, or per fixed
///    bucket of keys where a store takes one key at a time: no key leaves an entry for ever.
/// 8. **No resurrection.** Renew never creates a claim and never changes a token.
/// 9. **No ring is missed.** The stream of [`wakeups`](Self::wakeups) delivers every ring that was due since the
///    look that said `Busy`; one that cannot promise it (a reconnect, a fresh watch) *begins with* a ring. So a client
///    listens before its look queues a claim, or begins with a ring. Extra rings do no harm.
/// 10. **Futures may be dropped** at any await. Nothing leaks past the ttl, whether or not the store acted.
/// 11. **First come, first served**, among claims that wait. A dead waiter delays the others by at most its ttl; or,
///     should sixteen or more behind it give up meanwhile, until the next one looks by itself, as it does to keep
///     its place.
/// 12. **Unknown is an error.** `Granted`, `Busy`, `Held` and `Lost` are facts. If it is not certain that the
///     store acted, or that it did not, the answer is
///     [`Err(Unavailable)`](crate::ErrorKind::Unavailable).
///
/// **Who is rung**: every waiting claim whose turn it is because of a release, of a held *or* of a queued claim,
/// and nobody else. "Its turn" means room on all its keys without the released claim, and not with it: the next
/// exclusive claim, all shared ones that now fit, or one permit for the one freed. What a release keeps does not
/// count: it rings the same claims, and they look and learn when the remnant lapses. With earlier remnants this is
/// decided twice, as they stand and as if they were gone, and either is reason enough. A lapse rings nobody:
/// [`Busy::retry_after`] finds it.
///
/// # Examples
///
/// The whole of a backend that hands every call on, as wrappers in tests do:
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use async_trait::async_trait;
/// use lock_core::{Attempt, Backend, Claim, Memory, Ownership, Profile, Result, Wakeups};
///
/// #[derive(Debug)]
/// struct Through(Arc<dyn Backend>);
///
/// #[async_trait]
/// #[deny(clippy::missing_trait_methods)]
/// impl Backend for Through {
///     fn profile(&self) -> Profile {
///         self.0.profile()
///     }
///     async fn acquire(&self, claim: &Claim) -> Result<Attempt> {
///         self.0.acquire(claim).await
///     }
///     async fn renew(&self, claims: &[Arc<Claim>]) -> Vec<Result<Ownership>> {
///         self.0.renew(claims).await
///     }
///     async fn release(&self, claim: &Claim, keep: Duration) -> Result<Ownership> {
///         self.0.release(claim, keep).await
///     }
///     async fn wakeups(&self, claim: &Claim) -> Result<Wakeups> {
///         self.0.wakeups(claim).await
///     }
///     async fn fork(&self) -> Result<Arc<dyn Backend>> {
///         Ok(Arc::new(Through(self.0.fork().await?)))
///     }
/// }
/// # let _ = Through(Arc::new(Memory::new()));
/// ```
#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// What this store is and which claims it understands. Always the same answer; no I/O.
    ///
    /// ```
    /// use lock_core::{Backend, Memory};
    /// assert_eq!(Memory::new().profile().name, "memory");
    /// ```
    fn profile(&self) -> Profile;

    /// Looks once, taking the claim if it has room on all its keys.
    ///
    /// Refused, a claim that [waits](Claim::waits) is queued (or keeps the place it has, which now lasts a full
    /// ttl from this look); one that does not leaves nothing. A lapsed claim of this owner counts as none.
    ///
    /// A ttl shorter than the store can keep is rounded up, and [`Grant::lease`] says what was granted.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if it is not known whether the store acted: the core asks
    /// again, with the same claim, or releases it. [`Backend`](crate::ErrorKind::Backend) if asking again will
    /// not help. Never an error for a busy key.
    ///
    /// # Cancel safety
    ///
    /// The claim may or may not be in the store; it lapses there, and asking again or releasing it is safe.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> lock_core::Result<()> {
    /// use std::time::Duration;
    /// use lock_core::{Attempt, Backend, Claim, Memory, Mode};
    ///
    /// let store = Memory::new();
    /// let ttl = Duration::from_secs(30);
    /// let (one, two) = (Claim::new("a", Mode::Exclusive, ttl)?, Claim::new("a", Mode::Exclusive, ttl)?);
    /// assert!(matches!(store.acquire(&one).await?, Attempt::Granted(_)));
    /// assert!(matches!(store.acquire(&two).await?, Attempt::Busy(_)));
    /// # Ok(())
    /// # }
    /// ```
    async fn acquire(&self, claim: &Claim) -> Result<Attempt>;

    /// Pushes each claim's expiry to a full ttl from now, if it is there (held or queued) and unlapsed.
    ///
    /// Answers one result per claim, in the same order. Claims are independent of each other: one that is lost
    /// takes none with it. A long list may be split; the core sends at most 1,024.
    ///
    /// # Errors
    ///
    /// Any error means that it is not known; the core tries again until the deadline.
    ///
    /// # Cancel safety
    ///
    /// Each claim may or may not have been renewed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> lock_core::Result<()> {
    /// use std::{sync::Arc, time::Duration};
    /// use lock_core::{Backend, Claim, Memory, Mode, Ownership};
    ///
    /// let store = Memory::new();
    /// let claim = Arc::new(Claim::new("a", Mode::Exclusive, Duration::from_secs(30))?);
    /// assert!(matches!(store.renew(&[claim.clone()]).await[..], [Ok(Ownership::Lost)]));
    /// store.acquire(&claim).await?;
    /// assert!(matches!(store.renew(&[claim]).await[..], [Ok(Ownership::Held { .. })]));
    /// # Ok(())
    /// # }
    /// ```
    async fn renew(&self, claims: &[Arc<Claim>]) -> Vec<Result<Ownership>>;

    /// Removes every trace of the claim, held or queued.
    ///
    /// `keep` leaves its keys taken that much longer (a whole number of milliseconds up to 24 h; zero for not at
    /// all): the claim stays in its place in every queue, with its mode and token, under an owner that nobody
    /// has, and lapses after `keep`. Releasing again says `Lost` and leaves that remnant alone.
    ///
    /// Answers [`Held`](Ownership::Held) with `keep` as the lease if the claim was there and unlapsed,
    /// [`Lost`](Ownership::Lost) if it was not.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if it is not known; the core tries again.
    ///
    /// # Cancel safety
    ///
    /// The claim may or may not have been removed; releasing it again is safe.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> lock_core::Result<()> {
    /// use std::time::Duration;
    /// use lock_core::{Backend, Claim, Memory, Mode, Ownership};
    ///
    /// let store = Memory::new();
    /// let claim = Claim::new("a", Mode::Exclusive, Duration::from_secs(30))?;
    /// store.acquire(&claim).await?;
    /// assert!(matches!(store.release(&claim, Duration::ZERO).await?, Ownership::Held { .. }));
    /// assert!(matches!(store.release(&claim, Duration::ZERO).await?, Ownership::Lost));
    /// # Ok(())
    /// # }
    /// ```
    async fn release(&self, claim: &Claim, keep: Duration) -> Result<Ownership>;

    /// Rings when it is worth looking again. Asked for after a look that said `Busy`.
    ///
    /// The stream belongs to this client: it ends, or begins anew with a ring, when the client's connection does.
    /// The default rings once and ends, which means: poll; a backend that keeps it says
    /// [`polled`](Profile::polled). [`Bells`](crate::Bells) is the board that a pushing backend needs.
    ///
    /// # Errors
    ///
    /// Any; the core polls and asks again.
    ///
    /// # Cancel safety
    ///
    /// Nothing is left behind, here or when the stream is dropped.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> lock_core::Result<()> {
    /// use std::time::Duration;
    /// use lock_core::{Backend, Claim, Memory, Mode};
    ///
    /// let store = Memory::new();
    /// let ttl = Duration::from_secs(30);
    /// let (one, two) = (Claim::new("a", Mode::Exclusive, ttl)?, Claim::new("a", Mode::Exclusive, ttl)?.queued());
    /// store.acquire(&one).await?;
    /// store.acquire(&two).await?;
    /// let mut wakeups = store.wakeups(&two).await?;
    /// store.release(&one, Duration::ZERO).await?;
    /// assert!(wakeups.next().await.is_some());
    /// # Ok(())
    /// # }
    /// ```
    async fn wakeups(&self, claim: &Claim) -> Result<Wakeups> {
        let _ = claim;
        Ok(Wakeups::once())
    }

    /// Another client of the same store, its I/O driven by the runtime this is called on.
    ///
    /// It shares what this one keeps in memory (bells, leases), but not its connections: the core renews through
    /// it on a thread of its own, so that a blocked executor starves no renewal. A backend whose I/O no runtime
    /// drives returns itself; so does one that cannot connect again (made from somebody else's connection): it is then
    /// renewed by way of the caller's runtime, and its README says so.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::ErrorKind::Unavailable) while the store cannot be reached. Until this succeeds nothing
    /// is renewed, nor released in the background; the core tries again.
    ///
    /// # Cancel safety
    ///
    /// Nothing is left behind.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> lock_core::Result<()> {
    /// use lock_core::{Backend, Memory};
    /// assert_eq!(Memory::new().fork().await?.profile().name, "memory");
    /// # Ok(())
    /// # }
    /// ```
    async fn fork(&self) -> Result<Arc<dyn Backend>>;
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<B: Backend + ?Sized> Backend for Arc<B> {
    fn profile(&self) -> Profile {
        (**self).profile()
    }

    async fn acquire(&self, claim: &Claim) -> Result<Attempt> {
        (**self).acquire(claim).await
    }

    async fn renew(&self, claims: &[Arc<Claim>]) -> Vec<Result<Ownership>> {
        (**self).renew(claims).await
    }

    async fn release(&self, claim: &Claim, keep: Duration) -> Result<Ownership> {
        (**self).release(claim, keep).await
    }

    async fn wakeups(&self, claim: &Claim) -> Result<Wakeups> {
        (**self).wakeups(claim).await
    }

    async fn fork(&self) -> Result<Arc<dyn Backend>> {
        (**self).fork().await
    }
}

/// What a look found.
///
/// ```
/// use std::time::Duration;
/// use lock_core::{Attempt, Grant, Token};
///
/// let attempt = Attempt::Granted(Grant::new(Token::new(7), Duration::from_secs(30)));
/// assert!(matches!(attempt, Attempt::Granted(grant) if grant.token.get() == 7));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attempt {
    /// The claim is held.
    Granted(Grant),
    /// Somebody is ahead.
    Busy(Busy),
}

/// A claim that is held.
///
/// ```
/// use std::time::Duration;
/// use lock_core::{Grant, Token};
///
/// assert_eq!(Grant::new(Token::new(7), Duration::from_secs(30)).lease.as_secs(), 30);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// Its fencing token: the claim's arrival number.
    pub token: Token,
    /// A lower bound, counted from the moment the call was *made*, on how long the store keeps the claim by its
    /// last durable write. A claim that became the holder without a write has only what is left of its place; the
    /// core renews at once what has less than two thirds of its ttl.
    pub lease: Duration,
}

impl Grant {
    /// A grant.
    ///
    /// ```
    /// # use lock_core::{Grant, Token};
    /// let grant = Grant::new(Token::new(7), std::time::Duration::from_secs(30));
    /// ```
    pub const fn new(token: Token, lease: Duration) -> Self {
        Self { token, lease }
    }
}

/// A claim that has to wait.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(lock_core::Busy::new(Duration::from_secs(3)).retry_after.as_secs(), 3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Busy {
    /// When to look again if nothing rings: until the first lapse, if none is renewed, among the claims ahead that
    /// conflict. Not the one just ahead alone counts: that one may leave, which rings nobody while a dead one before
    /// it has not lapsed. The oldest and the nearest sixteen are enough: who comes to a long queue that it has to wait
    /// in need not cost more than who comes to a short one. This is what finds a dead holder. Too early costs a look;
    /// where it is not known, say the claim's own ttl.
    pub retry_after: Duration,
}

impl Busy {
    /// A refusal.
    ///
    /// ```
    /// let busy = lock_core::Busy::new(std::time::Duration::from_secs(3));
    /// ```
    pub const fn new(retry_after: Duration) -> Self {
        Self { retry_after }
    }
}

/// Whether a claim was there.
///
/// ```
/// use std::time::Duration;
/// use lock_core::Ownership;
///
/// assert_ne!(Ownership::held(Duration::from_secs(30)), Ownership::Lost);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ownership {
    /// It was there and unlapsed.
    Held {
        /// How long the store keeps it, as [`Grant::lease`]. From a release: how long it keeps the remnant.
        lease: Duration,
    },
    /// It was not: it lapsed, was released or taken away, or never came. Final.
    Lost,
}

impl Ownership {
    /// It was there.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let held = lock_core::Ownership::held(Duration::from_secs(30));
    /// ```
    pub const fn held(lease: Duration) -> Self {
        Self::Held { lease }
    }
}
