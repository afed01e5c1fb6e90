//! The model as its definition says it: a list of claims, looked through from end to end.

use std::time::Duration;

use lock_core::{Attempt, Claim, Mode, Room};

use crate::clock::nanos;

#[derive(Default)]
pub(super) struct Model {
    last: i64,
    /// Oldest first.
    claims: Vec<Entry>,
}

struct Entry {
    number: i64,
    claim: Claim,
    expires: i64,
    remnant: bool,
}

/// A claim of any kind for some of three keys.
pub(super) fn any_claim(random: &mut fastrand::Rng) -> Claim {
    let keys: Vec<_> = ["a", "b", "c"].into_iter().filter(|_| random.u8(..3) == 0).collect();
    let mode = match random.u32(..5) {
        0 => Mode::Exclusive,
        1 => Mode::Shared,
        of => Mode::permit_of(of - 1).expect("at least one"),
    };
    let ttl = Duration::from_millis(random.u64(10..100));
    let claim = Claim::new(if keys.is_empty() { vec!["b"] } else { keys }, mode, ttl).expect("valid");
    if random.u8(..4) > 0 { claim.queued() } else { claim }
}

impl Model {
    /// Compares a look with what it should have found, and does as it did.
    pub(super) fn acquire(&mut self, claim: &Claim, now: i64, found: Attempt, at: &str) {
        let place = self.find(claim, now);
        let number = place.map_or(i64::MAX, |n| self.claims[n].number);
        let fits = self.fits(claim, number, now, |_| true);
        let full = now + nanos(claim.ttl());
        let mut token = number;
        match place {
            Some(n) if fits && (self.claims[n].expires - now) / 2 >= nanos(claim.ttl()) / 3 => {}
            Some(n) => self.claims[n].expires = full,
            None if fits || claim.waits() => {
                self.last += 1;
                token = self.last;
                self.claims.retain(|entry| entry.claim.owner() != claim.owner() || entry.remnant);
                let claim = claim.clone();
                self.claims.push(Entry { number: self.last, claim, expires: full, remnant: false });
            }
            None => {}
        }
        match found {
            Attempt::Granted(grant) => {
                assert!(fits, "{at}: granted without room");
                assert_eq!(grant.token.get(), token.unsigned_abs(), "{at}: its arrival is its token");
                let kept = self.find(claim, now).map(|n| self.claims[n].expires - now);
                assert_eq!(Some(nanos(grant.lease)), kept, "{at}: the lease");
            }
            Attempt::Busy(busy) => {
                assert!(!fits, "{at}: refused in spite of room");
                let latest = self.free_at(claim, number, now);
                assert!(now + nanos(busy.retry_after) <= latest, "{at}: it would look too late");
                assert!(!busy.retry_after.is_zero(), "{at}: nothing can have changed yet");
            }
            _ => unreachable!("there is no third answer"),
        }
    }

    pub(super) fn renew(&mut self, claim: &Claim, now: i64) -> bool {
        let found = self.find(claim, now);
        found.map(|n| self.claims[n].expires = now + nanos(claim.ttl())).is_some()
    }

    /// The tags of those whose turn it is; `None` if the claim was not there.
    pub(super) fn release(&mut self, claim: &Claim, keep: Duration, now: i64) -> Option<Vec<u64>> {
        let n = self.find(claim, now)?;
        let number = self.claims[n].number;
        let turn = |entry: &&Entry| {
            let (claim, behind) = (&entry.claim, entry.number);
            entry.expires > now
                && behind != number
                && !entry.remnant
                && [true, false].into_iter().any(|remnants| {
                    let counts = |ahead: &Entry| remnants || !ahead.remnant;
                    !self.fits(claim, behind, now, counts)
                        && self.fits(claim, behind, now, |ahead| counts(ahead) && ahead.number != number)
                })
        };
        let turns = self.claims.iter().filter(turn).map(|entry| entry.claim.tag()).collect();
        if keep.is_zero() {
            self.claims.remove(n);
        } else {
            self.claims[n].expires = now + nanos(keep);
            self.claims[n].remnant = true;
        }
        Some(turns)
    }

    fn find(&self, claim: &Claim, now: i64) -> Option<usize> {
        let found =
            |entry: &Entry| entry.claim.owner() == claim.owner() && !entry.remnant && entry.expires > now;
        self.claims.iter().position(found)
    }

    fn fits(&self, claim: &Claim, number: i64, now: i64, counts: impl Fn(&Entry) -> bool) -> bool {
        claim.keys().iter().all(|key| {
            let mut room = Room::default();
            for entry in self.claims.iter().filter(|entry| entry.number < number && entry.expires > now) {
                if counts(entry) && entry.claim.keys().contains(key) {
                    room.add(entry.claim.mode());
                }
            }
            room.fits(claim.mode())
        })
    }

    /// When there is room if nobody renews or leaves.
    fn free_at(&self, claim: &Claim, number: i64, now: i64) -> i64 {
        let mut lapses: Vec<_> = self.claims.iter().map(|entry| entry.expires).collect();
        lapses.retain(|at| *at > now && self.fits(claim, number, *at, |_| true));
        lapses.into_iter().min().expect("in the end there is room")
    }
}
