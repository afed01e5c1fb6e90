//! What a case works with: fresh keys, claims, and clients of the store under test.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{Attempt, Backend, Busy, Claim, Grant, Key, Keys, Lock, Locker, Mode, Ownership};

use crate::patience::LONG;
use crate::{Line, Subject};

/// What a case works with. Every case has its own, so no key of one is seen by another.
///
/// ```
/// # use std::{sync::Arc, time::Duration};
/// # use lock_core::{Backend, Memory, Result};
/// # struct InMemory(Memory);
/// # #[async_trait::async_trait]
/// # impl conformance_tests::Subject for InMemory {
/// #     fn name(&self) -> &str { "memory" }
/// #     fn ttl(&self) -> Duration { Duration::from_secs(1) }
/// #     async fn client(&self) -> Result<Arc<dyn Backend>> { Ok(Arc::new(self.0.clone())) }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// use conformance_tests::World;
/// use lock_core::{Attempt, Mode};
///
/// let world = World::new(Arc::new(InMemory(Memory::new())), Mode::Exclusive);
/// let (client, claim) = (world.client().await, world.claim(world.key("a")));
/// assert!(matches!(client.acquire(&claim).await?, Attempt::Granted(_)));
///
/// let locks = world.locker().await;
/// assert!(world.lock(&locks, world.key("a")).try_acquire().await?.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct World {
    subject: Arc<dyn Subject>,
    /// How this run of the case excludes: [`Mode::Exclusive`], or a permit of one, which must do the same.
    mode: Mode,
    prefix: String,
}

impl World {
    /// A world of fresh keys.
    pub fn new(subject: Arc<dyn Subject>, mode: Mode) -> Self {
        let random = getrandom::u64().expect("the system has random numbers");
        Self { subject, mode, prefix: format!("case/{random:016x}") }
    }

    /// The store under test.
    pub fn subject(&self) -> &Arc<dyn Subject> {
        &self.subject
    }

    /// An independent client.
    pub async fn client(&self) -> Arc<dyn Backend> {
        self.subject.client().await.expect("a client of the store under test")
    }

    /// An independent client whose connections can be cut, in a case that needs that.
    pub(crate) async fn cuttable(&self) -> (Arc<dyn Backend>, Arc<dyn Line>) {
        let client = self.subject.cuttable().await.expect("a client of the store under test");
        client.expect("a case says what it needs")
    }

    /// A world on a store of the same kind that nobody else uses, in a case that needs that.
    pub(crate) async fn alone(&self) -> Self {
        let subject = self.subject.alone().await.expect("a store of the case's own");
        Self::new(subject.expect("a case says what it needs"), self.mode)
    }

    /// How many connections the server has, in a case that needs to know.
    pub(crate) async fn connections(&self) -> usize {
        let connections = self.subject.connections().await.expect("the server says it");
        connections.expect("a case says what it needs")
    }

    /// A locker on an independent client, with the comfortable ttl as default.
    pub async fn locker(&self) -> Locker {
        Locker::new(self.client().await).with_ttl(self.ttl())
    }

    /// A locker on an independent client, with a ttl that outlasts the case: nothing is lost to a delay, and
    /// whatever is left behind stays in the way.
    pub async fn steady(&self) -> Locker {
        Locker::new(self.client().await).with_ttl(LONG)
    }

    /// Several of them, each on a client of its own.
    pub async fn steadies<const N: usize>(&self) -> [Locker; N] {
        futures::future::join_all((0..N).map(|_| self.steady()))
            .await
            .try_into()
            .expect("as many as were asked for")
    }

    /// A request in the mode of this run.
    pub fn lock(&self, locks: &Locker, keys: impl Keys) -> Lock {
        in_mode(locks.lock(keys), self.mode)
    }

    /// The comfortable ttl.
    pub fn ttl(&self) -> Duration {
        self.subject.ttl()
    }

    /// The mode in which this run excludes others.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// A key of this world.
    pub fn key(&self, name: &str) -> Key {
        Key::new(format!("{}/{name}", self.prefix)).expect("a short key without control characters")
    }

    /// A claim that skips, in the mode of this run.
    pub fn claim(&self, keys: impl Keys) -> Claim {
        self.claim_as(self.mode, keys)
    }

    /// A claim that skips, in any mode.
    pub fn claim_as(&self, mode: Mode, keys: impl Keys) -> Claim {
        Claim::new(keys, mode, self.ttl()).expect("a valid claim")
    }

    /// What the profile of the store says.
    pub async fn profile(&self) -> lock_core::Profile {
        self.client().await.profile()
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("mode", &self.mode)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// A request in a mode.
pub(crate) fn in_mode(lock: Lock, mode: Mode) -> Lock {
    match mode {
        Mode::Shared => lock.shared(),
        Mode::Permit { of } => lock.permit_of(of.get()),
        _ => lock,
    }
}

/// The grant, or a panic that says what came instead.
#[track_caller]
pub(crate) fn granted(attempt: lock_core::Result<Attempt>) -> Grant {
    match attempt {
        Ok(Attempt::Granted(grant)) => grant,
        other => panic!("expected a grant, got {other:?}"),
    }
}

/// The refusal, or a panic that says what came instead.
#[track_caller]
pub(crate) fn busy(attempt: lock_core::Result<Attempt>) -> Busy {
    match attempt {
        Ok(Attempt::Busy(busy)) => busy,
        other => panic!("expected busy, got {other:?}"),
    }
}

#[track_caller]
pub(crate) fn held(ownership: lock_core::Result<Ownership>) -> Duration {
    match ownership {
        Ok(Ownership::Held { lease }) => lease,
        other => panic!("expected held, got {other:?}"),
    }
}

#[track_caller]
pub(crate) fn lost(ownership: lock_core::Result<Ownership>) {
    assert!(matches!(ownership, Ok(Ownership::Lost)), "expected lost, got {ownership:?}");
}
