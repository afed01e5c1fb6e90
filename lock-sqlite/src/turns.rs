//! Whom a release rings.

use std::collections::BTreeMap;

use lock_core::{Claim, Mode, Room};
use rusqlite::Result;

use crate::steps::{Queued, Steps, mode};

/// A claim whose turn it is: whom to ring, and with what.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) bell: String,
    pub(crate) tag: u64,
}

/// How remnants count, which cooldowns keep: they block, but lapse by themselves, and only a look tells when.
struct Remnants {
    count: bool,
    /// One was met.
    met: bool,
}

impl Remnants {
    fn passes(&mut self, queued: &Queued) -> bool {
        self.met |= queued.remnant;
        queued.remnant && !self.count
    }
}

impl Steps<'_> {
    /// The claims whose turn it is once `number` is gone, and not before; be it with the remnants that there are, or
    /// as if those were gone too.
    pub(crate) fn turns_without(&self, claim: &Claim, number: i64) -> Result<Vec<Turn>> {
        let mut remnants = Remnants { count: true, met: false };
        let mut turns = self.turns(claim, number, &mut remnants)?;
        if remnants.met {
            remnants.count = false;
            let more = self.turns(claim, number, &mut remnants)?;
            turns.extend(more.into_iter().filter(|turn| !turns.contains(turn)).collect::<Vec<_>>());
        }
        Ok(turns)
    }

    /// Oldest first.
    fn turns(&self, claim: &Claim, number: i64, remnants: &mut Remnants) -> Result<Vec<Turn>> {
        let mut freed: BTreeMap<(i64, Vec<u8>), Vec<&str>> = BTreeMap::new();
        for key in claim.keys() {
            for next in self.freed_on(key.as_str(), number, remnants)? {
                freed.entry(next).or_default().push(key.as_str());
            }
        }
        let sql = "SELECT mode, keys, bell, tag FROM lock_claims WHERE owner = ?1";
        let mut statement = self.db.prepare_cached(sql)?;
        let mut turns = Vec::new();
        for ((next, owner), on) in freed {
            let (mode, keys, turn) = statement.query_row([&owner], |row| {
                let turn = Turn { bell: row.get(2)?, tag: row.get::<_, i64>(3)?.cast_unsigned() };
                Ok((mode(row.get(0)?), row.get::<_, String>(1)?, turn))
            })?;
            let mut fits = true;
            for key in keys.split('\n').filter(|key| !on.contains(key)) {
                fits = fits && self.fits_without(key, mode, (next, number), remnants)?;
            }
            if fits {
                turns.push(turn);
            }
        }
        Ok(turns)
    }

    /// Who has no room on a key because of `number`. Walks from the oldest and stops at the first claim that would
    /// have none without it either: nobody behind it would.
    fn freed_on(&self, key: &str, number: i64, remnants: &mut Remnants) -> Result<Vec<(i64, Vec<u8>)>> {
        let (mut with, mut without, mut freed) = (Room::default(), Room::default(), Vec::new());
        self.walk_unlapsed(key, i64::MAX, |queued| {
            if remnants.passes(&queued) {
                return true;
            }
            if queued.number == number {
                with.add(queued.mode);
                return true;
            }
            let fits = without.fits(queued.mode);
            let waits = !with.fits(queued.mode) && !queued.remnant;
            with.add(queued.mode);
            without.add(queued.mode);
            if fits && waits {
                freed.push((queued.number, queued.owner));
            }
            fits
        })?;
        Ok(freed)
    }

    /// Whether a claim would have room on a key behind all but the second number.
    fn fits_without(
        &self,
        key: &str,
        mode: Mode,
        (behind, without): (i64, i64),
        remnants: &mut Remnants,
    ) -> Result<bool> {
        let mut room = Room::default();
        self.walk_unlapsed(key, behind, |queued| {
            if queued.number != without && !remnants.passes(&queued) {
                room.add(queued.mode);
            }
            room.fits(mode)
        })?;
        Ok(room.fits(mode))
    }
}
