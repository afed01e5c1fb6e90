//! Looks for damage in what was stored, and believes nobody.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;

use crate::data::{Row, Tx};
use crate::schedule::rota::Rota;

/// What was found in the rota.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// How many blocks are generated.
    pub generated: usize,
    /// How many swaps were executed.
    pub executed: usize,
    /// How many were refused.
    pub refused: usize,
    /// How many swaps were asked for before a block of theirs was generated.
    pub ahead: usize,
    /// How many edits were saved.
    pub edits: usize,
    /// How many boards were read.
    pub boards: usize,
    /// Every offence, in the order of their kinds.
    pub offences: Vec<Offence>,
}

/// Something that must not be in the rota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offence {
    /// A shift of a generated block that is nobody's, or one of a block that is not generated that is somebody's.
    Half {
        /// The block.
        block: String,
        /// The shift.
        shift: String,
    },
    /// A shift that was given away by two who generated its block.
    Again {
        /// The shift.
        shift: String,
        /// How often.
        times: i64,
    },
    /// Somebody has two shifts at one time.
    Twice {
        /// Who.
        person: String,
        /// The earlier shift.
        one: String,
        /// The later one.
        other: String,
    },
    /// A swap that was executed and has left no trace, or half of one.
    LostSwap {
        /// Its number.
        swap: i64,
        /// Where.
        shift: String,
        /// Who got the shift by it.
        got: String,
        /// Who had the same turn, or has the shift after all.
        has: String,
    },
    /// A swap that is neither executed nor refused.
    Pending {
        /// Its number.
        swap: i64,
    },
    /// An edit that was saved and then overwritten by somebody who had not seen it.
    LostEdit {
        /// The shift.
        shift: String,
        /// Who made it.
        worker: String,
        /// What is missing.
        what: String,
    },
    /// A board that shows what was never true at one moment.
    Mixed {
        /// Its number.
        board: i64,
        /// Who read it.
        worker: String,
        /// A shift that it shows as it was later.
        new: String,
        /// A shift that it shows as it was before that.
        old: String,
    },
}

impl Findings {
    /// How often somebody has two shifts at one time.
    pub fn double_bookings(&self) -> usize {
        self.count(|offence| matches!(offence, Offence::Twice { .. }))
    }

    /// How many shifts were given away more than once.
    pub fn generated_again(&self) -> usize {
        self.count(|offence| matches!(offence, Offence::Again { .. }))
    }

    /// How often a swap that was executed is not there.
    pub fn lost_swaps(&self) -> usize {
        self.count(|offence| matches!(offence, Offence::LostSwap { .. }))
    }

    /// How many edits that were saved are not there.
    pub fn lost_edits(&self) -> usize {
        self.count(|offence| matches!(offence, Offence::LostEdit { .. }))
    }

    /// How many boards show what was never true.
    pub fn mixed(&self) -> usize {
        self.count(|offence| matches!(offence, Offence::Mixed { .. }))
    }

    fn count(&self, is: impl Fn(&Offence) -> bool) -> usize {
        self.offences.iter().filter(|offence| is(offence)).count()
    }
}

/// Looks through the rota, as it is at one moment.
///
/// # Errors
///
/// The database's.
pub async fn check(rota: &Rota) -> Result<Findings> {
    let tx = &mut rota.snapshot().await?;
    let mut offences =
        offences(tx, HALF, |row| Ok(Offence::Half { block: row.text(0)?, shift: row.text(1)? })).await?;
    offences.extend(
        self::offences(tx, AGAIN, |row| Ok(Offence::Again { shift: row.text(0)?, times: row.number(1)? }))
            .await?,
    );
    let twice = include_str!("twice.sql");
    let offence =
        |row: &Row| Ok(Offence::Twice { person: row.text(0)?, one: row.text(1)?, other: row.text(2)? });
    offences.extend(self::offences(tx, twice, offence).await?);
    offences.extend(swaps(tx).await?);
    offences.extend(self::offences(tx, PENDING, |row| Ok(Offence::Pending { swap: row.number(0)? })).await?);
    offences.extend(edits(tx).await?);
    let offence = |row: &Row| {
        Ok(Offence::Mixed {
            board: row.number(0)?,
            worker: row.text(1)?,
            new: row.text(2)?,
            old: row.text(3)?,
        })
    };
    offences.extend(self::offences(tx, include_str!("mixed.sql"), offence).await?);
    Ok(Findings {
        generated: count(tx, "SELECT count(generated_at) FROM blocks").await?,
        executed: count(tx, "SELECT count(*) FROM swaps WHERE state = 'executed'").await?,
        refused: count(tx, "SELECT count(*) FROM swaps WHERE state = 'refused'").await?,
        ahead: count(tx, AHEAD).await?,
        edits: count(tx, "SELECT count(*) FROM edits").await?,
        boards: count(tx, "SELECT count(*) FROM boards").await?,
        offences,
    })
}

