//! The leases of claims, and spare ones: taking a free lock with a spare lease is one write.
//!
//! A lease that a claim had is a spare one again after the release, if nothing of the claim can come back with it: every
//! request that carried it was answered. All others lapse by themselves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lock_core::Owner;

use crate::clock::Moment;
use crate::names::Form;
use crate::queue::{Entry, Wait};

/// The most spare leases of one ttl. Beyond them, leases lapse.
const SPARES: usize = 256;

/// A lease of the store.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) id: i64,
    /// The ttl that was asked for.
    pub(crate) seconds: i64,
    /// The ttl that the store gave.
    pub(crate) ttl: Duration,
    /// When it was last renewed, or granted: before the request was sent.
    pub(crate) renewed: Moment,
}

/// What this client knows of a claim that is in the store. It may have gone since: a look tells.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) number: i64,
    pub(crate) nth: u64,
    pub(crate) form: Form,
    /// The epoch when it arrived.
    pub(crate) epoch: u64,
    pub(crate) lease: i64,
    pub(crate) ttl: Duration,
    /// When it was last renewed, or arrived: before the request was sent.
    pub(crate) renewed: Moment,
    /// When there was an answer. A lease that is about to be revoked may seem renewed: only a look that was sent after this
    /// tells whether the claim was there to be renewed.
    pub(crate) answered: Moment,
    /// It holds nothing with a token that is not greater.
    pub(crate) floor: u64,
    /// Nothing but the claim that is in the store was ever put with this lease.
    pub(crate) clean: bool,
    /// Whom it waits for, if it was refused and not granted since.
    pub(crate) wait: Option<Arc<Wait>>,
    /// A look found that its turn has come, and nobody has been told.
    pub(crate) come: bool,
}

/// What a client and its forks remember.
#[derive(Debug, Default)]
pub(crate) struct Leases(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    spares: HashMap<i64, Vec<Lease>>,
    claims: HashMap<Owner, Known>,
    /// When there are so many claims, those that lapsed without a release are forgotten.
    sweep: usize,
}

impl Lease {
    /// How long it is certain to last, from `from` on.
    pub(crate) fn left(&self, from: Moment) -> Duration {
        (self.renewed + self.ttl).since(from)
    }

    /// Whether it should be renewed before it is used.
    pub(crate) fn aged(&self) -> bool {
        self.left(Moment::now()) * 4 < self.ttl * 3
    }
}

impl Known {
    /// Whether it is this one.
    pub(crate) fn is(&self, entry: &Entry) -> bool {
        (self.number, self.lease) == (entry.number, entry.lease)
    }

    /// How long the claim is certain to last, from `from` on, unless somebody takes it away.
    pub(crate) fn left(&self, from: Moment) -> Duration {
        (self.renewed + self.ttl).since(from)
    }
}

impl Leases {
    /// A spare lease that has not lapsed. It is the taker's alone.
    pub(crate) fn take(&self, seconds: i64) -> Option<Lease> {
        let mut memory = self.memory();
        let spares = memory.spares.get_mut(&seconds)?;
        let now = Moment::now();
        let lease = std::iter::from_fn(|| spares.pop()).find(|lease| !lease.left(now).is_zero());
        if spares.is_empty() {
            memory.spares.remove(&seconds);
        }
        lease
    }

    /// A lease with which nothing is in the store, nor can be by a request under way.
    pub(crate) fn put(&self, lease: Lease) {
        let mut memory = self.memory();
        let spares = memory.spares.entry(lease.seconds).or_default();
        if spares.len() < SPARES {
            spares.push(lease);
        }
    }

    pub(crate) fn known(&self, owner: Owner) -> Option<Known> {
        self.memory().claims.get(&owner).cloned()
    }

    pub(crate) fn remember(&self, owner: Owner, known: Known) {
        let mut memory = self.memory();
        memory.claims.insert(owner, known);
        if memory.claims.len() > memory.sweep {
            let now = Moment::now();
            memory.claims.retain(|_, known| !known.left(now).is_zero());
            memory.sweep = (2 * memory.claims.len()).max(1024);
        }
    }

    /// Takes note that the lease of a claim was renewed, by a request sent at `sent`. Answers whether it is a known one.
    pub(crate) fn prolonged(&self, owner: Owner, entry: &Entry, ttl: Duration, sent: Moment) -> bool {
        let mut memory = self.memory();
        let Some(known) = memory.claims.get_mut(&owner).filter(|known| known.is(entry)) else { return false };
        known.renewed = known.renewed.max(sent);
        (known.ttl, known.answered, known.come) = (ttl, Moment::now(), false);
        true
    }

    /// The same; a claim that was not known is known from now on.
    pub(crate) fn renewed(&self, owner: Owner, entry: &Entry, epoch: u64, ttl: Duration, sent: Moment) {
        if self.prolonged(owner, entry, ttl, sent) {
            return;
        }
        let Entry { number, nth, form, lease, floor, .. } = *entry;
        // Who put it, and what is still under way with its lease, is not known.
        self.remember(
            owner,
            Known {
                number,
                nth,
                form,
                epoch,
                lease,
                ttl,
                renewed: sent,
                answered: Moment::now(),
                floor,
                clean: false,
                wait: None,
                come: false,
            },
        );
    }

