//! A claim on its way out of the store: if whoever removes it stops caring, the keeper sees it through.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::acquire::GRACE;
use crate::backoff::{Backoff, sleep};
use crate::claim::whole_millis;
use crate::clock::Moment;
use crate::keeper::Keeper;
use crate::{Backend, Claim, Error, ErrorKind, Ownership, Result, observe};

/// How late a timer may be.
const SLACK: Duration = Duration::from_millis(1);

/// A claim that has to leave the store: held, queued, or of unknown fate. Dropped before that is confirmed, it
/// is released in the background.
#[must_use]
pub(crate) struct Parting {
    keeper: Arc<Keeper>,
    claim: Arc<Claim>,
    /// The end of its cooldown, if it has one.
    keep_until: Option<Moment>,
    /// A request was sent whose outcome is not known: it may have removed the claim.
    unclear: bool,
    /// Nobody has to go on when this is dropped.
    over: bool,
}

impl Parting {
    pub(crate) fn new(keeper: &Arc<Keeper>, claim: &Arc<Claim>) -> Self {
        let (keeper, claim) = (keeper.clone(), claim.clone());
        Self { keeper, claim, keep_until: None, unclear: false, over: false }
    }

    pub(crate) fn keeping_until(mut self, until: Moment) -> Self {
        self.keep_until = Some(until);
        self
    }

    pub(crate) fn unclear(&self) -> bool {
        self.unclear
    }

    /// Removes the claim and waits for the store to say so, at most until `until`; after that, or when the future
    /// is dropped, the keeper goes on.
    pub(crate) async fn confirm(&mut self, until: Moment) -> Result<Ownership> {
        let backend = self.keeper.backend.clone();
        self.release(&*backend, until).await
    }

    async fn release(&mut self, backend: &dyn Backend, until: Moment) -> Result<Ownership> {
        let mut backoff = Backoff::default();
        loop {
            let now = Moment::now();
            let keep = self
                .keep_until
                .map_or(Duration::ZERO, |end| whole_millis(end.since(now)).min(Claim::MAX_TTL));
            let was_unclear = std::mem::replace(&mut self.unclear, true);
            // A request that got lost is no reason to give up.
            let patience = until.since(now).min((self.claim.ttl() / 3).max(GRACE));
            let error = match timeout(patience, backend.release(&self.claim, keep)).await {
                Ok(Ok(answer)) => {
                    (self.unclear, self.over) = (was_unclear, true);
                    return Ok(answer);
                }
                Ok(Err(error)) => error,
                Err(_) => Error::new(ErrorKind::Unavailable, "no answer to the release in time"),
            };
            let pause = backoff.next();
            // With less than a timer is off by there is no time to ask again, and the error would be that.
            if error.kind() != ErrorKind::Unavailable || Moment::now() + pause + SLACK >= until {
                return Err(error);
            }
            sleep(pause).await;
        }
    }

    /// Goes on until the claim must have lapsed by itself.
    async fn see_through(mut self, give_up: Moment) {
        let answer = match self.keeper.client(give_up).await {
            Ok(backend) => self.release(&*backend, give_up).await,
            Err(error) => Err(error),
        };
        if let Err(error) = answer {
            observe::left_behind(&self.keeper.profile, &self.claim, &error);
        }
    }
}

impl Drop for Parting {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let (keeper, claim, keep_until) = (self.keeper.clone(), self.claim.clone(), self.keep_until);
        // Should a panic or the end of the keeper's runtime drop this one, it stays dropped: the claim lapses.
        let parting = Self { keeper, claim, keep_until, unclear: true, over: true };
        let give_up = Moment::now() + self.claim.ttl().max(GRACE);
        self.keeper.spawn(parting.see_through(give_up));
    }
}
