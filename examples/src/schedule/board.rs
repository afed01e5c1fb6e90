//! The board of a day: who is on, read shift by shift.

use anyhow::{Context as _, Result};

use crate::data::{Tx, Value};
use crate::schedule::rota::Rota;

/// As many shifts as a board has room for; and a claim for keys.
pub const ROOM: usize = 32;

/// A shift on a board, and whose it was when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The shift.
    pub shift: String,
    /// Nobody, where the block is not generated.
    pub holder: Option<(String, i64)>,
}

/// Reads one line.
///
/// # Errors
///
/// The database's.
pub async fn read(rota: &Rota, shift: &str) -> Result<Line> {
    let rows = rota.ask("SELECT person, turn FROM assignments WHERE id = $1", [shift.into()]).await?;
    let holder =
        rows.first().map(|row| Ok::<_, anyhow::Error>((row.text(0)?, row.number(1)?))).transpose()?;
    Ok(Line { shift: shift.to_owned(), holder })
}

/// Keeps what was read.
///
/// # Errors
///
/// The database's.
pub async fn keep(tx: &mut Tx, lines: &[Line], worker: &str) -> Result<()> {
    let rows = tx.rows("INSERT INTO boards (worker) VALUES ($1) RETURNING id", [worker.into()]).await?;
    let board = rows.first().context("a row was inserted")?.number(0)?;
    let line = |line: &Line| {
        let (person, turn) = line.holder.clone().unwrap_or_default();
        vec![Value::from(board), line.shift.as_str().into(), turn.into(), person.as_str().into()]
    };
    tx.insert("INSERT INTO lines (board, shift, turn, person) VALUES", lines.iter().map(line).collect()).await
}
