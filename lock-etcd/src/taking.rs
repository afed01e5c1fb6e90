//! How a claim comes to be held: it arrives, or looks where it stands.

use lock_core::{Attempt, Busy, Claim, Grant, Result};

use crate::arriving::Arrival;
use crate::backend::whole_seconds;
use crate::clock::{Moment, wall_micros};
use crate::epoch::token;
use crate::error::foreign;
use crate::leases::Known;
use crate::link::revision;
use crate::names::Place;
use crate::queue::{Entry, Mine, Turn, View, Wait};
use crate::steps::{self, Get, Under, Way};
use crate::{Etcd, Shared};

/// Greater than every number: a newcomer's, which all are ahead of.
const NEWCOMER: i64 = i64::MAX;

/// So many permits are plenty: a permit among them does not wait for those that come at the same moment.
const PLENTY: usize = 8;

/// A permit on more keys than that waits all the same: to see who else came takes four comparisons a key.
const FEW: usize = 16;

/// Every step answers `None` where it has to be asked again: the next one knows more.
impl Etcd {
    /// Looks where a claim stands that was in the store with this number.
    pub(crate) async fn look(
        &self,
        claim: &Claim,
        places: &[Place],
        number: i64,
        started: Moment,
    ) -> Result<Option<Attempt>> {
        let ranges = self.link.read(steps::look(places, Some(number))).await?;
        let view = steps::view(ranges.into_iter(), places)?;
        self.judge(claim, places, &view, started).await
    }

    /// Joins the queue, and looks; or only takes the claim if nobody is there, if that is `alone`. `under` is how it can
    /// join, as far as that is known.
    pub(crate) async fn queue(
        &self,
        claim: &Claim,
        places: &[Place],
        started: Moment,
        alone: bool,
        under: &mut Under,
    ) -> Result<Option<Attempt>> {
        let seconds = whole_seconds(claim.ttl());
        let lease = match self.spare(seconds).await? {
            Some(lease) => lease,
            None => self.link.grant(seconds).await?,
        };
        let way = if alone { Way::IfFree } else { Way::Queue };
        match self.arrive(claim, places, way, under, lease).await? {
            Arrival::Arrived(known, None) => {
                self.shared.crowds.met(claim, false);
                self.grant(claim, places, &known, started).await
            }
            Arrival::Arrived(_, Some(view)) => {
                self.shared.crowds.met(claim, view.others(claim.owner()));
                self.judge(claim, places, &view, started).await
            }
            Arrival::Not(view, _) => {
                self.shared.crowds.met(claim, view.others(claim.owner()));
                *under = view.under(places);
                self.judge(claim, places, &view, started).await
            }
            Arrival::Again => Ok(None),
        }
    }

    /// Takes the claim if it has room, and leaves nothing if it has none. `way` and `under` are how it can be
    /// taken, if it had room when it was last looked at.
    pub(crate) async fn skip(
        &self,
        claim: &Claim,
        places: &[Place],
        started: Moment,
        way: &mut Option<Way>,
        under: &mut Under,
    ) -> Result<Option<Attempt>> {
        let seconds = whole_seconds(claim.ttl());
        let (view, revision) = match (self.spare(seconds).await?, *way) {
            // A lease for one that is refused would be a write: it looks first.
            (None, None) => self.look_first(places).await?,
            (spare, way) => {
                let lease = match spare {
                    Some(lease) => lease,
                    None => self.link.grant(seconds).await?,
                };
                match self.arrive(claim, places, way.unwrap_or(Way::IfFree), under, lease).await? {
                    Arrival::Arrived(known, None) => return self.grant(claim, places, &known, started).await,
                    Arrival::Arrived(_, Some(view)) => {
                        return self.judge(claim, places, &view, started).await;
                    }
                    Arrival::Not(view, revision) => (view, revision),
                    Arrival::Again => return Ok(None),
                }
            }
        };
        if !matches!(view.mine(claim.owner()), Mine::Absent) {
            return self.judge(claim, places, &view, started).await;
        }
        let wait = view.wait(claim.mode(), NEWCOMER);
        if wait.turn == Turn::Now {
            *under = view.under(places);
            *way = Some(if wait.left >= PLENTY && places.len() <= FEW {
                Way::IfNoOtherCameSince(revision)
            } else {
                Way::IfNobodyCameSince(revision)
            });
            return Ok(None);
        }
        Ok(Some(Attempt::Busy(Busy::new(wait.lapse))))
    }

