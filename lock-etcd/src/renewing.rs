//! How claims are kept: their leases are renewed, and then they are looked at, for a renewal alone proves nothing.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::proto::PbKeyValue;
use futures::future::{join_all, try_join_all};
use lock_core::{Claim, Error, ErrorKind, Ownership, Result};

use crate::Etcd;
use crate::clock::Moment;
use crate::names::{Form, Place};
use crate::queue::{Entry, Mine};
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
        let at = claims.iter().zip(&places).map(|(claim, places)| self.at(claim, places));
        let at = try_join_all(at).await?;
        let sent = Moment::now();
        let renew = at.iter().map(|at| async {
            match at {
                Some((lease, _)) => self.link.renew(*lease).await,
                None => Ok(Duration::ZERO),
            }
        });
        let ttls = join_all(renew).await;
        let named = at.iter().zip(&places).filter_map(|(at, places)| Some(((*at)?.1, places)));
        let names: Vec<_> =
            named.flat_map(|(form, places)| places.iter().map(move |place| (place.clone(), form))).collect();
        let own = try_join_all(names.chunks(steps::MOST).map(|some| self.stored(some))).await?;
        let mut own = own.into_iter().flatten();
        let mut answers = Vec::with_capacity(claims.len());
        for (((claim, places), at), ttl) in claims.iter().zip(&places).zip(at).zip(ttls) {
            let Some((lease, _)) = at else {
                answers.push(Ok(Ownership::Lost));
                continue;
            };
            let stored: Vec<_> = own.by_ref().take(places.len()).collect();
            let kept = self.kept(claim, places, stored, lease, ttl, sent);
            answers.push(match kept {
                Ok(Ownership::Lost) => self.lost(claim, places).await,
                kept => kept,
            });
        }
        Ok(answers)
    }

    /// The lease of a claim, and the form of its names; looked up, if this client did not take it. `None` if it is not there.
    async fn at(&self, claim: &Claim, places: &[Place]) -> Result<Option<(i64, Form)>> {
        if let Some(known) = self.shared.leases.known(claim.owner()) {
            return Ok(Some((known.lease, known.form)));
        }
        Ok(match self.find(claim.owner(), places).await? {
            Mine::Here(own) => Some((own.lease, own.form)),
            _ => None,
        })
    }

    /// A claim is not what it was: it is lost, unless somebody asked for it again.
    async fn lost(&self, claim: &Claim, places: &[Place]) -> Result<Ownership> {
        self.shared.leases.forget(claim.owner());
        match self.find(claim.owner(), places).await? {
            Mine::Here(_) => Err(Error::new(ErrorKind::Unavailable, "it has another lease by now")),
            _ => Ok(Ownership::Lost),
        }
    }

    /// What follows for a claim whose lease was renewed, from what was stored of it after that.
    fn kept(
        &self,
        claim: &Claim,
        places: &[Place],
        stored: Vec<Option<PbKeyValue>>,
        lease: i64,
        ttl: Result<Duration>,
        sent: Moment,
    ) -> Result<Ownership> {
        let owner = claim.owner();
        let all: Option<Vec<_>> = stored.into_iter().collect();
        let Some(all) = all else { return Ok(Ownership::Lost) };
        let entries = all.into_iter().zip(places).map(|(stored, place)| Entry::read(stored, place));
        let entries = entries.collect::<Result<Vec<_>>>()?;
        let Some(first) = entries.first() else { return Ok(Ownership::Lost) };
        let same = |entry: &Entry| entry.is_of(owner) && (entry.number, entry.lease) == (first.number, lease);
        if !entries.iter().all(same) {
            return Ok(Ownership::Lost);
        }
        match ttl? {
            Duration::ZERO => Err(Error::new(ErrorKind::Unavailable, "its lease is about to be gone")),
            ttl => {
                // One that was released meanwhile is not to be known again.
                self.shared.leases.prolonged(owner, first, ttl, sent);
                Ok(Ownership::held(ttl))
            }
        }
    }
}
