//! The model in SQL: what one call does inside a transaction.

use std::time::Duration;

use lock_core::{Attempt, Busy, Claim, Grant, Mode, Ownership, Room, Token};
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use crate::clock::{nanos, wall_micros};
use crate::turns::Turn;

/// What stands on a key ahead of a number.
macro_rules! queue {
    ($order:literal) => {
        concat!(
            "SELECT q.number, q.mode, q.owner, c.expires, c.bell = ''
            FROM lock_queue q JOIN lock_claims c USING (owner)
            WHERE q.key = ?1 AND q.number < ?2 ORDER BY q.number",
            $order
        )
    };
}
const OLDEST_FIRST: &str = queue!("");
const NEAREST_FIRST: &str = queue!(" DESC");

/// How many claims ahead that conflict are looked at.
const NEAREST: usize = 16;

/// One transaction's view: everything in it happens at one moment.
pub(crate) struct Steps<'a> {
    pub(crate) db: &'a Connection,
    pub(crate) now: i64,
    /// The last arrival number.
    pub(crate) last: i64,
    /// The name of this client's pipe.
    pub(crate) bell: &'a str,
}

/// What stands in the queue, ahead of somebody or behind.
pub(crate) struct Queued {
    pub(crate) number: i64,
    pub(crate) mode: Mode,
    pub(crate) owner: Vec<u8>,
    pub(crate) expires: i64,
    /// What a release kept: nobody's claim any more.
    pub(crate) remnant: bool,
}

impl Queued {
    fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            number: row.get(0)?,
            mode: mode(row.get(1)?),
            owner: row.get(2)?,
            expires: row.get(3)?,
            remnant: row.get(4)?,
        })
    }
}

