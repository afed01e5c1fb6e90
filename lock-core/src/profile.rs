//! What a store is and which claims it understands.

use std::time::Duration;

use crate::{Claim, Error, ErrorKind, Mode, Result};

/// What a store is and which claims it understands.
///
/// Starts out as a store that can do everything; a backend takes away what it cannot. What a profile rules out
/// is refused by the core before any I/O, and shown as ignored, with the reason, by the conformance suite.
///
/// ```
/// use std::time::Duration;
/// use lock_core::Profile;
///
/// let profile = Profile::new("paper").polled().min_ttl(Duration::from_secs(2));
/// assert!(profile.shared && profile.permits && profile.several && profile.fair && !profile.pushed);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// The store's name in errors and metrics: one lower-case word.
    pub name: &'static str,
    /// Understands [`Mode::Shared`].
    pub shared: bool,
    /// Understands [`Mode::Permit`].
    pub permits: bool,
    /// Takes several keys in one step. Otherwise the core takes them one by one, in key order.
    pub several: bool,
    /// Grants in the order of arrival.
    pub fair: bool,
    /// Rings when there is something to see. Otherwise, as with the default of
    /// [`wakeups`](crate::Backend::wakeups), the core polls.
    pub pushed: bool,
    /// The shortest ttl it keeps; the core rounds shorter ones up to it.
    pub min_ttl: Duration,
}

impl Profile {
    /// A store that can do everything.
    ///
    /// ```
    /// # use lock_core::Profile;
    /// assert_eq!(Profile::new("memory").name, "memory");
    /// ```
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            shared: true,
            permits: true,
            several: true,
            fair: true,
            pushed: true,
            min_ttl: Claim::MIN_TTL,
        }
    }

    /// The same, without shared claims.
    ///
    /// ```
    /// # use lock_core::Profile;
    /// assert!(!Profile::new("paper").without_shared().shared);
    /// ```
    #[must_use]
    pub const fn without_shared(mut self) -> Self {
        self.shared = false;
        self
    }

    /// The same, without permits.
    ///
    /// ```
    /// # use lock_core::Profile;
    /// assert!(!Profile::new("paper").without_permits().permits);
    /// ```
    #[must_use]
    pub const fn without_permits(mut self) -> Self {
        self.permits = false;
        self
    }

    /// The same, taking one key at a time.
    ///
    /// ```
    /// # use lock_core::Profile;
    /// assert!(!Profile::new("paper").one_by_one().several);
    /// ```
    #[must_use]
    pub const fn one_by_one(mut self) -> Self {
        self.several = false;
        self
    }

    /// The same, granting in any order.
    ///
    /// ```
    /// # use lock_core::Profile;
    /// assert!(!Profile::new("paper").unfair().fair);
    /// ```
    #[must_use]
    pub const fn unfair(mut self) -> Self {
        self.fair = false;
        self
    }

    /// The same, without wake-ups.
    ///
    /// ```
    /// # use lock_core::Profile;
    /// assert!(!Profile::new("paper").polled().pushed);
    /// ```
    #[must_use]
    pub const fn polled(mut self) -> Self {
        self.pushed = false;
        self
    }

    /// The same, with a shortest ttl.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use lock_core::Profile;
    /// assert_eq!(Profile::new("etcd").min_ttl(Duration::from_secs(2)).min_ttl.as_secs(), 2);
    /// ```
    #[must_use]
    pub const fn min_ttl(mut self, ttl: Duration) -> Self {
        self.min_ttl = ttl;
        self
    }

    /// Refuses a mode that the store does not understand.
    pub(crate) fn check(&self, mode: Mode) -> Result<()> {
        let able = match mode {
            Mode::Exclusive => true,
            Mode::Shared => self.shared,
            Mode::Permit { .. } => self.permits,
        };
        if able {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unsupported, format!("{} has no claims in mode {mode}", self.name)))
    }
}
