//! The steps of the model as transactions.

use etcd_client::proto::{PbRangeResponse, PbTxnOpResponse, PbTxnResponse};
use etcd_client::{Compare, CompareOp, DeleteOptions, GetOptions, PutOptions, Txn, TxnOp};
use lock_core::{Claim, Mode, Result};

use crate::clock::wall_micros;
use crate::error::foreign;
use crate::leases::Lease;
use crate::names::{Place, Range};
use crate::queue::{View, value};

/// The most operations of one transaction, and the most comparisons.
pub(crate) const MOST: usize = 128;

/// On which condition a claim arrives.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// Whoever is ahead: it waits.
    Queue,
    /// If nobody is there with whom it could conflict.
    IfFree,
    /// If nobody with whom it could conflict has come since this revision, at which it had room.
    IfNobodyCameSince(i64),
    /// The same, but other permits may have come: it looks whether there were enough.
    IfNoOtherCameSince(i64),
}

/// Puts a claim on all its keys, at one revision, unless it is there; then, or if the condition does not hold, only looks.
/// Answers the epoch, and the queues, unless it arrived where it had room for certain.
pub(crate) fn arrive(
    claim: &Claim,
    places: &[Place],
    way: Way,
    lease: &Lease,
    epoch: &str,
    raise: Option<TxnOp>,
) -> Txn {
    let mut compares = Vec::with_capacity(2 * places.len());
    for place in places {
        let Range(from, to) = place.queue();
        match (way, claim.mode()) {
            (Way::Queue, _) => compares.push(absent(&place.own)),
            (Way::IfFree, Mode::Shared) => {
                let Range(from, to) = place.unshared();
                compares.push(absent(&place.own));
                compares.push(absent(&from).with_range(to));
            }
            (Way::IfFree, _) => compares.push(absent(&from).with_range(to)),
            (Way::IfNobodyCameSince(revision), Mode::Shared) => {
                let Range(from, to) = place.unshared();
                compares.push(absent(&place.own));
                compares.push(came_before(from, revision).with_range(to));
            }
            (Way::IfNoOtherCameSince(revision), _) => {
                compares.push(absent(&place.own));
                for Range(from, to) in place.unpermitted() {
                    compares.push(came_before(from, revision).with_range(to));
                }
            }
            (Way::IfNobodyCameSince(revision), _) => {
                compares.push(came_before(from, revision).with_range(to));
            }
        }
    }
    let value = value(claim, lease.ttl, 0, wall_micros());
    let put = |place: &Place| TxnOp::put(&*place.own, &*value, Some(PutOptions::new().with_lease(lease.id)));
    let mut then: Vec<_> = raise.into_iter().chain([TxnOp::get(epoch, None)]).collect();
    then.extend(places.iter().map(put));
    if matches!(way, Way::Queue | Way::IfNoOtherCameSince(_)) {
        then.extend(ops(look(places, None)));
    }
    Txn::new().when(compares).and_then(then).or_else(ops(look_with_epoch(places, epoch)))
}

/// A name, or a range, to be read.
#[derive(Clone, Debug)]
pub(crate) struct Get {
    pub(crate) name: String,
    pub(crate) options: Option<GetOptions>,
}

impl From<Get> for TxnOp {
    fn from(get: Get) -> Self {
        Self::get(get.name, get.options)
    }
}

/// Reads the queues: whole, or, for a claim with this number, at least what is ahead of it.
pub(crate) fn look(places: &[Place], number: Option<i64>) -> Vec<Get> {
    let mut gets = Vec::with_capacity(2 * places.len());
    for place in places {
        let Range(from, to) = place.queue();
        let all = GetOptions::new().with_range(to);
        match number {
            None => gets.push(Get { name: from, options: Some(all) }),
            Some(number) => {
                gets.push(Get { name: from, options: Some(all.with_max_create_revision(number)) });
                // A remnant stands where its claim stood, though it was put later.
                let Range(from, to) = place.remnants();
                gets.push(Get { name: from, options: Some(GetOptions::new().with_range(to)) });
            }
        }
    }
    gets
}

