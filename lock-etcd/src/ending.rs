//! How a claim leaves, and what it may leave behind.

use std::time::Duration;

use etcd_client::proto::PbKeyValue;
use lock_core::{Claim, Error, ErrorKind, Result};

use crate::Etcd;
use crate::backend::whole_seconds;
use crate::error::Trouble;
use crate::names::Place;
use crate::steps;

impl Etcd {
    /// Removes a claim; whether it was there.
    pub(crate) async fn remove(&self, claim: &Claim, places: &[Place]) -> Result<bool> {
        let held = self.link.transact(steps::remove(places)).await?.succeeded;
        if held {
            self.shared.leases.released(claim.owner(), whole_seconds(claim.ttl()));
        } else {
            self.shared.leases.forget(claim.owner());
        }
        Ok(held)
    }

    /// Removes a claim and leaves a remnant of it; whether it was there.
    pub(crate) async fn keep(&self, claim: &Claim, places: &[Place], keep: Duration) -> Result<bool> {
        let mut number = self.shared.leases.known(claim.owner()).map(|known| known.number);
        let lease = self.link.grant(whole_seconds(keep)).await?;
        // Known by an old number, it is tried again with the one that it has.
        for _ in 0..3 {
            let there = match number {
                Some(number) => number,
                None => match common(&self.own(places).await?) {
                    Some(number) => number,
                    None => break,
                },
            };
            let txn = steps::keep(claim, places, there, random()?, &lease);
            if self.link.transact(txn).await?.succeeded {
                self.shared.leases.released(claim.owner(), whole_seconds(claim.ttl()));
                return Ok(true);
            }
            number = None;
        }
        self.shared.leases.put(lease);
        self.remove(claim, places).await?;
        Ok(false)
    }

    /// What is stored under a claim's own names.
    pub(crate) async fn own(&self, places: &[Place]) -> Result<Vec<Option<PbKeyValue>>, Trouble> {
        let mut own = Vec::with_capacity(places.len());
        for some in places.chunks(steps::MOST) {
            let ranges = self.link.read(steps::own(some).collect()).await?;
            own.extend(ranges.into_iter().map(|range| range.kvs.into_iter().next()));
        }
        Ok(own)
    }
}

/// The number that a claim has on all its keys.
fn common(own: &[Option<PbKeyValue>]) -> Option<i64> {
    let number = own.first()?.as_ref()?.create_revision;
    let all = own.iter().all(|one| one.as_ref().is_some_and(|one| one.create_revision == number));
    all.then_some(number)
}

fn random() -> Result<u128> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|e| Error::new(ErrorKind::Unavailable, "no random numbers to be had").with_source(e))?;
    Ok(u128::from_be_bytes(random))
}
