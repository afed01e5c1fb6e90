//! The rota: people, blocks of shifts, and who has them.
//!
//! What has to hold from a look to the write that follows from it is what the lock is for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::data::{Data, Place, Proof, Row, Tx, Value};
use crate::place::drawn;
use crate::schedule::shifts::{Person, Shift};

/// One process's way to the rota.
#[derive(Clone, Debug)]
pub struct Rota {
    data: Data,
    name: Arc<str>,
}

/// Who has a shift, and as of which turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The shift.
    pub shift: Shift,
    /// Whose it is.
    pub person: String,
    /// One when it was generated, and one more each time it went to somebody else.
    pub turn: i64,
}

const ALL: &str = "
    SELECT shifts.id, block, starts, ends, person, turn
    FROM shifts JOIN assignments ON assignments.id = shifts.id ORDER BY starts, shifts.seq";

impl Rota {
    /// What the rota is called where it is kept.
    pub const FILE: &str = "rota";

    /// Creates the rota of some people and shifts, with nothing generated.
    ///
    /// # Errors
    ///
    /// There is one already, or it cannot be written to.
    pub async fn create(place: &Place, people: &[Person], shifts: &[Shift]) -> Result<Self> {
        let (data, mut tx) = Data::create(place, Self::FILE, include_str!("schema.sql")).await?;
        let name = drawn("rota-");
        let fill = async {
            tx.rows("INSERT INTO rota VALUES ($1)", [name.as_str().into()]).await?;
            insert(&mut tx, people, shifts).await?;
            tx.commit().await
        };
        fill.await.with_context(|| format!("cannot write the rota in {place}"))?;
        Ok(Self { data, name: name.into() })
    }

    /// Opens the rota in a place. `ttl` is how long a row that was locked outlives a worker that was stopped.
    ///
    /// # Errors
    ///
    /// There is none, or it cannot be read.
    pub async fn open(place: &Place, ttl: Duration) -> Result<Self> {
        let data = Data::open(place, Self::FILE, ttl).await?;
        let name = async {
            let mut tx = data.snapshot().await?;
            let rows = tx.rows("SELECT name FROM rota", []).await?;
            tx.commit().await?;
            rows.first().context("it has no name")?.text(0)
        };
        let name = name.await.with_context(|| format!("cannot open the rota in {place}"))?;
        Ok(Self { data, name: name.into() })
    }

    /// What tells it from other rotas.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the database has locks on rows.
    pub fn has_row_locks(&self) -> bool {
        matches!(self.data, Data::Postgres(_))
    }

    /// Begins a look or a write; `None` if the proof of the lock comes too late.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn begin(&self, proof: Proof<'_>) -> Result<Option<Tx>> {
        self.data.begin(proof).await.context("the rota")
    }

    /// Begins what needs no proof.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn unproven(&self) -> Result<Tx> {
        self.begin(Proof::None).await?.context("nobody asks for a proof")
    }

    /// Begins to read what is there at one moment.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn snapshot(&self) -> Result<Tx> {
        self.data.snapshot().await.context("the rota")
    }

    /// The rows of one question, as they are at one moment.
    pub(crate) async fn ask(
        &self,
        sql: &'static str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<Row>> {
        let mut tx = self.snapshot().await?;
        let rows = tx.rows(sql, values).await?;
        tx.commit().await?;
        Ok(rows)
    }

    /// All shifts, as they came, with their blocks in the order in which these are generated.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn shifts(&self) -> Result<Vec<Shift>> {
        let all = "SELECT id, block, starts, ends FROM shifts ORDER BY seq";
        self.ask(all, []).await?.iter().map(shift).collect()
    }

    /// Who has which shift of the blocks that are generated, by the time they begin.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn assignments(&self) -> Result<Vec<Assignment>> {
        self.ask(ALL, []).await?.iter().map(assignment).collect()
    }

    /// Takes note of something that was refused because its lock was lost.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn refused(&self, worker: &str, what: &str) -> Result<()> {
        let mut tx = self.unproven().await?;
        let sql = "INSERT INTO refusals (worker, what) VALUES ($1, $2)";
        tx.rows(sql, [worker.into(), what.into()]).await?;
        tx.commit().await
    }
}

/// The same in a transaction.
pub(crate) async fn assignments(tx: &mut Tx) -> Result<Vec<Assignment>> {
    tx.rows(ALL, []).await?.iter().map(assignment).collect()
}

/// Takes note of who got a shift: the shift, the turn, the person, and the swap if it was one. All that happens at one moment
/// has the number of the first of it, which is answered.
pub(crate) async fn hand_over(tx: &mut Tx, moment: Option<i64>, what: [Value; 4]) -> Result<i64> {
    let sql = "
        INSERT INTO handovers (shift, turn, person, swap, moment) VALUES ($1, $2, $3, $4, $5) RETURNING id";
    let rows = tx.rows(sql, what.into_iter().chain([moment.into()])).await?;
    let own = rows.first().context("a row was inserted")?.number(0)?;
    Ok(moment.unwrap_or(own))
}

async fn insert(tx: &mut Tx, people: &[Person], shifts: &[Shift]) -> Result<()> {
    let people = (1_i64..)
        .zip(people)
        .map(|(seq, person)| vec![seq.into(), person.name.as_str().into(), i64::from(person.hours).into()]);
    tx.insert("INSERT INTO people (seq, name, hours) VALUES", people.collect()).await?;
    let mut seen = BTreeSet::new();
    let blocks = shifts.iter().map(|shift| &shift.block).filter(|block| seen.insert(*block));
    let blocks = (1_i64..).zip(blocks).map(|(seq, block)| vec![seq.into(), block.as_str().into()]);
    tx.insert("INSERT INTO blocks (seq, id) VALUES", blocks.collect()).await?;
    let shifts = (1_i64..).zip(shifts).map(|(seq, shift)| {
        let [id, block] = [&shift.id, &shift.block].map(|text| Value::from(&**text));
        vec![seq.into(), id, block, shift.starts.into(), shift.ends.into()]
    });
    tx.insert("INSERT INTO shifts (seq, id, block, starts, ends) VALUES", shifts.collect()).await
}

pub(crate) fn shift(row: &Row) -> Result<Shift> {
    Ok(Shift { id: row.text(0)?, block: row.text(1)?, starts: row.number(2)?, ends: row.number(3)? })
}

pub(crate) fn assignment(row: &Row) -> Result<Assignment> {
    Ok(Assignment { shift: shift(row)?, person: row.text(4)?, turn: row.number(5)? })
}
