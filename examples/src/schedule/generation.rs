//! A block that is generated: what is looked at, and what is written.

use anyhow::{Context as _, Result};
use lock_core::Token;

use crate::data::{Row, Tx, Value};
use crate::schedule::rota::{self, Assignment};
use crate::schedule::shifts::{Person, Shift};

/// What a block is generated from.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Whether it was generated before.
    pub generated: bool,
    /// Who may be given its shifts.
    pub people: Vec<Person>,
    /// Who has had what so far.
    pub before: Vec<(String, Shift)>,
    /// Its own shifts, by the time they begin.
    pub shifts: Vec<Shift>,
}

/// Looks at a block.
///
/// # Errors
///
/// The database's.
pub async fn look(tx: &mut Tx, block: &str) -> Result<Seen> {
    let done = tx.rows("SELECT count(generated_at) FROM blocks WHERE id = $1", [block.into()]).await?;
    let person = |row: &Row| Ok(Person { name: row.text(0)?, hours: u32::try_from(row.number(1)?)? });
    let people = tx.rows("SELECT name, hours FROM people ORDER BY seq", []).await?;
    let sql = "SELECT id, block, starts, ends FROM shifts WHERE block = $1 ORDER BY starts, seq";
    let shifts = tx.rows(sql, [block.into()]).await?;
    let before = rota::assignments(tx).await?.into_iter();
    Ok(Seen {
        generated: done.first().context("one count")?.number(0)? > 0,
        people: people.iter().map(person).collect::<Result<_>>()?,
        before: before.map(|Assignment { shift, person, .. }| (person, shift)).collect(),
        shifts: shifts.iter().map(rota::shift).collect::<Result<_>>()?,
    })
}

/// Gives a shift of the block to somebody, whoever has it. `moment` is the number of the first of the block.
///
/// # Errors
///
/// The database's.
pub async fn give(tx: &mut Tx, shift: &Shift, person: &str, moment: Option<i64>) -> Result<i64> {
    let sql = "
        INSERT INTO assignments (id, person) VALUES ($1, $2)
        ON CONFLICT (id) DO UPDATE SET person = excluded.person, turn = 1, version = assignments.version + 1";
    let (id, person): (Value, Value) = (shift.id.as_str().into(), person.into());
    tx.rows(sql, [id.clone(), person.clone()]).await?;
    rota::hand_over(tx, moment, [id, 1_i64.into(), person, Value::Number(None)]).await
}

/// Says that the block is generated.
///
/// # Errors
///
/// The database's.
pub async fn finish(tx: &mut Tx, block: &str, worker: &str, token: Option<Token>) -> Result<()> {
    let token = token.map(|token| i64::try_from(token.get())).transpose().context("a token")?;
    let sql = "
        UPDATE blocks SET generated_at = (SELECT now FROM clock), worker = $2, token = $3 WHERE id = $1";
    tx.rows(sql, [block.into(), worker.into(), token.into()]).await?;
    Ok(())
}