    /// Takes note of whom a refused claim waits for.
    pub(crate) fn refused(&self, owner: Owner, wait: Wait) {
        if let Some(known) = self.memory().claims.get_mut(&owner) {
            known.wait = Some(Arc::new(wait));
        }
    }

    /// Takes note that the turn of a claim has come that was refused: a look that was sent at `sent` saw it in its place, with
    /// nobody in its way. Nobody can get in its way any more, as long as it is there.
    pub(crate) fn come(&self, owner: Owner, entry: &Entry, sent: Moment) {
        if let Some(known) = self.memory().claims.get_mut(&owner) {
            known.come = known.wait.is_some() && known.is(entry) && known.answered < sent;
        }
    }

    /// Takes note that a claim was granted: what a look sees after that is no news.
    pub(crate) fn granted(&self, owner: Owner) {
        if let Some(known) = self.memory().claims.get_mut(&owner) {
            (known.wait, known.come) = (None, false);
        }
    }

    /// Takes note that a claim went from its place, or came anew.
    pub(crate) fn gone(&self, owner: Owner) {
        if let Some(known) = self.memory().claims.get_mut(&owner) {
            known.come = false;
        }
    }

    /// The claim, if its turn has come: once, for who asks again wants to know how it is now. Where a third of its ttl has
    /// passed, a look renews it, and finds out whether a pause of this process has lost it.
    pub(crate) fn turn(&self, owner: Owner, from: Moment) -> Option<Known> {
        let mut memory = self.memory();
        let known = memory.claims.get_mut(&owner).filter(|known| known.come)?;
        known.come = false;
        (known.left(from) * 3 >= known.ttl * 2).then(|| known.clone())
    }

    pub(crate) fn forget(&self, owner: Owner) -> Option<Known> {
        self.memory().claims.remove(&owner)
    }

    /// Keeps the lease of a claim that was removed from the store for the next one.
    pub(crate) fn freed(&self, known: &Known, seconds: i64) {
        if let Known { lease, ttl, renewed, clean: true, .. } = *known {
            self.put(Lease { id: lease, seconds, ttl, renewed });
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use etcd_client::proto::PbKeyValue;
    use lock_core::{Claim, Mode};

    use super::*;
    use crate::names::Names;
    use crate::queue::{Turn, value};

    const TTL: Duration = Duration::from_secs(600);

    /// A claim that is in the store, last renewed at that moment.
    fn claim(renewed: Moment) -> (Leases, Owner, Entry) {
        let claim = Claim::new("a", Mode::Exclusive, TTL).expect("a valid claim");
        let place = Names::new("lock").expect("a plain prefix").places(&claim).remove(0);
        let stored = PbKeyValue {
            key: place.own(Form::Short).into(),
            value: value(&claim, TTL, 0, 0, 0).into(),
            create_revision: 7,
            lease: 9,
            ..PbKeyValue::default()
        };
        let entry = Entry::read(stored, &place).expect("an entry");
        let leases = Leases::default();
        leases.renewed(claim.owner(), &entry, 0, TTL, renewed);
        leases.refused(claim.owner(), refusal());
        (leases, claim.owner(), entry)
    }

    fn refusal() -> Wait {
        Wait { turn: Turn::Others, behind: Vec::new(), lapse: TTL, left: 0, seen: 9 }
    }

    #[test]
    fn a_turn_is_told_once_and_not_of_a_look_before_the_last_renewal() {
        let start = Moment::now();
        let (leases, owner, entry) = claim(start);
        let turn = || leases.turn(owner, start).is_some();
        // Of a look that is sent now.
        let come = || leases.come(owner, &entry, Moment::now() + Duration::from_nanos(1));
        assert!(!turn(), "nobody has looked");
        come();
        assert!(turn() && !turn());
        come();
        let sent = Moment::now();
        leases.renewed(owner, &entry, 0, TTL, start);
        assert!(!turn(), "it was renewed since");
        leases.come(owner, &entry, sent);
        assert!(!turn(), "the renewal was sent before the look, and answered after it");
        come();
        assert!(turn(), "the look was sent after the answer");
        let mut another = entry.clone();
        another.lease += 1;
        leases.come(owner, &another, Moment::now() + Duration::from_nanos(1));
        assert!(!turn(), "it is not the one that is known");
        come();
        leases.granted(owner);
        assert!(!turn(), "it was granted");
        come();
        assert!(!turn(), "it was granted, and not refused since");
        leases.refused(owner, refusal());
        come();
        assert!(turn(), "it was refused again");
    }

    #[test]
    fn what_was_released_during_its_renewal_is_not_known_again() {
        let start = Moment::now();
        let (leases, owner, entry) = claim(start);
        assert!(leases.prolonged(owner, &entry, TTL, start));
        leases.forget(owner);
        assert!(!leases.prolonged(owner, &entry, TTL, start));
        assert!(leases.known(owner).is_none());
    }
}
