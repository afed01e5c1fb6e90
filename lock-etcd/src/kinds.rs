//! What goes together: claims that arrive, and claims that leave.

use std::sync::Arc;

use etcd_client::proto::PbTxnResponse;
use etcd_client::{Txn, TxnOp};

use crate::clock::wall_micros;
use crate::epoch::Epoch;
use crate::error::foreign;
use crate::group::{Answer, Kind, Part};
use crate::link::{Link, revision};
use crate::steps::{self, Get, Step};

/// Claims arrive. The epoch is raised first, if it must be, and is read. One that skips and is refused writes nothing: it
/// raises the epoch only where it arrives. So, when the epoch is due, many that skip go one by one.
pub(crate) struct Arrivals {
    pub(crate) epoch: Arc<Epoch>,
    /// Where it is.
    pub(crate) name: String,
}

/// What became of one.
pub(crate) struct Arrived {
    pub(crate) answer: PbTxnResponse,
    /// At which revision: the number of a claim that arrived.
    pub(crate) revision: i64,
    pub(crate) epoch: u64,
    /// A token that is not greater must not be granted.
    pub(crate) reached: u64,
}

impl Kind for Arrivals {
    type Answer = Arrived;

    fn together(&self, parts: &[Part]) -> bool {
        queued(parts) || !self.epoch.is_due()
    }

    async fn run(&self, link: &Link, parts: &[Part]) -> Answer<Vec<Arrived>> {
        let raise = self.raise(link).await?;
        let reached = self.epoch.reached();
        let arrived = |answer, revision, epoch| Arrived { answer, revision, epoch, reached };
        if let [part] = parts {
            let (answer, revision, epoch) = self.alone(link, part.clone(), raise).await?;
            return Ok(vec![arrived(answer, revision, epoch)]);
        }
        let raise = raise.filter(|_| queued(parts));
        let raised = usize::from(raise.is_some());
        let all = raise.into_iter().chain([self.read()]);
        let all = all.chain(parts.iter().map(|part| TxnOp::txn(part.step.clone().into())));
        let seen = wall_micros();
        let answer = link.transact(Txn::new().and_then(all.collect::<Vec<_>>())).await?;
        let (revision, epoch) = self.learn(&answer, seen)?;
        Ok(steps::within(answer).skip(raised).map(|answer| arrived(answer, revision, epoch)).collect())
    }
}

impl Arrivals {
    /// What raises the epoch, if it is due. Who has not seen the store lately looks first: it may have been raised, and how
    /// far it has to be depends on the revision.
    async fn raise(&self, link: &Link) -> Answer<Option<TxnOp>> {
        if self.epoch.is_unclear() {
            let (read, seen) = (Get { name: self.name.clone(), options: None }, wall_micros());
            self.learn(&link.transact(steps::read([read])).await?, seen)?;
        }
        Ok(self.epoch.raise(&self.name))
    }

    /// Does one. Where that writes nothing if it is refused, nor does this: no epoch, either.
    async fn alone(
        &self,
        link: &Link,
        Part { step: Step { when, then, or_else }, skips, .. }: Part,
        raise: Option<TxnOp>,
    ) -> Answer<(PbTxnResponse, i64, u64)> {
        let raised = usize::from(raise.is_some());
        let refused = raise.clone().filter(|_| !skips);
        let then = raise.into_iter().chain([self.read()]).chain(then).collect();
        let or_else = refused.into_iter().chain([self.read()]).chain(or_else).collect();
        let seen = wall_micros();
        let mut answer = link.transact(Step { when, then, or_else }).await?;
        let (revision, epoch) = self.learn(&answer, seen)?;
        let first = if answer.succeeded || !skips { raised + 1 } else { 1 };
        answer.responses.drain(..first.min(answer.responses.len()));
        Ok((answer, revision, epoch))
    }

    fn read(&self) -> TxnOp {
        TxnOp::get(&*self.name, None)
    }

    /// At which revision it was, and the epoch, which is the first that it read.
    fn learn(&self, answer: &PbTxnResponse, seen: u64) -> Answer<(i64, u64)> {
        let revision = revision(answer);
        let stored = steps::first(answer).ok_or_else(foreign)?;
        Ok((revision, self.epoch.learn(stored, revision, seen)?))
    }
}

/// Whether there is one among them that writes in any case, be it later: then the epoch may be raised beside them.
fn queued(parts: &[Part]) -> bool {
    parts.iter().any(|part| part.waits)
}

/// Claims leave. Answers whether each was there.
pub(crate) struct Removals;

impl Kind for Removals {
    type Answer = bool;

    fn together(&self, _: &[Part]) -> bool {
        true
    }

    async fn run(&self, link: &Link, parts: &[Part]) -> Answer<Vec<bool>> {
        if let [one] = parts {
            return Ok(vec![link.transact(one.step.clone()).await?.succeeded]);
        }
        let all: Vec<_> = parts.iter().map(|part| TxnOp::txn(part.step.clone().into())).collect();
        let answer = link.transact(Txn::new().and_then(all)).await?;
        Ok(steps::within(answer).map(|answer| answer.succeeded).collect())
    }
}
