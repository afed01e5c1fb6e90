//! What goes together: claims that arrive, and claims that leave.

use std::sync::Arc;

use etcd_client::proto::PbTxnResponse;
use etcd_client::{Txn, TxnOp};

use crate::epoch::Epoch;
use crate::error::foreign;
use crate::group::{Answer, Kind, Part};
use crate::link::{Link, revision};
use crate::steps;

/// Claims arrive. The epoch is raised first, if it must be, and is read.
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

    async fn run(&self, link: &Link, parts: &[Part]) -> Answer<Vec<Arrived>> {
        let (reached, raise) = (self.epoch.reached(), self.epoch.raise(&self.name));
        let raised = usize::from(raise.is_some());
        let all = raise.into_iter().chain([TxnOp::get(&*self.name, None)]);
        let all = all.chain(parts.iter().map(|part| TxnOp::txn(part.txn.clone())));
        let answer = link.transact(Txn::new().and_then(all.collect::<Vec<_>>())).await?;
        let revision = revision(&answer);
        let stored = steps::ranges(answer.clone()).next().ok_or_else(foreign)?;
        let epoch = self.epoch.learn(&stored, revision)?;
        let answers = steps::within(answer).skip(raised);
        Ok(answers.map(|answer| Arrived { answer, revision, epoch, reached }).collect())
    }
}

/// Claims leave. Answers whether each was there.
pub(crate) struct Removals;

impl Kind for Removals {
    type Answer = bool;

    async fn run(&self, link: &Link, parts: &[Part]) -> Answer<Vec<bool>> {
        if let [one] = parts {
            return Ok(vec![link.transact(one.txn.clone()).await?.succeeded]);
        }
        let all: Vec<_> = parts.iter().map(|part| TxnOp::txn(part.txn.clone())).collect();
        let answer = link.transact(Txn::new().and_then(all)).await?;
        Ok(steps::within(answer).map(|answer| answer.succeeded).collect())
    }
}
