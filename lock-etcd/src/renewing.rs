//! How claims are kept: their leases are renewed, and then they are looked at, for a renewal alone proves nothing.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::proto::PbKeyValue;
use futures::future::{join_all, try_join_all};
use lock_core::{Claim, Error, ErrorKind, Ownership, Result};

use crate::Etcd;
use crate::clock::Moment;
use crate::names::Place;
use crate::queue::Entry;
use crate::steps;

impl Etcd {
    pub(crate) async fn renew_some(&self, claims: &[Arc<Claim>]) -> Vec<Result<Ownership>> {
        match self.try_renew(claims).await {
            Ok(answers) => answers,
            Err(error) => vec![Err(error); claims.len()],
        }
    }

    async fn try_renew(&self, claims: &[Arc<Claim>]) -> Result<Vec<Result<Ownership>>> {
        let places: Vec<_> = claims.iter().map(|claim| self.shared.names.places(claim)).collect();
        let leases = self.leases_of(claims, &places).await?;
        let sent = Moment::now();
        let renew = leases.iter().map(|lease| async {
            match lease {
                Some(lease) => self.link.renew(*lease).await,
                None => Ok(Duration::ZERO),
            }
        });
        let ttls = join_all(renew).await;
        let all: Vec<Place> = places.iter().flatten().cloned().collect();
        let own = try_join_all(all.chunks(steps::MOST).map(|some| self.own(some))).await?;
        let mut own = own.into_iter().flatten();
        let mut answers = Vec::with_capacity(claims.len());
        for (((claim, places), lease), ttl) in claims.iter().zip(&places).zip(leases).zip(ttls) {
            let stored: Vec<_> = own.by_ref().take(places.len()).collect();
            answers.push(self.kept(claim, places, stored, lease, ttl, sent));
        }
        Ok(answers)
    }

    /// The leases that claims have; those that this client did not take are looked up.
    async fn leases_of(&self, claims: &[Arc<Claim>], places: &[Vec<Place>]) -> Result<Vec<Option<i64>>> {
        let known = claims.iter().map(|claim| self.shared.leases.known(claim.owner()));
        let mut leases: Vec<_> = known.map(|known| known.map(|known| known.lease)).collect();
        let unknown: Vec<_> = (0..claims.len()).filter(|at| leases[*at].is_none()).collect();
        let firsts: Vec<_> = unknown.iter().filter_map(|at| places[*at].first().cloned()).collect();
        for (at, stored) in unknown.into_iter().zip(self.own(&firsts).await?) {
            leases[at] = stored.map(|stored| stored.lease);
        }
        Ok(leases)
    }

    /// What follows for a claim whose lease was renewed, from what was stored of it after that.
    fn kept(
        &self,
        claim: &Claim,
        places: &[Place],
        stored: Vec<Option<PbKeyValue>>,
        lease: Option<i64>,
        ttl: Result<Duration>,
        sent: Moment,
    ) -> Result<Ownership> {
        let owner = claim.owner();
        let all: Option<Vec<_>> = stored.into_iter().collect();
        let Some(all) = all.filter(|all| !all.is_empty()) else {
            self.shared.leases.forget(owner);
            return Ok(Ownership::Lost);
        };
        let entries = all.into_iter().zip(places).map(|(stored, place)| Entry::read(stored, place));
        let entries = entries.collect::<Result<Vec<_>>>()?;
        let first = &entries[0];
        if entries.iter().any(|entry| entry.number != first.number) {
            self.shared.leases.forget(owner);
            return Ok(Ownership::Lost);
        }
        if lease != Some(first.lease) {
            self.shared.leases.forget(owner);
            let message = "it was renewed by a lease that it does not have any more";
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        match ttl? {
            Duration::ZERO => Err(Error::new(ErrorKind::Unavailable, "its lease is about to be gone")),
            ttl => {
                self.shared.leases.renewed(owner, first, ttl, sent);
                Ok(Ownership::held(ttl))
            }
        }
    }
}
