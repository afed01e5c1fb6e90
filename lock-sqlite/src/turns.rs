//! Whom a release rings.

use std::collections::BTreeMap;

use lock_core::{Claim, Mode, Room};
use rusqlite::Result;

use crate::steps::{Steps, mode};

/// A claim whose turn it is: whom to ring, and with what.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) bell: String,
    pub(crate) tag: u64,
}

impl Steps<'_> {
    /// The claims whose turn it is once `number` is gone, and not before; oldest first. What cooldowns keep counts as
    /// gone: it lapses by itself, and only a look tells when.
    pub(crate) fn turns_without(&self, claim: &Claim, number: i64) -> Result<Vec<Turn>> {
        let mut freed: BTreeMap<(i64, Vec<u8>), Vec<&str>> = BTreeMap::new();
        for key in claim.keys() {
            for next in self.freed_on(key.as_str(), number)? {
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
                fits = fits && self.fits_without(key, mode, next, number)?;
            }
            if fits {
                turns.push(turn);
            }
        }
        Ok(turns)
    }

    /// Who has no room on a key because of `number`. Walks from the oldest and stops at the first claim that would
    /// have none without it either: nobody behind it would.
    fn freed_on(&self, key: &str, number: i64) -> Result<Vec<(i64, Vec<u8>)>> {
        let (mut with, mut without, mut freed) = (Room::default(), Room::default(), Vec::new());
        self.walk_unlapsed(key, i64::MAX, |queued| {
            if queued.remnant {
                return true;
            }
            if queued.number == number {
                with.add(queued.mode);
                return true;
            }
            let fits = without.fits(queued.mode);
            let waits = !with.fits(queued.mode);
            with.add(queued.mode);
            without.add(queued.mode);
            if fits && waits {
                freed.push((queued.number, queued.owner));
            }
            fits
        })?;
        Ok(freed)
    }

    fn fits_without(&self, key: &str, mode: Mode, behind: i64, without: i64) -> Result<bool> {
        let mut room = Room::default();
        self.walk_unlapsed(key, behind, |queued| {
            if queued.number != without && !queued.remnant {
                room.add(queued.mode);
            }
            room.fits(mode)
        })?;
        Ok(room.fits(mode))
    }
}