    /// The queues, and at which revision they stood so.
    async fn look_first(&self, places: &[Place]) -> Result<(View, i64)> {
        let Shared { epoch, names, .. } = &*self.shared;
        let (first, seen) = (Get { name: names.epoch(), options: None }, wall_micros());
        let look = std::iter::once(first).chain(steps::look(places, None));
        let answer = self.link.transact(steps::read(look)).await?;
        let revision = revision(&answer);
        let mut ranges = steps::ranges(answer);
        // What is stored there may be no epoch. Who arrives is told so; who is refused need not know.
        let _ = epoch.learn(&ranges.next().ok_or_else(foreign)?, revision, seen);
        Ok((steps::view(ranges, places)?, revision))
    }

    /// What follows for a claim from the queues.
    async fn judge(
        &self,
        claim: &Claim,
        places: &[Place],
        view: &View,
        started: Moment,
    ) -> Result<Option<Attempt>> {
        match view.mine(claim.owner()) {
            Mine::Here(own) => {
                let wait = view.wait(claim.mode(), own.number);
                self.answer(claim, places, &own, wait, started).await
            }
            Mine::Absent => {
                self.shared.leases.forget(claim.owner());
                Ok(None)
            }
            Mine::Partly(parts) => {
                self.link.transact(steps::clear(&parts)).await?;
                self.shared.leases.forget(claim.owner());
                Ok(None)
            }
        }
    }

    /// What follows for a claim that is there.
    async fn answer(
        &self,
        claim: &Claim,
        places: &[Place],
        own: &Entry,
        wait: Wait,
        started: Moment,
    ) -> Result<Option<Attempt>> {
        let leases = &self.shared.leases;
        let known = leases.known(claim.owner()).filter(|known| known.is(own));
        let granted = wait.turn == Turn::Now;
        if !granted && !claim.waits() {
            // So many came at the same moment: it is taken back.
            self.remove(claim, places).await?;
            return Ok(Some(Attempt::Busy(Busy::new(wait.lapse))));
        }
        let epoch = known.as_ref().map(|known| known.epoch);
        let fresh = known.filter(|known| match granted {
            true => known.left(started) * 2 >= known.ttl,
            // A place lasts a full ttl from this look.
            false => known.renewed >= started,
        });
        match fresh {
            Some(known) if granted => return self.grant(claim, places, &known, started).await,
            Some(_) => {}
            None => {
                let sent = Moment::now();
                let ttl = self.link.renew(own.lease).await?;
                if ttl.is_zero() {
                    leases.forget(claim.owner());
                    return Ok(None);
                }
                // Now, and not when it is granted: a compaction makes the store forget what the epoch was.
                let epoch = match epoch {
                    Some(epoch) => epoch,
                    None => self.link.epoch_at(own.number).await?,
                };
                leases.renewed(claim.owner(), own, epoch, ttl, sent);
                if granted {
                    // It may have gone before it was renewed, and a renewal proves nothing.
                    return Ok(None);
                }
            }
        }
        let lapse = wait.lapse;
        leases.refused(claim.owner(), wait);
        Ok(Some(Attempt::Busy(Busy::new(lapse))))
    }

    pub(crate) async fn grant(
        &self,
        claim: &Claim,
        places: &[Place],
        known: &Known,
        started: Moment,
    ) -> Result<Option<Attempt>> {
        let token = token(known.epoch, known.number, known.nth)?;
        if token.get() <= known.floor {
            self.refuse(claim, places, (known.form, known.number), known.floor).await?;
            return Ok(None);
        }
        self.shared.leases.granted(claim.owner());
        let lease = known.left(started).min(known.ttl);
        Ok(Some(Attempt::Granted(Grant::new(token, lease))))
    }
}
