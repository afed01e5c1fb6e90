//! The steps of the model as transactions.

use etcd_client::proto::{PbRangeResponse, PbTxnOpResponse, PbTxnResponse};
use etcd_client::{Compare, CompareOp, GetOptions, PutOptions, Txn, TxnOp};
use lock_core::{Claim, Mode, Result};

use crate::clock::wall_micros;
use crate::error::foreign;
use crate::leases::Lease;
use crate::names::{Form, Place, Range};
use crate::queue::{View, kept, others, value};

/// The most operations of one transaction, and the most comparisons; those of the ones within it count as well.
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

/// Under which names a claim arrives.
#[derive(Clone, Debug)]
pub(crate) enum Under {
    /// The short ones, if nobody has them.
    Short,
    /// The long ones. These are the numbers of those who had the short ones, or zero: if there is anybody else now, it may
    /// be the claim itself.
    Long(Vec<i64>),
}

impl Under {
    pub(crate) fn form(&self) -> Form {
        match self {
            Self::Short => Form::Short,
            Self::Long(_) => Form::Long,
        }
    }

    /// What has to be so on this key for the claim to be on none of its names, and its name to be free.
    fn absent(&self, at: usize, place: &Place) -> [Compare; 2] {
        let taken = match self {
            Self::Short => 0,
            Self::Long(taken) => taken.get(at).copied().unwrap_or(0),
        };
        let short = Compare::create_revision(place.own(Form::Short), CompareOp::Equal, taken);
        [short, absent(place.own(Form::Long))]
    }
}

/// A transaction, to which something may yet be added.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) when: Vec<Compare>,
    pub(crate) then: Vec<TxnOp>,
    pub(crate) or_else: Vec<TxnOp>,
}

impl From<Step> for Txn {
    fn from(Step { when, then, or_else }: Step) -> Self {
        Self::new().when(when).and_then(then).or_else(or_else)
    }
}

/// Puts a claim on all its keys, at one revision, unless it is there; then, or if the condition does not hold, only looks.
/// Answers the queues, unless it arrived where it had room for certain.
pub(crate) fn arrive(
    claim: &Claim,
    places: &[Place],
    way: Way,
    under: &Under,
    lease: &Lease,
    (nth, floor): (u64, u64),
) -> Step {
    let value = value(claim, lease.ttl, nth, wall_micros(), floor);
    let options = || Some(PutOptions::new().with_lease(lease.id));
    let put = |place: &Place, form| TxnOp::put(place.own(form), &*value, options());
    let puts = || places.iter().map(|place| put(place, under.form()));
    let looks = || ops(look(places, None));
    let free = || places.iter().enumerate().flat_map(|(at, place)| under.absent(at, place));
    let none = |Range(from, to): Range| absent(&from).with_range(to);
    let before =
        |Range(from, to): Range, at| Compare::mod_revision(from, CompareOp::Less, at + 1).with_range(to);
    let (when, then): (Vec<_>, Vec<_>) = match (way, claim.mode()) {
        (Way::Queue, _) => {
            let or_else = match (places, under) {
                ([place], Under::Short) => beside(claim, place, put(place, Form::Long), looks),
                _ => looks(),
            };
            return Step { when: free().collect(), then: puts().chain(looks()).collect(), or_else };
        }
        (Way::IfFree, Mode::Shared) => {
            (places.iter().map(|place| none(place.unshared())).chain(free()).collect(), puts().collect())
        }
        (Way::IfFree, _) => (places.iter().map(|place| none(place.queue())).collect(), puts().collect()),
        (Way::IfNobodyCameSince(revision), Mode::Shared) => {
            let nobody = places.iter().map(|place| before(place.unshared(), revision));
            (nobody.chain(free()).collect(), puts().collect())
        }
        (Way::IfNobodyCameSince(revision), _) => {
            let nobody = places.iter().map(|place| before(place.queue(), revision));
            (nobody.chain(free()).collect(), puts().collect())
        }
        (Way::IfNoOtherCameSince(revision), _) => {
            let others = places.iter().flat_map(Place::unpermitted);
            let nobody = others.map(|range| before(range, revision));
            (nobody.chain(free()).collect(), puts().chain(looks()).collect())
        }
    };
    Step { when, then, or_else: looks() }
}

/// Puts a claim under its long name on its key if the short one is another's; else only looks. An owner is less or greater
/// than another, and the store has no comparison for either.
fn beside(claim: &Claim, place: &Place, put: TxnOp, looks: impl Fn() -> Vec<TxnOp>) -> Vec<TxnOp> {
    others(claim.owner()).into_iter().fold(looks(), |or_else, [from, to]| {
        let short = |op, bound| Compare::value(place.own(Form::Short), op, bound);
        let other = [short(CompareOp::Greater, from), short(CompareOp::Less, to)];
        let when = other.into_iter().chain([absent(place.own(Form::Long))]).collect();
        let then = std::iter::once(put.clone()).chain(looks()).collect();
        vec![TxnOp::txn(Step { when, then, or_else }.into())]
    })
}

