//! The life of a grant, from its receipt to its release or loss: when it may no longer be used.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::SetOnce;
use tracing::Span;

use crate::clock::Moment;
use crate::keeper::Keeper;
use crate::parting::Parting;
use crate::{Claim, Error, ErrorKind, Grant, Ownership, Result, Token, observe};

/// A claim that was granted. Shared by the guard and the keeper.
pub(crate) struct Life {
    pub(crate) claim: Arc<Claim>,
    pub(crate) token: Token,
    keeper: Arc<Keeper>,
    granted: Moment,
    /// Whether the keeper renews it, or only watches its deadline.
    renews: bool,
    /// When it may no longer be used, as [`Moment::as_nanos`]. Only ever grows.
    deadline: AtomicU64,
    /// Where it stands in the keeper's schedule, under whose lock alone this changes.
    slot: AtomicU64,
    /// Released or lost: nobody may end it again.
    ended: AtomicBool,
    lost: SetOnce<()>,
    _span: Span,
}

impl Life {
    /// Begins with the receipt of a grant that was asked for at `sent`; `None` if its deadline has passed
    /// already: then it is no grant.
    pub(crate) fn begin(
        keeper: &Arc<Keeper>,
        claim: &Arc<Claim>,
        grant: Grant,
        sent: Moment,
        renews: bool,
    ) -> Option<Arc<Self>> {
        let now = Moment::now();
        let deadline = deadline(sent, grant.lease);
        if now >= deadline {
            return None;
        }
        let life = Arc::new(Self {
            claim: claim.clone(),
            token: grant.token,
            keeper: keeper.clone(),
            granted: now,
            renews,
            deadline: AtomicU64::new(deadline.as_nanos()),
            slot: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            lost: SetOnce::new(),
            _span: observe::hold_span(&keeper.profile, claim, grant.token),
        });
        // A claim that became the holder without a write has only what is left of its place.
        let short = grant.lease * 3 < claim.ttl() * 2;
        let due = if !renews {
            deadline
        } else if short {
            now
        } else {
            sent + grant.lease / 3
        };
        keeper.watch(&life, due.min(deadline));
        Some(life)
    }

    pub(crate) fn deadline(&self) -> Moment {
        Moment::from_nanos(self.deadline.load(Ordering::Acquire))
    }

    pub(crate) fn slot(&self) -> Moment {
        Moment::from_nanos(self.slot.load(Ordering::Relaxed))
    }

    pub(crate) fn set_slot(&self, at: Moment) {
        self.slot.store(at.as_nanos(), Ordering::Relaxed);
    }

    /// Tells it from every other life there is.
    pub(crate) fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    pub(crate) fn renews(&self) -> bool {
        self.renews
    }

    pub(crate) fn is_held(&self) -> bool {
        !self.ended.load(Ordering::Acquire) && Moment::now() < self.deadline()
    }

    pub(crate) fn remaining(&self) -> Duration {
        if self.ended.load(Ordering::Acquire) { Duration::ZERO } else { self.deadline().since(Moment::now()) }
    }

    pub(crate) async fn lost(&self) {
        self.lost.wait().await;
    }

    /// Takes note of a renewal sent at `sent`; false if it came after the deadline, which is final.
    pub(crate) fn extend(&self, sent: Moment, lease: Duration) -> bool {
        let now = Moment::now();
        if now >= self.deadline() {
            return false;
        }
        self.deadline.fetch_max(deadline(sent, lease).as_nanos(), Ordering::AcqRel);
        true
    }

    /// Ends it as lost, once: the keeper releases what may be left in the store.
    pub(crate) fn lose(&self) {
        if let Some(parting) = self.end() {
            observe::lost(&self.keeper.profile, &self.claim, self.token);
            let _ = self.lost.set(());
            drop(parting);
        }
    }

    /// Ends it without waiting; a cooldown lasts until `keep_until`.
    pub(crate) fn leave(&self, keep_until: Option<Moment>) {
        drop(self.end().map(|parting| self.cooled(parting, keep_until)));
    }

    /// Ends it and waits until the store confirms; a cooldown lasts until `keep_until`. Dropped midway, the keeper
    /// goes on.
    pub(crate) async fn release(&self, keep_until: Option<Moment>) -> Result<()> {
        let Some(parting) = self.end() else { return Err(self.lost_error()) };
        let mut parting = self.cooled(parting, keep_until);
        if Moment::now() >= self.deadline() {
            return Err(self.lost_error()); // dropping the parting releases what is left
        }
        match parting.confirm(Moment::now() + crate::acquire::GRACE).await? {
            Ownership::Held { .. } => Ok(()),
            // An earlier request may have removed it although its answer was lost; before the deadline nobody
            // else can have.
            Ownership::Lost if parting.unclear() && Moment::now() < self.deadline() => Ok(()),
            Ownership::Lost => Err(self.lost_error()),
        }
    }

    fn lost_error(&self) -> Error {
        let message = "the lock was lost: its lease lapsed or it was taken away";
        Error::new(ErrorKind::Lost, message).in_operation(
            "release",
            self.claim.keys(),
            self.keeper.profile.name,
        )
    }

    /// Ends it, once, and says who takes it out of the store.
    fn end(&self) -> Option<Parting> {
        if self.ended.swap(true, Ordering::AcqRel) {
            return None;
        }
        self.keeper.forget(self);
        observe::ended(&self.keeper.profile, self.granted.elapsed());
        Some(Parting::new(&self.keeper, &self.claim))
    }

    /// A cooldown applies to every end but loss.
    fn cooled(&self, parting: Parting, keep_until: Option<Moment>) -> Parting {
        match keep_until {
            Some(until) if Moment::now() < self.deadline() => parting.keeping_until(until),
            _ => parting,
        }
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Life")
            .field("keys", &self.claim.keys())
            .field("mode", &self.claim.mode())
            .field("token", &self.token)
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}

/// A grant may be used until its lease ends, less a margin for two clocks that do not run alike: 2 % of the
/// lease, at least 2 ms.
fn deadline(sent: Moment, lease: Duration) -> Moment {
    let margin = (lease / 50).max(Duration::from_millis(2));
    sent + lease.saturating_sub(margin)
}
