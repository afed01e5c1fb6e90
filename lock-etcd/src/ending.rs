//! How a claim leaves, and what it may leave behind.

use std::time::Duration;

use etcd_client::proto::PbKeyValue;
use lock_core::{Claim, Error, ErrorKind, Owner, Result};

use crate::Etcd;
use crate::backend::whole_seconds;
use crate::error::Trouble;
use crate::group::{Apart, Part};
use crate::names::{Form, Place};
use crate::queue::{Entry, Mine};
use crate::steps::{self, Step};

impl Etcd {
    /// Removes a claim; whether it was there.
    pub(crate) async fn remove(&self, claim: &Claim, places: &[Place]) -> Result<bool> {
        let remove = |form, number| Ok(steps::remove(places, form, number));
        self.end(claim, places, remove).await
    }

    /// Removes a claim and leaves a remnant of it; whether it was there.
    pub(crate) async fn keep(&self, claim: &Claim, places: &[Place], keep: Duration) -> Result<bool> {
        let lease = self.link.grant(whole_seconds(keep)).await?;
        let keep = |form, number| Ok(steps::keep(claim, places, form, number, random()?, &lease));
        let kept = self.end(claim, places, keep).await?;
        if !kept {
            self.shared.leases.put(lease);
        }
        Ok(kept)
    }

    /// Ends a claim by a transaction for its form and its number; whether it was there.
    async fn end(
        &self,
        claim: &Claim,
        places: &[Place],
        end: impl Fn(Form, i64) -> Result<Step>,
    ) -> Result<bool> {
        let leases = &self.shared.leases;
        // First, and for good: an answer that does not come leaves nobody with a turn of which it is not known whether it
        // is still there.
        if let Some(known) = leases.forget(claim.owner()) {
            let part = Part {
                step: end(known.form, known.number)?,
                skips: false,
                waits: true,
                keys: places.len(),
                apart: vec![Apart::Claim(claim.owner())],
            };
            if self.removals.ask(part).await? {
                leases.freed(&known, whole_seconds(claim.ttl()));
                return Ok(true);
            }
        }
        // Nothing is known of it, or it is not what it was.
        for _ in 0..3 {
            match self.find(claim.owner(), places).await? {
                Mine::Absent => return Ok(false),
                Mine::Here(own) => {
                    if self.link.transact(end(own.form, own.number)?).await?.succeeded {
                        return Ok(true);
                    }
                }
                Mine::Partly(parts) => {
                    if self.link.transact(steps::clear(&parts)).await?.succeeded {
                        return Ok(false);
                    }
                }
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "it comes and goes too often"))
    }

    /// Removes a claim that must not be granted: its token is no greater than what was reached before, which the store
    /// forgot.
    pub(crate) async fn refuse(
        &self,
        claim: &Claim,
        places: &[Place],
        (form, number): (Form, i64),
        reached: u64,
    ) -> Result<()> {
        self.shared.epoch.went_back(reached);
        self.shared.leases.forget(claim.owner());
        self.link.transact(steps::remove(places, form, number)).await?;
        Ok(())
    }

    /// What there is of a claim.
    pub(crate) async fn find(&self, owner: Owner, places: &[Place]) -> Result<Mine> {
        let gets: Vec<_> =
            [Form::Short, Form::Long].map(|form| steps::own(places, form)).into_iter().flatten().collect();
        let ranges = self.link.read(gets).await?;
        let mut own = vec![None; places.len()];
        for (at, range) in ranges.into_iter().enumerate() {
            let at = at % places.len();
            if let Some(stored) = range.kvs.into_iter().next() {
                let entry = Entry::read(stored, &places[at])?;
                own[at] = Some(entry).filter(|entry| entry.is_of(owner)).or(own[at].take());
            }
        }
        Ok(Mine::from(own.iter().map(Option::as_ref).collect()))
    }

    /// What is stored under the names of claims, each in its form.
    pub(crate) async fn stored(&self, names: &[(Place, Form)]) -> Result<Vec<Option<PbKeyValue>>, Trouble> {
        let own = |(place, form): &(Place, Form)| {
            steps::own(std::slice::from_ref(place), *form).collect::<Vec<_>>()
        };
        let ranges = self.link.read(names.iter().flat_map(own).collect()).await?;
        Ok(ranges.into_iter().map(|range| range.kvs.into_iter().next()).collect())
    }
}

fn random() -> Result<u128> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|e| Error::new(ErrorKind::Unavailable, "no random numbers to be had").with_source(e))?;
    Ok(u128::from_be_bytes(random))
}