/// Reads the epoch, and the queues.
pub(crate) fn look_with_epoch(places: &[Place], epoch: &str) -> Vec<Get> {
    std::iter::once(Get { name: epoch.to_owned(), options: None }).chain(look(places, None)).collect()
}

/// Reads a claim's own names.
pub(crate) fn own(places: &[Place]) -> impl Iterator<Item = Get> {
    places.iter().map(|place| Get { name: place.own.clone(), options: None })
}

/// A transaction that reads.
pub(crate) fn read(gets: impl IntoIterator<Item = Get>) -> Txn {
    Txn::new().and_then(ops(gets))
}

fn ops(gets: impl IntoIterator<Item = Get>) -> Vec<TxnOp> {
    gets.into_iter().map(TxnOp::from).collect()
}

/// What a transaction read, range by range.
pub(crate) fn ranges(answer: PbTxnResponse) -> impl Iterator<Item = PbRangeResponse> {
    answer.responses.into_iter().filter_map(|one| match one.response {
        Some(PbTxnOpResponse::ResponseRange(range)) => Some(range),
        _ => None,
    })
}

/// The queues that [`look`] read.
pub(crate) fn view(ranges: impl Iterator<Item = PbRangeResponse>, places: &[Place]) -> Result<View> {
    let mut ranges: Vec<_> = ranges.map(|range| range.kvs).collect();
    let each = ranges.len() / places.len().max(1);
    if each * places.len() != ranges.len() || each == 0 {
        return Err(foreign());
    }
    let mut ranges = ranges.drain(..);
    let queues = places.iter().map(|_| ranges.by_ref().take(each).flatten().collect());
    View::read(queues.collect(), places)
}

/// Removes a claim, if it is there on all its keys; what is left of one that is not, too.
pub(crate) fn remove(places: &[Place]) -> Txn {
    let there = |place: &Place| Compare::create_revision(&*place.own, CompareOp::Greater, 0);
    let there: Vec<_> = places.iter().map(there).collect();
    Txn::new().when(there).and_then(deletes(places)).or_else(deletes(places))
}

/// Removes a claim with this number and leaves remnants of it, if it is there on all its keys; else reads its own names.
pub(crate) fn keep(claim: &Claim, places: &[Place], number: i64, random: u128, lease: &Lease) -> Txn {
    let there = |place: &Place| Compare::create_revision(&*place.own, CompareOp::Equal, number);
    let there: Vec<_> = places.iter().map(there).collect();
    let value = value(claim, lease.ttl, number, wall_micros());
    let options = || Some(PutOptions::new().with_lease(lease.id));
    let remnant = |place: &Place| TxnOp::put(place.remnant(random), &*value, options());
    let then: Vec<_> = deletes(places).into_iter().chain(places.iter().map(remnant)).collect();
    Txn::new().when(there).and_then(then).or_else(ops(own(places)))
}

/// Removes what is left of a claim that somebody took away in part, unless it has arrived anew.
pub(crate) fn clear(parts: &[(String, i64)]) -> Txn {
    let there = |(name, number): &(String, i64)| Compare::create_revision(&**name, CompareOp::Equal, *number);
    let there: Vec<_> = parts.iter().map(there).collect();
    let deletes: Vec<_> = parts.iter().map(|(name, _)| TxnOp::delete(&**name, None)).collect();
    Txn::new().when(there).and_then(deletes)
}

fn absent(name: &str) -> Compare {
    Compare::create_revision(name, CompareOp::Equal, 0)
}

fn came_before(name: String, revision: i64) -> Compare {
    Compare::mod_revision(name, CompareOp::Less, revision + 1)
}

fn deletes(places: &[Place]) -> Vec<TxnOp> {
    places.iter().map(|place| TxnOp::delete(&*place.own, None::<DeleteOptions>)).collect()
}
