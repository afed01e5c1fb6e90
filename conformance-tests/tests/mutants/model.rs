//! The model once more, with a switch at every rule: for what a wrapper around `Memory` cannot get wrong.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::FutureExt;
use lock_core::{
    Attempt, Backend, Bells, Busy, Claim, Grant, Key, Mode, Ownership, Profile, Result, Room, Token, Wakeups,
};

use crate::queue::{Entry, Queue};
use crate::rule::Rule::{self, *};

#[derive(Clone, Debug)]
pub(crate) struct Model {
    rule: Rule,
    queue: Arc<Mutex<Queue>>,
    bells: Bells,
}

impl Model {
    pub(crate) fn new(rule: Rule) -> Self {
        Self { rule, queue: Arc::new(Mutex::new(Queue::new())), bells: Bells::default() }
    }

    /// An independent client.
    pub(crate) fn client(&self) -> Self {
        let bells = if self.rule == OwnClientIsRung { Bells::default() } else { self.bells.clone() };
        Self { bells, ..self.clone() }
    }

    fn unswept(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no call panics")
    }

    fn swept(&self) -> MutexGuard<'_, Queue> {
        self.swept_of(|_| true)
    }

    /// The queue without what has lapsed among some.
    fn swept_of(&self, some: impl Fn(&Entry) -> bool) -> MutexGuard<'_, Queue> {
        let mut queue = self.unswept();
        let now = Instant::now();
        let lapsed = |entry: &Entry| match self.rule {
            NothingLapses => false,
            PlacesNeverLapse if entry.owned && !entry.told => false,
            GrantsNeverLapse if entry.told => false,
            _ => entry.expires <= now,
        };
        let gone: Vec<_> = queue.entries.extract_if(.., |entry| some(entry) && lapsed(entry)).collect();
        queue.lapsed.extend(gone.iter().map(|entry| entry.claim.owner()));
        queue
    }

    /// Those ahead of a claim on a key.
    fn ahead<'q>(&self, queue: &'q Queue, key: &Key, claim: &Claim, number: u64) -> Vec<&'q Entry> {
        let ahead = |entry: &&Entry| {
            let older = entry.number < number;
            entry.keys.contains(key)
                && match self.rule {
                    QueueIgnored => older && entry.told,
                    SkipPassesTheQueue if !claim.waits() => older && entry.told,
                    ReadersPassWaitingWriters if claim.mode() == Mode::Shared => older && entry.told,
                    WaitersForSeveralKeysIgnored => older && (entry.told || entry.keys.len() == 1),
                    LastComeFirstServed if entry.told => entry.number != number,
                    LastComeFirstServed => number != u64::MAX && entry.number > number,
                    _ => older,
                }
        };
        queue.entries.iter().filter(ahead).collect()
    }

    /// Whether there is room on a key for a claim, if `without` were not there.
    fn room(&self, queue: &Queue, key: &Key, claim: &Claim, number: u64, without: Option<u64>) -> bool {
        let ahead = self.ahead(queue, key, claim, number);
        let modes = || ahead.iter().filter(|entry| Some(entry.number) != without).map(|entry| entry.mode);
        let limit = |mode: &Mode| if let Mode::Permit { of } = mode { of.get() } else { 0 };
        let largest = modes().chain([claim.mode()]).max_by_key(limit).expect("there is the claim's own");
        let seen = |mode| match (self.rule, mode, claim.mode()) {
            (OwnLimitCounts, Mode::Permit { .. }, own @ Mode::Permit { .. }) => own,
            (LargestLimitCounts, Mode::Permit { .. }, _) => largest,
            (_, mode, _) => mode,
        };
        let mut room = Room::default();
        let far = if self.rule == RoomBehindTheNearest { ahead.len().saturating_sub(16) } else { 0 };
        modes().skip(far).for_each(|mode| room.add(seen(mode)));
        room.fits(seen(claim.mode()))
    }

    fn fits(&self, queue: &Queue, claim: &Claim, number: u64, without: Option<u64>) -> bool {
        let room = |key| self.room(queue, key, claim, number, without);
        let mut keys = claim.keys().iter();
        match self.rule {
            EverybodyHasRoom => true,
            OneFreeKeyIsEnough => keys.any(room),
            _ => keys.all(room),
        }
    }

    /// On which keys a newcomer arrives; on none if it is refused and skips.
    fn arrives(&self, queue: &Queue, claim: &Claim) -> Vec<Key> {
        let room = |key: &&Key| self.room(queue, key, claim, u64::MAX, None);
        let keys = claim.keys().iter();
        match self.rule {
            _ if self.fits(queue, claim, u64::MAX, None) => keys.cloned().collect(),
            QueuedOnFullKeysOnly if claim.waits() => keys.filter(|key| !room(key)).cloned().collect(),
            _ if claim.waits() => keys.cloned().collect(),
            RefusedSkipKeepsFreeKeys => keys.filter(room).cloned().collect(),
            _ => Vec::new(),
        }
    }

    fn granted(&self, queue: &mut Queue, at: usize) -> Attempt {
        let fresh = queue.next();
        let entry = &mut queue.entries[at];
        if self.rule == EveryLookIsANewToken {
            entry.token = fresh;
        }
        entry.told = true;
        let mut lease = entry.expires.saturating_duration_since(Instant::now());
        if self.rule == LookKeepsNothingAndSaysItDoes {
            lease = entry.claim.ttl();
        }
        Attempt::Granted(Grant::new(Token::new(entry.token), lease))
    }

    fn refused(&self, queue: &mut Queue, claim: &Claim, number: u64) -> Attempt {
        let now = Instant::now();
        let full = claim.keys().iter().filter(|key| !self.room(queue, key, claim, number, None));
        let ahead: Vec<_> = full.flat_map(|key| self.ahead(queue, key, claim, number)).collect();
        let mut lapses = ahead.iter().map(|entry| entry.expires);
        let lapse = match self.rule {
            RetryAfterTheLastLapse => lapses.max(),
            RetryAfterTheNearest => lapses.rev().take(16).min(),
            RetryAfterTheOldest => lapses.take(16).min(),
            RetryAfterTheEnds => lapses.clone().next().into_iter().chain(lapses.next_back()).min(),
            _ => lapses.min(),
        };
        let lapse = lapse.map_or(Duration::ZERO, |lapse| lapse.saturating_duration_since(now));
        let ahead: HashSet<_> = ahead.iter().map(|entry| entry.number).collect();
        for entry in queue.entries.iter_mut().filter(|entry| ahead.contains(&entry.number)) {
            match self.rule {
                RefusalLengthensTheHolder => entry.expires = now + entry.claim.ttl(),
                RefusalShortensTheHolder => entry.expires = entry.expires.min(now + claim.ttl()),
                _ => {}
            }
        }
        Attempt::Busy(Busy::new(if self.rule == RetryAfterTheOwnTtl { claim.ttl() } else { lapse }))
    }

    /// Rings those whose turn it is once an entry is gone, and not before; with the remnants that there are, or as if
    /// they were gone too.
    fn ring(&self, queue: &Queue, gone: &Entry, keep: Duration) {
        let keys = if self.rule == OneKeyIsRung { &gone.keys[..1] } else { &gone.keys[..] };
        let owned = queue.filtered(|entry| entry.owned);
        let both = [queue, &owned];
        let seen = if self.rule == RemnantsHideTurns { &both[..1] } else { &both[..] };
        let turn = |entry: &&Entry| {
            let comes = |queue: &&Queue| {
                let fits = |without| self.fits(queue, &entry.claim, entry.number, without);
                !fits(None) && fits(Some(gone.number))
            };
            entry.number > gone.number
                && entry.keys.iter().any(|key| keys.contains(key))
                && (self.rule == AllBehindAreRung || seen.iter().any(comes))
        };
        let most = match self.rule {
            NobodyIsRung => 0,
            NobodyIsRungForAPlace if !gone.told => 0,
            NobodyIsRungOnKeep if !keep.is_zero() => 0,
            OneIsRung => 1,
            _ => usize::MAX,
        };
        let next = queue.entries.iter().filter(turn).take(most);
        next.for_each(|entry| self.bells.ring(entry.claim.tag()));
    }

    /// Leaves of a released entry what `keep` asks for.
    fn leave(&self, queue: &mut Queue, at: usize, keep: Duration) {
        let mut entry = queue.entries.remove(at);
        let kept = match self.rule {
            RemnantOfAPlaceIsNotKept if !entry.told => Duration::ZERO,
            ReleaseForgetsAKey if entry.keys.len() > 1 && keep.is_zero() => {
                entry.keys.drain(1..);
                entry.claim.ttl()
            }
            _ => keep,
        };
        if kept.is_zero() {
            return;
        }
        (entry.expires, entry.owned) = (Instant::now() + kept, self.rule == RemnantHasItsOwner);
        if self.rule == RemnantIsExclusive {
            entry.mode = Mode::Exclusive;
        }
        if self.rule == RemnantGoesLast {
            entry.number = queue.next();
            queue.entries.push(entry);
        } else {
            queue.entries.insert(at, entry);
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for Model {
    fn profile(&self) -> Profile {
        Profile::new("model")
    }

    async fn acquire(&self, claim: &Claim) -> Result<Attempt> {
        let expires = Instant::now() + claim.ttl();
        if self.rule == LapsedAskerFindsItsPlace {
            let mut queue = self.unswept();
            queue.position(claim).into_iter().for_each(|at| queue.entries[at].expires = expires);
        }
        // Nobody's lapse but that of somebody in the way is noticed here.
        let mut queue = self.swept_of(|entry| entry.keys.iter().any(|key| claim.keys().contains(key)));
        if self.rule == LookTakesANewPlace {
            queue.entries.retain(|entry| entry.told || entry.claim.owner() != claim.owner());
        }
        let at = queue.position(claim).or_else(|| {
            let keys = self.arrives(&queue, claim);
            (!keys.is_empty()).then(|| queue.add(claim, keys))
        });
        let Some(at) = at else { return Ok(self.refused(&mut queue, claim, u64::MAX)) };
        let entry = &mut queue.entries[at];
        match self.rule {
            LookKeepsNothingAndSaysItDoes => {}
            LookKeepsNoPlace if !entry.told => {}
            _ => entry.expires = expires,
        }
        let number = entry.number;
        if entry.told && self.rule == HolderAskingAgainIsRefused {
            return Ok(self.refused(&mut queue, claim, number));
        }
        if self.fits(&queue, claim, number, None) {
            return Ok(self.granted(&mut queue, at));
        }
        Ok(self.refused(&mut queue, claim, number))
    }

    async fn renew(&self, claims: &[Arc<Claim>]) -> Vec<Result<Ownership>> {
        let mut queue = if self.rule == RenewRevivesTheLapsed { self.unswept() } else { self.swept() };
        let renew = |claim: &Arc<Claim>| {
            let Some(at) = queue.position(claim) else { return Ok(Ownership::Lost) };
            let fresh = queue.next();
            let entry = &mut queue.entries[at];
            match self.rule {
                RenewKeepsNoPlace if !entry.told => {}
                RenewShortens => entry.expires = Instant::now() + claim.ttl() / 2,
                _ => entry.expires = Instant::now() + claim.ttl(),
            }
            if self.rule == RenewChangesTheToken {
                entry.token = fresh;
            }
            Ok(Ownership::held(claim.ttl()))
        };
        claims.iter().map(renew).collect()
    }

    async fn release(&self, claim: &Claim, keep: Duration) -> Result<Ownership> {
        let mut queue = if self.rule == ReleaseOfTheLapsedIsHeld { self.unswept() } else { self.swept() };
        let own = queue.position(claim);
        let other = match self.rule {
            AnyoneReleases => queue.first(claim),
            LateReleaseFreesTheSuccessor if queue.lapsed.contains(&claim.owner()) => queue.first(claim),
            _ => None,
        };
        if let Some(at) = own.or(other)
            && (self.rule != ReleaseLeavesThePlace || queue.entries[at].told)
        {
            self.ring(&queue, &queue.entries[at], keep);
            self.leave(&mut queue, at, keep);
        }
        if self.rule == ReleaseEmptiesTheKeys && own.is_some() {
            queue.entries.retain(|entry| !entry.keys.iter().any(|key| claim.keys().contains(key)));
        }
        Ok(if own.is_some() { Ownership::held(keep) } else { Ownership::Lost })
    }

    async fn wakeups(&self, claim: &Claim) -> Result<Wakeups> {
        let mut rings = self.bells.hang(claim);
        if self.rule == EarlyRingIsMissed {
            let _ = rings.next().now_or_never();
        }
        if self.rule == SecondRingIsMissed {
            use futures::StreamExt;
            return Ok(Wakeups::new(rings.take(1).chain(futures::stream::pending())));
        }
        Ok(rings)
    }

    async fn fork(&self) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(self.clone()))
    }
}
