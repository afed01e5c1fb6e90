//! The reference store: the model, in one process's memory.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::{Moment, wall_micros};
use crate::{
    Attempt, Backend, Bells, Busy, Claim, Grant, Key, Mode, Owner, Ownership, Profile, Result, Room, Token,
    Wakeups,
};

/// A store in memory: exclusive among the tasks and threads of one process, for tests and for services of one
/// process.
///
/// Clones are the same store.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> lock_core::Result<()> {
/// use lock_core::{Locker, Memory};
///
/// let store = Memory::new();
/// let (here, there) = (Locker::new(store.clone()), Locker::new(store));
/// let guard = here.lock("a").acquire().await?;
/// assert!(there.lock("a").try_acquire().await?.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Memory {
    queues: Arc<Mutex<Queues>>,
    bells: Bells,
}

#[derive(Debug)]
struct Queues {
    last: u64,
    /// Everything held or queued, by arrival.
    claims: BTreeMap<u64, Entry>,
    /// The arrivals on each key, oldest first; no key is kept without one.
    keys: HashMap<Key, VecDeque<u64>>,
    owners: HashMap<Owner, u64>,
    lapses: BTreeSet<(Moment, u64)>,
}

/// How many of those just ahead are looked at, at least, for one that may be dead: who comes to a long queue must not cost more
/// than one who comes to a short one.
const NEAREST: usize = 16;

#[derive(Debug)]
struct Entry {
    claim: Claim,
    expires: Moment,
    /// What a release kept: nobody's claim any more.
    remnant: bool,
}

impl Memory {
    /// An empty store.
    ///
    /// ```
    /// let store = lock_core::Memory::new();
    /// assert!(store.is_empty());
    /// ```
    pub fn new() -> Self {
        let queues = Queues {
            last: wall_micros(),
            claims: BTreeMap::new(),
            keys: HashMap::new(),
            owners: HashMap::new(),
            lapses: BTreeSet::new(),
        };
        Self { queues: Arc::new(Mutex::new(queues)), bells: Bells::default() }
    }

