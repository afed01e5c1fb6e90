//! The life of a grant, from its receipt to its release or loss: when it may no longer be used.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::SetOnce;

use crate::clock::Moment;
use crate::keeper::Keeper;
use crate::parting::Parting;
use crate::{Claim, Error, ErrorKind, Grant, Ownership, Profile, Result, Token, observe};

/// A claim that was granted. Shared by the guard and the keeper.
pub(crate) struct Life {
    pub(crate) claim: Arc<Claim>,
    pub(crate) token: Token,
    keeper: Arc<Keeper>,
    granted: Moment,
    /// Whether the keeper renews it, or only watches its deadline.
    renews: bool,
    /// When it may no longer be used, as [`Moment::as_nanos`]. Only ever grows, until somebody has seen it pass:
    /// then it is zero, for good.
    deadline: AtomicU64,
    /// Where it stands in the keeper's schedule, under whose lock alone this changes.
    slot: AtomicU64,
    /// Released or lost: nobody may end it again.
    ended: AtomicBool,
    lost: SetOnce<()>,
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
        });
        // A claim that became the holder without a write has only what is left of its place.
        let short = grant.lease.saturating_mul(3) < claim.ttl() * 2;
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

    pub(crate) fn profile(&self) -> Profile {
        self.keeper.profile
    }

    /// Tells it from every other life there is.
    pub(crate) fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    pub(crate) fn renews(&self) -> bool {
        self.renews
    }

    /// Whether its deadline has passed. Once that was said, no renewal brings it back.
    pub(crate) fn lapsed(&self) -> bool {
        let mut deadline = self.deadline.load(Ordering::Acquire);
        while Moment::now().as_nanos() >= deadline {
            match self.deadline.compare_exchange(deadline, 0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(moved) => deadline = moved,
            }
        }
        false
    }

    pub(crate) fn is_held(&self) -> bool {
        !self.ended.load(Ordering::Acquire) && !self.lapsed()
    }

    pub(crate) fn remaining(&self) -> Duration {
        if self.is_held() { self.deadline().since(Moment::now()) } else { Duration::ZERO }
    }

    pub(crate) async fn lost(&self) {
        self.lost.wait().await;
    }

    /// Takes note of a renewal sent at `sent`; false if it came after the deadline, which is final.
    pub(crate) fn extend(&self, sent: Moment, lease: Duration) -> bool {
        let longer = deadline(sent, lease).as_nanos();
        let extend = |old: u64| (Moment::now().as_nanos() < old).then(|| old.max(longer));
        self.deadline.fetch_update(Ordering::AcqRel, Ordering::Acquire, extend).is_ok()
    }

    /// Ends it as lost, once: the keeper releases what may be left in the store.
    pub(crate) fn lose(&self) {
        if let Some(parting) = self.end() {
            self.report_loss();
            let _ = self.lost.set(());
            drop(parting);
        }
    }

    /// Ends it without waiting; a cooldown lasts until `keep_until`.
    pub(crate) fn leave(&self, keep_until: Option<Moment>) {
        if let Some(parting) = self.end() {
            if self.lapsed() {
                self.report_loss();
            }
            drop(self.cooled(parting, keep_until));
        }
    }

    /// Ends it and waits for the store to confirm, at most until `until`; a cooldown lasts until `keep_until`.
    /// After that, or dropped midway, the keeper goes on.
    pub(crate) async fn release(&self, keep_until: Option<Moment>, until: Moment) -> Result<()> {
        let lost = || Error::new(ErrorKind::Lost, "the lock was lost: its lease lapsed or it was taken away");
        let release = async {
            let Some(parting) = self.end() else { return Err(lost()) };
            let mut parting = self.cooled(parting, keep_until);
            // Past its deadline there is nothing to confirm: dropping the parting releases what is left.
            if !self.lapsed() {
                match parting.confirm(until).await? {
                    Ownership::Held { .. } => return Ok(()),
                    // An earlier request may have removed it although its answer was lost; before the deadline
                    // nobody else can have.
                    Ownership::Lost if parting.unclear() && !self.lapsed() => return Ok(()),
                    Ownership::Lost => {}
                }
            }
            self.report_loss();
            Err(lost())
        };
        let explain =
            |error: Error| error.in_operation("release", self.claim.keys(), self.keeper.profile.name);
        release.await.map_err(explain)
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

    fn report_loss(&self) {
        observe::lost(&self.keeper.profile, &self.claim, self.token);
    }

    /// A cooldown applies to every end but loss.
    fn cooled(&self, parting: Parting, keep_until: Option<Moment>) -> Parting {
        match keep_until {
            Some(until) if !self.lapsed() => parting.keeping_until(until),
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
