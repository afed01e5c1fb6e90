//! How a claim comes into the store: with a lease, a name on each of its keys, and a token greater than all before.

use std::sync::atomic::Ordering;

use lock_core::{Claim, Result};

use crate::Etcd;
use crate::clock::Moment;
use crate::epoch::{STEP, token};
use crate::error::{Trouble, foreign};
use crate::group::{Apart, Part};
use crate::kinds::Arrived;
use crate::leases::{Known, Lease};
use crate::names::Place;
use crate::queue::{Mine, View};
use crate::steps::{self, Under, Way};

/// What came of an attempt to arrive.
pub(crate) enum Arrival {
    /// It is there.
    Arrived(Known, Option<View>),
    /// It is not there by this attempt; the queues stood so at this revision.
    Not(View, i64),
    /// It is not there, and nothing is known of the queues.
    Again,
}

impl Etcd {
    pub(crate) async fn arrive(
        &self,
        claim: &Claim,
        places: &[Place],
        way: Way,
        under: &Under,
        lease: Lease,
    ) -> Result<Arrival> {
        // Those that gather have different ones, until there are too many to go together anyway.
        let nth = self.shared.arrived.fetch_add(1, Ordering::Relaxed) % STEP;
        let floor = self.shared.epoch.reached();
        let (step, skips) =
            (steps::arrive(claim, places, way, under, &lease, (nth, floor)), !matches!(way, Way::Queue));
        let apart = claim.keys().iter().cloned().map(Apart::Key).chain([Apart::Nth(nth)]).collect();
        let part = Part { step, skips, waits: claim.waits(), keys: places.len(), apart };
        let Arrived { answer, revision, epoch, reached } = match self.arrivals.ask(part).await {
            Ok(arrived) => arrived,
            Err(Trouble::NoLease) => return Ok(Arrival::Again),
            // The lease goes, too: the claim may come with it yet.
            Err(trouble) => return Err(trouble.into()),
        };
        let (arrived, view) = steps::arrived(answer, places)?;
        if !arrived {
            self.shared.leases.put(lease);
            return Ok(Arrival::Not(view.ok_or_else(foreign)?, revision));
        }
        // One that joins a queue on one key has the long name there if the short one is another's.
        let form = match view.as_ref().map(|view| view.mine(claim.owner())) {
            Some(Mine::Here(own)) => own.form,
            _ => under.form(),
        };
        if token(epoch, revision, nth)?.get() <= reached {
            self.refuse(claim, places, (form, revision), reached).await?;
            return Ok(Arrival::Again);
        }
        let Lease { id, ttl, renewed, .. } = lease;
        let known = Known {
            number: revision,
            nth,
            form,
            epoch,
            lease: id,
            ttl,
            renewed,
            answered: Moment::now(),
            floor: reached,
            clean: true,
            wait: None,
            come: false,
        };
        self.shared.leases.remember(claim.owner(), known.clone());
        Ok(Arrival::Arrived(known, view))
    }

    /// A spare lease that is good for most of its ttl.
    pub(crate) async fn spare(&self, seconds: i64) -> Result<Option<Lease>> {
        while let Some(mut lease) = self.shared.leases.take(seconds) {
            if lease.aged() {
                lease.renewed = Moment::now();
                lease.ttl = self.link.renew(lease.id).await?;
                if lease.ttl.is_zero() {
                    continue;
                }
            }
            return Ok(Some(lease));
        }
        Ok(None)
    }
}