    /// Whether nothing is held, queued or cooling down.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> lock_core::Result<()> {
    /// # use lock_core::{Locker, Memory};
    /// let store = Memory::new();
    /// let guard = Locker::new(store.clone()).lock("a").acquire().await?;
    /// assert!(!store.is_empty());
    /// guard.release().await?;
    /// assert!(store.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_empty(&self) -> bool {
        self.queues(Moment::now()).claims.is_empty()
    }

    /// The store as it is now: without what has lapsed.
    fn queues(&self, now: Moment) -> MutexGuard<'_, Queues> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((_, number)) = queues.lapses.first().copied().filter(|(expires, _)| *expires <= now) {
            queues.remove(number);
        }
        queues
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Queues {
    fn add(&mut self, claim: &Claim, expires: Moment) -> u64 {
        self.last += 1;
        for key in claim.keys() {
            self.keys.entry(key.clone()).or_default().push_back(self.last);
        }
        self.owners.insert(claim.owner(), self.last);
        self.lapses.insert((expires, self.last));
        self.claims.insert(self.last, Entry { claim: claim.clone(), expires, remnant: false });
        self.last
    }

    fn remove(&mut self, number: u64) {
        let Some(entry) = self.claims.remove(&number) else { return };
        self.lapses.remove(&(entry.expires, number));
        // A remnant's owner may have asked again since.
        if self.owners.get(&entry.claim.owner()) == Some(&number) {
            self.owners.remove(&entry.claim.owner());
        }
        for key in entry.claim.keys() {
            if let Some(queue) = self.keys.get_mut(key) {
                if let Ok(at) = queue.binary_search(&number) {
                    queue.remove(at);
                }
                if queue.is_empty() {
                    self.keys.remove(key);
                }
            }
        }
    }

    fn expire(&mut self, number: u64, expires: Moment) {
        if let Some(entry) = self.claims.get_mut(&number) {
            self.lapses.remove(&(entry.expires, number));
            self.lapses.insert((expires, number));
            entry.expires = expires;
        }
    }

    /// Those ahead of `number` on a key, oldest first.
    fn ahead(&self, key: &Key, number: u64) -> impl DoubleEndedIterator<Item = (u64, &Entry)> {
        let queue = self.keys.get(key).into_iter();
        let ahead =
            queue.flat_map(move |queue| queue.range(..queue.partition_point(|other| *other < number)));
        ahead.map(|other| (*other, &self.claims[other]))
    }

    /// Whether there is room on a key behind those ahead of `number` that count.
    fn has_room(&self, key: &Key, mode: Mode, number: u64, counts: impl Fn(u64, &Entry) -> bool) -> bool {
        let mut room = Room::default();
        for (_, entry) in self.ahead(key, number).filter(|(other, entry)| counts(*other, entry)) {
            // Behind one that has no room nobody has any: a long queue costs no more than its holders.
            if !room.fits(entry.claim.mode()) {
                return false;
            }
            room.add(entry.claim.mode());
        }
        room.fits(mode)
    }

    fn fits(&self, claim: &Claim, number: u64) -> bool {
        claim.keys().iter().all(|key| self.has_room(key, claim.mode(), number, |_, _| true))
    }

    /// When the first claim ahead that conflicts lapses on a key that has no room.
    fn first_lapse(&self, claim: &Claim, number: u64) -> Option<Moment> {
        let full = claim.keys().iter().filter(|key| !self.has_room(key, claim.mode(), number, |_, _| true));
        full.flat_map(|key| self.in_the_way(key, claim.mode(), number)).map(|entry| entry.expires).min()
    }

    /// Of those ahead of `number` that conflict, the oldest and the nearest: so many that there is no room behind them.
    fn in_the_way(&self, key: &Key, mode: Mode, number: u64) -> impl Iterator<Item = &Entry> {
        let conflict = move |entry: &&Entry| mode != Mode::Shared || entry.claim.mode() != Mode::Shared;
        let ahead = move || self.ahead(key, number).map(|(_, entry)| entry).filter(conflict);
        let (mut room, mut seen) = (Room::default(), 0);
        let nearest = ahead().rev().take_while(move |entry| {
            let more = seen < NEAREST || room.fits(mode);
            room.add(entry.claim.mode());
            seen += 1;
            more
        });
        nearest.chain(ahead().next())
    }

    /// The claims whose turn it is once `number` is gone, and not before; be it with the remnants that there are, or
    /// as if those were gone too: they lapse by themselves, and only a look tells when.
    fn next(&self, number: u64) -> impl Iterator<Item = &Claim> {
        let keys = self.claims[&number].claim.keys();
        let turns = |remnants: bool| {
            let counts = move |other: u64, entry: &Entry| other != number && (remnants || !entry.remnant);
            keys.iter().flat_map(move |key| {
                self.freed(key, number, remnants).into_iter().filter(move |other| {
                    let claim = &self.claims[other].claim;
                    let mut elsewhere = claim.keys().iter().filter(|own| *own != key);
                    elsewhere.all(|own| self.has_room(own, claim.mode(), *other, counts))
                })
            })
        };
        let turns: BTreeSet<_> = turns(true).chain(turns(false)).collect();
        turns.into_iter().map(|other| &self.claims[&other].claim)
    }

    /// Those who have room on a key once `number` is gone, and not before; with the remnants there, or without.
    fn freed(&self, key: &Key, number: u64, remnants: bool) -> Vec<u64> {
        let (mut with, mut without, mut freed) = (Room::default(), Room::default(), Vec::new());
        for (other, entry) in self.ahead(key, u64::MAX).filter(|(_, entry)| remnants || !entry.remnant) {
            let mode = entry.claim.mode();
            if other != number {
                // Nobody behind it has room, either.
                if !without.fits(mode) {
                    break;
                }
                if !with.fits(mode) && !entry.remnant {
                    freed.push(other);
                }
                without.add(mode);
            }
            with.add(mode);
        }
        freed
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for Memory {
    fn profile(&self) -> Profile {
        Profile::new("memory")
    }

    async fn acquire(&self, claim: &Claim) -> Result<Attempt> {
        let now = Moment::now();
        let mut queues = self.queues(now);
        let expires = now + claim.ttl();
        let arrived = queues.owners.get(&claim.owner()).copied();
        let fits = queues.fits(claim, arrived.unwrap_or(u64::MAX));
        let number = match arrived {
            Some(number) => {
                queues.expire(number, expires);
                number
            }
            None if fits || claim.waits() => queues.add(claim, expires),
            None => u64::MAX,
        };
        if fits {
            return Ok(Attempt::Granted(Grant::new(Token::new(number), claim.ttl())));
        }
        let lapse = queues.first_lapse(claim, number).unwrap_or(now);
        Ok(Attempt::Busy(Busy::new(lapse.since(now))))
    }

    async fn renew(&self, claims: &[Arc<Claim>]) -> Vec<Result<Ownership>> {
        let now = Moment::now();
        let mut queues = self.queues(now);
        let renew = |claim: &Arc<Claim>| {
            let Some(number) = queues.owners.get(&claim.owner()).copied() else { return Ok(Ownership::Lost) };
            queues.expire(number, now + claim.ttl());
            Ok(Ownership::held(claim.ttl()))
        };
        claims.iter().map(renew).collect()
    }

    async fn release(&self, claim: &Claim, keep: Duration) -> Result<Ownership> {
        let now = Moment::now();
        let mut queues = self.queues(now);
        let Some(number) = queues.owners.get(&claim.owner()).copied() else { return Ok(Ownership::Lost) };
        queues.next(number).for_each(|next| self.bells.ring(next.tag()));
        if keep.is_zero() {
            queues.remove(number);
        } else {
            queues.expire(number, now + keep);
            queues.owners.remove(&claim.owner());
            if let Some(entry) = queues.claims.get_mut(&number) {
                entry.remnant = true;
            }
        }
        Ok(Ownership::held(keep))
    }

    async fn wakeups(&self, claim: &Claim) -> Result<Wakeups> {
        Ok(self.bells.hang(claim))
    }

    async fn fork(&self) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(self.clone()))
    }
}