/// Whether a claim arrived, and the queues, if they were read.
pub(crate) fn arrived(answer: PbTxnResponse, places: &[Place]) -> Result<(bool, Option<View>)> {
    let (mut arrived, mut read, mut next) = (false, Vec::new(), Some(answer));
    while let Some(answer) = next.take() {
        arrived = answer.succeeded;
        for one in answer.responses.into_iter().filter_map(|one| one.response) {
            match one {
                PbTxnOpResponse::ResponseRange(range) => read.push(range),
                // It did not come as it was to, and there was another way.
                PbTxnOpResponse::ResponseTxn(txn) => next = Some(txn),
                _ => {}
            }
        }
    }
    let view = if read.is_empty() { None } else { Some(view(read.into_iter(), places)?) };
    Ok((arrived, view))
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

/// Reads a claim's names in one form.
pub(crate) fn own(places: &[Place], form: Form) -> impl Iterator<Item = Get> {
    places.iter().map(move |place| Get { name: place.own(form).to_owned(), options: None })
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

/// The first range that a transaction read.
pub(crate) fn first(answer: &PbTxnResponse) -> Option<&PbRangeResponse> {
    answer.responses.iter().find_map(|one| match &one.response {
        Some(PbTxnOpResponse::ResponseRange(range)) => Some(range),
        _ => None,
    })
}

/// The answers of the transactions within one.
pub(crate) fn within(answer: PbTxnResponse) -> impl Iterator<Item = PbTxnResponse> {
    answer.responses.into_iter().filter_map(|one| match one.response {
        Some(PbTxnOpResponse::ResponseTxn(txn)) => Some(txn),
        _ => None,
    })
}

/// The queues that [`look`] read.
pub(crate) fn view(ranges: impl Iterator<Item = PbRangeResponse>, places: &[Place]) -> Result<View> {
    let ranges: Vec<_> = ranges.collect();
    let seen = ranges.iter().filter_map(|range| Some(range.header.as_ref()?.revision)).min().unwrap_or(0);
    let mut ranges: Vec<_> = ranges.into_iter().map(|range| range.kvs).collect();
    let each = ranges.len() / places.len().max(1);
    if each * places.len() != ranges.len() || each == 0 {
        return Err(foreign());
    }
    let mut ranges = ranges.drain(..);
    let queues = places.iter().map(|_| ranges.by_ref().take(each).flatten().collect());
    View::read(queues.collect(), places, seen)
}

/// Removes a claim with this number.
pub(crate) fn remove(places: &[Place], form: Form, number: i64) -> Step {
    Step { when: there(places, form, number), then: deletes(places, form), or_else: Vec::new() }
}

/// Removes a claim with this number and leaves remnants of it.
pub(crate) fn keep(
    claim: &Claim,
    places: &[Place],
    form: Form,
    number: i64,
    random: u128,
    lease: &Lease,
) -> Step {
    let value = kept(claim, lease.ttl, number, wall_micros(), random);
    let options = || Some(PutOptions::new().with_lease(lease.id));
    let remnant = |place: &Place| TxnOp::put(place.remnant(random), &*value, options());
    let then = deletes(places, form).into_iter().chain(places.iter().map(remnant)).collect();
    Step { when: there(places, form, number), then, or_else: Vec::new() }
}

/// Removes what is left of a claim that somebody took away in part, unless it has arrived anew.
pub(crate) fn clear(parts: &[(Vec<u8>, i64)]) -> Txn {
    let there =
        |(name, number): &(Vec<u8>, i64)| Compare::create_revision(&**name, CompareOp::Equal, *number);
    let there: Vec<_> = parts.iter().map(there).collect();
    let deletes: Vec<_> = parts.iter().map(|(name, _)| TxnOp::delete(&**name, None)).collect();
    Txn::new().when(there).and_then(deletes)
}

fn absent(name: &str) -> Compare {
    Compare::create_revision(name, CompareOp::Equal, 0)
}

fn there(places: &[Place], form: Form, number: i64) -> Vec<Compare> {
    let there = |place: &Place| Compare::create_revision(place.own(form), CompareOp::Equal, number);
    places.iter().map(there).collect()
}

fn deletes(places: &[Place], form: Form) -> Vec<TxnOp> {
    places.iter().map(|place| TxnOp::delete(place.own(form), None)).collect()
}