impl Steps<'_> {
    pub(crate) fn acquire(&mut self, claim: &Claim) -> Result<Attempt> {
        let found = self.find(claim)?;
        let place = found.filter(|(_, expires)| *expires > self.now);
        let number = place.map_or(i64::MAX, |(number, _)| number);
        let mut lapsed = Vec::new();
        let lapse = self.first_lapse(claim, number, &mut lapsed)?;
        let ttl = nanos(claim.ttl());
        let number = match place {
            // Enough is left: the look that finds itself granted writes nothing.
            Some((number, expires)) if lapse.is_none() && (expires - self.now) / 2 >= ttl / 3 => {
                return Ok(granted(number, expires - self.now));
            }
            Some((number, _)) => {
                self.keep(claim)?;
                number
            }
            None if lapse.is_some() && !claim.waits() => return Ok(busy(lapse, self.now)),
            None => {
                if found.is_some() {
                    lapsed.push(claim.owner().to_bytes().to_vec());
                }
                lapsed.iter().try_for_each(|owner| self.remove(owner))?;
                self.add(claim)?
            }
        };
        Ok(if lapse.is_none() { granted(number, ttl) } else { busy(lapse, self.now) })
    }

    pub(crate) fn renew(&self, claim: &Claim) -> Result<Ownership> {
        let sql = "UPDATE lock_claims SET expires = ?2 WHERE owner = ?1 AND expires > ?3";
        let expires = self.now + nanos(claim.ttl());
        let held =
            self.db.prepare_cached(sql)?.execute(params![claim.owner().to_bytes(), expires, self.now])?;
        Ok(if held == 1 { Ownership::held(claim.ttl()) } else { Ownership::Lost })
    }

    /// Removes the claim, or leaves it as a remnant that lapses after `keep`; says whose turn it is.
    pub(crate) fn release(&self, claim: &Claim, keep: Duration) -> Result<(Ownership, Vec<Turn>)> {
        let Some((number, expires)) = self.find(claim)? else { return Ok((Ownership::Lost, Vec::new())) };
        let owner = claim.owner().to_bytes();
        if expires <= self.now {
            self.remove(&owner)?;
            return Ok((Ownership::Lost, Vec::new()));
        }
        let turns = self.turns_without(claim, number)?;
        if keep.is_zero() {
            self.remove(&owner)?;
        } else {
            self.leave_remnant(claim, number, self.now + nanos(keep))?;
        }
        Ok((Ownership::held(keep), turns))
    }

    /// The first step of a boot: a machine that went down took every holder with it.
    pub(crate) fn begin_boot(&mut self, boot: &str) -> Result<()> {
        self.db.execute_batch("DELETE FROM lock_claims; DELETE FROM lock_queue;")?;
        self.db.execute("UPDATE lock_meta SET boot = ?1", [boot])?;
        self.last = self.last.max(wall_micros());
        Ok(())
    }

    /// Removes what has lapsed and nobody asked for since.
    pub(crate) fn sweep(&self) -> Result<()> {
        let sql = "SELECT owner FROM lock_claims WHERE expires <= ?1";
        let mut statement = self.db.prepare_cached(sql)?;
        let owners: Vec<Vec<u8>> =
            statement.query_map([self.now], |row| row.get(0))?.collect::<Result<_>>()?;
        owners.iter().try_for_each(|owner| self.remove(owner))
    }

    /// The number and expiry of a claim, lapsed or not.
    fn find(&self, claim: &Claim) -> Result<Option<(i64, i64)>> {
        let sql = "SELECT number, expires FROM lock_claims WHERE owner = ?1";
        let mut statement = self.db.prepare_cached(sql)?;
        statement.query_row([claim.owner().to_bytes()], |row| Ok((row.get(0)?, row.get(1)?))).optional()
    }

    /// When claims ahead of `number` first leave room by lapsing; `None` if there is room on every key. Notes the
    /// lapsed ones that it passes.
    fn first_lapse(&self, claim: &Claim, number: i64, lapsed: &mut Vec<Vec<u8>>) -> Result<Option<i64>> {
        let mut first = None;
        for key in claim.keys() {
            if let Some(lapse) = self.lapse_on(key.as_str(), claim.mode(), number, lapsed)? {
                first = Some(first.map_or(lapse, |first: i64| first.min(lapse)));
            }
        }
        Ok(first)
    }

    /// For one key. More than the one just ahead count: that one may leave, which rings nobody while a dead one before it
    /// has not lapsed. The nearest ones and the oldest are enough: who comes to a long queue must not cost more than one
    /// who comes to a short one.
    fn lapse_on(&self, key: &str, mode: Mode, number: i64, lapsed: &mut Vec<Vec<u8>>) -> Result<Option<i64>> {
        let (mut room, mut first, mut seen) = (Room::default(), i64::MAX, 0);
        // Whether it conflicts, and whether so many have been looked at that nothing else is to be learned.
        let mut pass = |ahead: Queued| {
            let conflicts = (ahead.mode, mode) != (Mode::Shared, Mode::Shared) && ahead.expires > self.now;
            if conflicts {
                (first, seen) = (first.min(ahead.expires), seen + 1);
                room.add(ahead.mode);
            } else if ahead.expires <= self.now {
                lapsed.push(ahead.owner);
            }
            (conflicts, seen >= NEAREST && !room.fits(mode))
        };
        if !self.walk(NEAREST_FIRST, key, number, |ahead| !pass(ahead).1)? {
            self.walk(OLDEST_FIRST, key, number, |ahead| !pass(ahead).0)?;
        }
        Ok((!room.fits(mode)).then_some(first))
    }

    /// Visits the unlapsed claims on a key ahead of `number`, oldest first, while `visit` says to go on.
    pub(crate) fn walk_unlapsed(
        &self,
        key: &str,
        number: i64,
        mut visit: impl FnMut(Queued) -> bool,
    ) -> Result<()> {
        self.walk(OLDEST_FIRST, key, number, |queued| queued.expires <= self.now || visit(queued)).map(drop)
    }

    /// Visits the claims on a key ahead of `number`, lapsed or not, while `visit` says to go on; whether it always did.
    fn walk(
        &self,
        queue: &str,
        key: &str,
        number: i64,
        mut visit: impl FnMut(Queued) -> bool,
    ) -> Result<bool> {
        let mut statement = self.db.prepare_cached(queue)?;
        let mut rows = statement.query(params![key, number])?;
        while let Some(row) = rows.next()? {
            if !visit(Queued::read(row)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn add(&mut self, claim: &Claim) -> Result<i64> {
        self.last += 1;
        let owner = claim.owner().to_bytes();
        let keys = claim.keys().iter().map(AsRef::as_ref).collect::<Vec<&str>>().join("\n");
        let sql = "INSERT INTO lock_claims VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        self.db.prepare_cached(sql)?.execute(params![
            owner,
            self.last,
            mode_number(claim.mode()),
            self.now + nanos(claim.ttl()),
            keys,
            claim.tag().cast_signed(),
            self.bell,
            claim.label(),
            wall_micros(),
        ])?;
        let mut statement = self.db.prepare_cached("INSERT INTO lock_queue VALUES (?1, ?2, ?3, ?4)")?;
        for key in claim.keys() {
            statement.execute(params![key.as_str(), self.last, mode_number(claim.mode()), owner])?;
        }
        Ok(self.last)
    }

    /// Keeps a place or a grant for another ttl, and rings this client from now on.
    fn keep(&self, claim: &Claim) -> Result<usize> {
        let sql = "UPDATE lock_claims SET expires = ?2, bell = ?3 WHERE owner = ?1";
        let expires = self.now + nanos(claim.ttl());
        self.db.prepare_cached(sql)?.execute(params![claim.owner().to_bytes(), expires, self.bell])
    }

    fn remove(&self, owner: &[u8]) -> Result<()> {
        let sql = "DELETE FROM lock_claims WHERE owner = ?1 RETURNING number, keys";
        let mut statement = self.db.prepare_cached(sql)?;
        let row = statement.query_row([owner], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)));
        let Some((number, keys)) = row.optional()? else { return Ok(()) };
        let mut statement =
            self.db.prepare_cached("DELETE FROM lock_queue WHERE key = ?1 AND number = ?2")?;
        keys.split('\n').try_for_each(|key| statement.execute(params![key, number]).map(drop))
    }

    /// Gives the claim's place to an owner that nobody has.
    fn leave_remnant(&self, claim: &Claim, number: i64, expires: i64) -> Result<()> {
        let sql = "UPDATE lock_claims SET owner = randomblob(16), expires = ?2, bell = '' WHERE owner = ?1 RETURNING owner";
        let mut statement = self.db.prepare_cached(sql)?;
        let nobody: Vec<u8> =
            statement.query_row(params![claim.owner().to_bytes(), expires], |row| row.get(0))?;
        let sql = "UPDATE lock_queue SET owner = ?3 WHERE key = ?1 AND number = ?2";
        let mut statement = self.db.prepare_cached(sql)?;
        let mut keys = claim.keys().iter();
        keys.try_for_each(|key| statement.execute(params![key.as_str(), number, nobody]).map(drop))
    }
}

fn granted(number: i64, nanos: i64) -> Attempt {
    let lease = Duration::from_nanos(nanos.unsigned_abs());
    Attempt::Granted(Grant::new(Token::new(number.unsigned_abs()), lease))
}

fn busy(lapse: Option<i64>, now: i64) -> Attempt {
    let nanos = lapse.map_or(0, |lapse| lapse.saturating_sub(now));
    Attempt::Busy(Busy::new(Duration::from_nanos(nanos.max(0).unsigned_abs())))
}

fn mode_number(mode: Mode) -> i64 {
    match mode {
        Mode::Shared => -1,
        Mode::Permit { of } => i64::from(of.get()),
        // Whatever a newer core adds excludes, until this store learns it.
        _ => 0,
    }
}

pub(crate) fn mode(number: i64) -> Mode {
    match number {
        -1 => Mode::Shared,
        of => u32::try_from(of).ok().and_then(|of| Mode::permit_of(of).ok()).unwrap_or(Mode::Exclusive),
    }
}

#[cfg(test)]
mod tests;
