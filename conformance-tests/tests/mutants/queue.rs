//! Who holds and who waits, in order of arrival.

use std::collections::HashSet;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use lock_core::{Claim, Key, Mode, Owner};

#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) last: u64,
    /// In order of arrival.
    pub(crate) entries: Vec<Entry>,
    pub(crate) lapsed: HashSet<Owner>,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) token: u64,
    pub(crate) keys: Vec<Key>,
    pub(crate) mode: Mode,
    pub(crate) claim: Claim,
    pub(crate) expires: Instant,
    /// Not a remnant.
    pub(crate) owned: bool,
    /// A look was answered with a grant.
    pub(crate) told: bool,
}

impl Queue {
    pub(crate) fn new() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        Self { last: wall.as_micros() as u64, entries: Vec::new(), lapsed: HashSet::new() }
    }

    /// The same queue with some of its entries.
    pub(crate) fn filtered(&self, keep: impl Fn(&Entry) -> bool) -> Self {
        let entries = self.entries.iter().filter(|entry| keep(entry)).cloned().collect();
        Self { last: self.last, entries, lapsed: HashSet::new() }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(crate) fn add(&mut self, claim: &Claim, keys: Vec<Key>) -> usize {
        let number = self.next();
        let (mode, claim, expires) = (claim.mode(), claim.clone(), Instant::now() + claim.ttl());
        let entry = Entry { number, token: number, keys, mode, claim, expires, owned: true, told: false };
        self.entries.push(entry);
        self.entries.len() - 1
    }

    pub(crate) fn position(&self, claim: &Claim) -> Option<usize> {
        self.entries.iter().position(|entry| entry.owned && entry.claim.owner() == claim.owner())
    }

    /// The oldest on any of a claim's keys.
    pub(crate) fn first(&self, claim: &Claim) -> Option<usize> {
        self.entries.iter().position(|entry| entry.keys.iter().any(|key| claim.keys().contains(key)))
    }
}
