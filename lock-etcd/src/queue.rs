//! What is stored of a claim, and what follows from a key's queue: who has room, and whom to wait for.

use std::time::Duration;

use etcd_client::proto::PbKeyValue;
use lock_core::{Claim, Mode, Owner, Result, Room, Token};

use crate::epoch::STEP;
use crate::error::foreign;
use crate::names::{Form, Place};
use crate::steps::Under;

/// A claim, or what a release kept of one, on one key. Its value is a line of text, for people who inspect:
/// `1 OWNER MODE TTL NUMBER ARRIVED FLOOR LABEL`; the first word is the version of this format.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) form: Form,
    /// A remnant's is nobody.
    owner: u128,
    /// The revision at which it arrived: its position in every queue.
    pub(crate) number: i64,
    /// Which it is of the claims that arrived then, on different keys.
    pub(crate) nth: u64,
    pub(crate) mode: Mode,
    pub(crate) remnant: bool,
    /// How long it lasts after a renewal.
    pub(crate) ttl: Duration,
    pub(crate) lease: i64,
    /// The greatest token that there was when it was put: its own must be greater.
    pub(crate) floor: u64,
}

/// The value of a claim. Its number is its revision, which is not known yet; instead of it, which it is of those that
/// arrive with it.
pub(crate) fn value(claim: &Claim, ttl: Duration, nth: u64, arrived: u64, floor: u64) -> String {
    line(claim, ttl, nth, arrived, floor, &claim.owner().to_hex())
}

/// What the values of other owners' claims lie between: of those who are less, and of those who are greater.
pub(crate) fn others(owner: Owner) -> [[String; 2]; 2] {
    let owner = owner.to_hex();
    // '!' is what follows a space.
    [["1 ".to_owned(), format!("1 {owner} ")], [format!("1 {owner}!"), "1!".to_owned()]]
}

/// The value of a remnant, which brings its number along.
pub(crate) fn kept(claim: &Claim, ttl: Duration, number: i64, arrived: u64, random: u128) -> String {
    line(claim, ttl, number.unsigned_abs(), arrived, 0, &format!("{random:032x}"))
}

fn line(claim: &Claim, ttl: Duration, number: u64, arrived: u64, floor: u64, owner: &str) -> String {
    let mode = match claim.mode() {
        Mode::Shared => "shared".to_owned(),
        Mode::Permit { of } => of.to_string(),
        _ => "exclusive".to_owned(),
    };
    format!("1 {owner} {mode} {} {number} {arrived} {floor} {}", ttl.as_secs(), claim.label())
}

impl Entry {
    pub(crate) fn read(stored: PbKeyValue, place: &Place) -> Result<Self> {
        Self::parse(stored, place).ok_or_else(foreign)
    }

    fn parse(stored: PbKeyValue, place: &Place) -> Option<Self> {
        let (form, remnant) = place.form(&stored.key)?;
        let mut words = str::from_utf8(&stored.value).ok()?.splitn(8, ' ');
        if words.next()? != "1" || stored.lease == 0 {
            return None;
        }
        let owner = words.next().filter(|owner| owner.len() == 32)?;
        let owner = u128::from_str_radix(owner, 16).ok()?;
        let mode = match words.next()? {
            "exclusive" => Mode::Exclusive,
            "shared" => Mode::Shared,
            of => Mode::permit_of(of.parse().ok()?).ok()?,
        };
        let ttl = Duration::from_secs(words.next()?.parse().ok()?);
        let nth: u64 = words.next()?.parse().ok()?;
        let number = if remnant { i64::try_from(nth).ok()? } else { stored.create_revision };
        if !remnant && nth >= STEP {
            return None;
        }
        let _arrived: u64 = words.next()?.parse().ok()?;
        let floor = words.next()?.parse().ok().filter(|floor| *floor < Token::LIMIT)?;
        let (name, lease) = (stored.key, stored.lease);
        Some(Self { name, form, owner, number, nth, mode, remnant, ttl, lease, floor })
    }

    /// Whether this is a claim of that owner.
    pub(crate) fn is_of(&self, owner: Owner) -> bool {
        self.owner == u128::from_be_bytes(owner.to_bytes()) && !self.remnant
    }
}

/// The queues of a claim's keys as they stood at one revision; of each, at least what is ahead of the claim.
#[derive(Debug)]
pub(crate) struct View {
    /// Oldest first.
    queues: Vec<Vec<Entry>>,
    /// The revision.
    pub(crate) seen: i64,
}

/// Whether a claim is there.
#[derive(Debug)]
pub(crate) enum Mine {
    Here(Entry),
    Absent,
    /// On some of its keys, with these names and numbers: somebody deleted it on the others, and they may be held by now.
    Partly(Vec<(Vec<u8>, i64)>),
}

impl Mine {
    /// From what there is of a claim on each of its keys.
    pub(crate) fn from(own: Vec<Option<&Entry>>) -> Self {
        let Some(first) = own.iter().flatten().next() else { return Self::Absent };
        if own.iter().all(|entry| entry.is_some_and(|entry| entry.number == first.number)) {
            return Self::Here((*first).clone());
        }
        Self::Partly(own.into_iter().flatten().map(|entry| (entry.name.clone(), entry.number)).collect())
    }
}

/// What a claim has to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Turn {
    Others,
    /// What releases kept, and nobody else.
    Remnants,
    /// Nothing: it holds.
    Now,
}