/// A block is there as a whole, or not at all.
const HALF: &str = "
    SELECT block, shifts.id FROM shifts
    JOIN blocks ON blocks.id = block LEFT JOIN assignments ON assignments.id = shifts.id
    WHERE (generated_at IS NULL) <> (assignments.id IS NULL) ORDER BY shifts.seq";

const AGAIN: &str = "
    SELECT shift, count(*) FROM handovers WHERE swap IS NULL GROUP BY shift HAVING count(*) > 1 ORDER BY shift";

const AHEAD: &str = "
    SELECT count(*) FROM swaps JOIN shifts ON shifts.id = takes JOIN blocks ON blocks.id = block
    WHERE requested_at < generated_at";

const PENDING: &str = "SELECT id FROM swaps WHERE state = 'pending' ORDER BY id";

async fn offences(
    tx: &mut Tx,
    sql: &'static str,
    offence: impl Fn(&Row) -> Result<Offence>,
) -> Result<Vec<Offence>> {
    tx.rows(sql, []).await?.iter().map(offence).collect()
}

async fn count(tx: &mut Tx, sql: &'static str) -> Result<usize> {
    let rows = tx.rows(sql, []).await?;
    Ok(usize::try_from(rows[0].number(0)?)?)
}

/// Goes through what every shift went through, turn by turn: each turn was somebody's alone, and the last one is what
/// stands in the rota.
async fn swaps(tx: &mut Tx) -> Result<Vec<Offence>> {
    let mut last: BTreeMap<String, (i64, String)> = BTreeMap::new();
    let mut turns: BTreeMap<(String, i64), String> = BTreeMap::new();
    for row in tx.rows("SELECT id, turn, person FROM assignments", []).await? {
        last.insert(row.text(0)?, (row.number(1)?, row.text(2)?));
    }
    let all = "SELECT shift, turn, person, swap FROM handovers WHERE swap IS NOT NULL ORDER BY id DESC";
    let mut offences = Vec::new();
    // From the last one back: of two with one turn, the later one has overwritten the earlier.
    for row in tx.rows(all, []).await? {
        let (shift, turn, got, swap) = (row.text(0)?, row.number(1)?, row.text(2)?, row.number(3)?);
        let now = last.get(&shift).cloned().unwrap_or_default();
        let over = turns.insert((shift.clone(), turn), got.clone());
        let has = match over {
            Some(has) => Some(has),
            None => (now.0 < turn || now.0 == turn && now.1 != got).then_some(now.1),
        };
        offences.extend(has.map(|has| Offence::LostSwap { swap, shift, got, has }));
    }
    offences.reverse();
    Ok(offences)
}

/// Every word that was added to a note is in it, and the room is the last one that was saved.
async fn edits(tx: &mut Tx) -> Result<Vec<Offence>> {
    let all = "
        SELECT edits.shift, edits.worker, edits.room, edits.note, assignments.room, assignments.note
        FROM edits JOIN assignments ON assignments.id = edits.shift ORDER BY edits.id";
    let mut offences = Vec::new();
    let mut rooms = BTreeMap::new();
    for row in tx.rows(all, []).await? {
        let (shift, worker) = (row.text(0)?, row.text(1)?);
        if let Some(word) = row.text_if_any(3)?
            && !row.text(5)?.split(' ').any(|noted| noted == word)
        {
            let what = format!("{word:?} in its note");
            offences.push(Offence::LostEdit { shift: shift.clone(), worker: worker.clone(), what });
        }
        if let Some(room) = row.text_if_any(2)? {
            rooms.insert(shift, (worker, room, row.text(4)?));
        }
    }
    for (shift, (worker, room, now)) in rooms {
        if room != now {
            offences.push(Offence::LostEdit {
                shift,
                worker,
                what: format!("room {room:?}, which is {now:?}"),
            });
        }
    }
    Ok(offences)
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Half { block, shift } => {
                write!(f, "{block} is there in part: {shift} does not fit the rest")
            }
            Self::Again { shift, times } => write!(f, "{shift} was generated {times} times"),
            Self::Twice { person, one, other } => write!(f, "{person} is at {one} and {other} at once"),
            Self::LostSwap { swap, shift, got, has } if got == has => {
                write!(f, "{shift} went to {got} by swap {swap}, and by another at the same turn")
            }
            Self::LostSwap { swap, shift, got, has } => {
                write!(f, "{shift} went to {got} by swap {swap}, and is {has}'s instead")
            }
            Self::Pending { swap } => write!(f, "swap {swap} is still pending"),
            Self::LostEdit { shift, worker, what } => {
                write!(f, "{shift} has lost what {worker} saved: {what}")
            }
            Self::Mixed { board, worker, new, old } => {
                write!(f, "board {board} of {worker} has {new} as it was after {old} had changed hands")
            }
        }
    }
}
