//! Where a service begins: a store, and defaults for what is asked of it.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use crate::keeper::Keeper;
use crate::{Backend, Keys, Lock, Profile};

/// Hands out locks on one store. Cheap to clone; clones share everything.
///
/// It holds the defaults: a ttl of 30 s, no label, renewal on.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> lock_core::Result<()> {
/// use lock_core::{Locker, Memory};
///
/// let locks = Locker::new(Memory::new());
/// let guard = locks.lock("report/2025-01").acquire().await?;
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Locker {
    keeper: Arc<Keeper>,
    ttl: Duration,
    label: String,
    renews: bool,
}

impl Locker {
    /// A locker on a store.
    ///
    /// # Panics
    ///
    /// When the process cannot start the one thread on which all lockers renew.
    ///
    /// ```
    /// use lock_core::{Locker, Memory};
    /// let locks = Locker::new(Memory::new());
    /// ```
    pub fn new(backend: impl Backend) -> Self {
        // One that is shared already is not wrapped again: that would cost every call an allocation.
        let shared = (&backend as &dyn Any).downcast_ref::<Arc<dyn Backend>>().cloned();
        let keeper = Keeper::new(shared.unwrap_or_else(|| Arc::new(backend)));
        Self { keeper, ttl: Duration::from_secs(30), label: String::new(), renews: true }
    }

    /// The same locker with another default ttl.
    ///
    /// The ttl is how long others wait for a holder that died: 10 ms to 24 h. A living holder is renewed at every
    /// third of it, however long it holds.
    ///
    /// ```
    /// # use lock_core::{Locker, Memory};
    /// let locks = Locker::new(Memory::new()).with_ttl(std::time::Duration::from_secs(120));
    /// ```
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// The same locker with a default label, at most 128 bytes: what a person who looks into the store reads.
    ///
    /// ```
    /// # use lock_core::{Locker, Memory};
    /// let locks = Locker::new(Memory::new()).with_label("worker 3");
    /// ```
    #[must_use]
    pub fn with_label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// The same locker with renewal on or off. Off, a grant ends at its ttl.
    ///
    /// ```
    /// # use lock_core::{Locker, Memory};
    /// let locks = Locker::new(Memory::new()).with_renewal(false);
    /// ```
    #[must_use]
    pub fn with_renewal(mut self, on: bool) -> Self {
        self.renews = on;
        self
    }

    /// Names what to lock: one key or up to 32, in any order. Nothing is sent before the request is
    /// [awaited](Lock::acquire).
    ///
    /// Take everything in one request. Whoever waits for a key while holding another can deadlock with somebody who
    /// does it the other way round; give such a wait a [timeout](Lock::timeout).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> lock_core::Result<()> {
    /// # use lock_core::{Locker, Memory};
    /// # let locks = Locker::new(Memory::new());
    /// let guard = locks.lock(["account/2", "account/1"]).acquire().await?;
    /// assert_eq!(guard.keys().count(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn lock(&self, keys: impl Keys) -> Lock {
        let (keeper, keys) = (self.keeper.clone(), keys.into_keys());
        Lock::new(keeper, keys, self.ttl, self.label.clone(), self.renews)
    }

    /// What the store is and can.
    ///
    /// ```
    /// # use lock_core::{Locker, Memory};
    /// assert_eq!(Locker::new(Memory::new()).profile().name, "memory");
    /// ```
    pub fn profile(&self) -> Profile {
        self.keeper.profile
    }

    /// Waits until releases that are still under way in the background have ended: those of dropped guards and
    /// dropped waits. Call it before the process exits, lest others wait for a ttl. Guards that are alive stay so.
    ///
    /// On a store that does not answer this takes up to a ttl: give it a limit of your own. A wait that was dropped with
    /// its request under way counts until the runtime it was made on has driven that to its end.
    ///
    /// # Cancel safety
    ///
    /// The releases go on.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> lock_core::Result<()> {
    /// # use lock_core::{Locker, Memory};
    /// # let locks = Locker::new(Memory::new());
    /// drop(locks.lock("a").acquire().await?);
    /// locks.close().await;
    /// assert!(locks.lock("a").try_acquire().await?.is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn close(&self) {
        self.keeper.close().await;
    }
}