/// Whom a claim waits for.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(crate) turn: Turn,
    /// While all of these are there, its turn does not come.
    pub(crate) behind: Vec<Vec<u8>>,
    /// When the first claim ahead that conflicts lapses at the latest, if nobody renews it.
    pub(crate) lapse: Duration,
    /// How many permits are left, of those that are held or waited for on each key.
    pub(crate) left: usize,
    /// The revision at which that was so.
    pub(crate) seen: i64,
}

impl View {
    /// From what was stored in each queue at a revision, in any order; a name may come twice.
    pub(crate) fn read(stored: Vec<Vec<PbKeyValue>>, places: &[Place], seen: i64) -> Result<Self> {
        let queue = |(stored, place): (Vec<PbKeyValue>, &Place)| {
            let entries: Result<Vec<_>> = stored.into_iter().map(|one| Entry::read(one, place)).collect();
            entries.map(|mut entries| {
                entries.sort_unstable_by(|a, b| (a.number, &a.name).cmp(&(b.number, &b.name)));
                entries.dedup_by(|a, b| a.name == b.name);
                entries
            })
        };
        Ok(Self { queues: stored.into_iter().zip(places).map(queue).collect::<Result<_>>()?, seen })
    }

    pub(crate) fn mine(&self, owner: Owner) -> Mine {
        let own = self.queues.iter().map(|queue| queue.iter().find(|entry| entry.is_of(owner)));
        Mine::from(own.collect())
    }

    /// Whether anybody else is there.
    pub(crate) fn others(&self, owner: Owner) -> bool {
        self.queues.iter().flatten().any(|entry| !entry.is_of(owner))
    }

    /// Under which names a claim can come that is not there.
    pub(crate) fn under(&self, places: &[Place]) -> Under {
        let taken = |(queue, place): (&Vec<Entry>, &Place)| {
            let other = queue.iter().find(|entry| entry.name == place.own(Form::Short).as_bytes());
            other.map_or(0, |entry| entry.number)
        };
        let taken: Vec<_> = self.queues.iter().zip(places).map(taken).collect();
        if taken.iter().all(|number| *number == 0) { Under::Short } else { Under::Long(taken) }
    }

    /// What a claim of this mode with this number waits for; a newcomer's number is greater than all.
    pub(crate) fn wait(&self, mode: Mode, number: i64) -> Wait {
        let ahead = |queue: &'_ Vec<Entry>| queue.partition_point(|entry| entry.number < number);
        let queues: Vec<_> = self.queues.iter().map(|queue| &queue[..ahead(queue)]).collect();
        let full: Vec<_> = queues.iter().copied().filter(|queue| !fits(queue, mode, |_| true)).collect();
        let taken: Vec<_> =
            queues.iter().copied().filter(|queue| !fits(queue, mode, |e| !e.remnant)).collect();
        let conflicting = full.iter().copied().flatten().filter(|entry| conflict(entry.mode, mode));
        let lapse = conflicting.map(|entry| entry.ttl).min().unwrap_or_default();
        // One queue without room is enough to wait for: without it, there is no turn. Remnants lapse by themselves, and
        // as long as somebody else is in the way nothing is to be learned from them.
        let (turn, behind) = match (taken.first(), full.first()) {
            (Some(queue), _) => (Turn::Others, last(queue, mode, |entry| !entry.remnant)),
            (None, Some(queue)) => (Turn::Remnants, last(queue, mode, |_| true)),
            (None, None) => (Turn::Now, Vec::new()),
        };
        let left = queues.iter().map(|queue| left(queue, mode)).min().unwrap_or(0);
        Wait { turn, behind, lapse, left, seen: self.seen }
    }
}

fn fits(ahead: &[Entry], mode: Mode, counts: impl Fn(&Entry) -> bool) -> bool {
    let mut room = Room::default();
    for entry in ahead.iter().filter(|entry| counts(entry)) {
        room.add(entry.mode);
    }
    room.fits(mode)
}

fn conflict(one: Mode, other: Mode) -> bool {
    one != Mode::Shared || other != Mode::Shared
}

/// How many permits of a key are left; none where there is anything else, or for what is no permit.
fn left(ahead: &[Entry], mode: Mode) -> usize {
    let all = ahead.iter().map(|entry| permits(entry.mode)).chain([permits(mode)]);
    let of = all.reduce(|one, other| Some(one?.min(other?))).flatten();
    of.unwrap_or(0).saturating_sub(ahead.len())
}

/// How many permits there are, by the account of one.
fn permits(mode: Mode) -> Option<usize> {
    match mode {
        Mode::Permit { of } => usize::try_from(of.get()).ok(),
        _ => None,
    }
}

/// The last ones ahead of which at least one has to go: the one just ahead that conflicts, or, among permits, as many of
/// the last as fill the key.
fn last(ahead: &[Entry], mode: Mode, counts: impl Fn(&Entry) -> bool) -> Vec<Vec<u8>> {
    let counted: Vec<_> = ahead.iter().filter(|entry| counts(entry)).collect();
    // To a permit, other permits are in the way only as a number; what is none is in the way by itself.
    let numbered = permits(mode).filter(|_| counted.iter().all(|entry| permits(entry.mode).is_some()));
    let size =
        numbered.map_or(1, |of| counted.iter().filter_map(|entry| permits(entry.mode)).fold(of, usize::min));
    let blocks = |entry: &&&Entry| match (permits(mode), permits(entry.mode)) {
        (Some(_), Some(_)) => numbered.is_some(),
        _ => conflict(entry.mode, mode),
    };
    counted.iter().rev().filter(blocks).take(size).map(|entry| entry.name.clone()).collect()
}

#[cfg(test)]
mod tests;
