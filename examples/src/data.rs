//! Where the data of a workflow is: in SQLite or in PostgreSQL, spoken to in the same SQL.
//!
//! Statements have `$1`, `$2`, … for their values. Everything happens in a [`Tx`], a transaction that is rolled back if
//! it is dropped. Whoever holds a lock shows it when one begins ([`Proof`]), and learns there and then if it comes too late.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use lock_core::{Guard, Token};
use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

pub use crate::place::Place;

pub(crate) mod postgres;
mod sqlite;

pub use postgres::Database as Postgres;
pub use sqlite::File as Sqlite;

/// One process's way to the data.
#[derive(Clone, Debug)]
pub enum Data {
    /// In a file.
    Sqlite(Sqlite),
    /// In a schema of its own.
    Postgres(Postgres),
}

/// Why a transaction may go on.
#[derive(Clone, Copy, Debug)]
pub enum Proof<'a> {
    /// It needs no lock, or has none to show.
    None,
    /// A lock that lives in the same PostgreSQL. From here to its end the transaction has it: it commits only while the lock
    /// is held.
    Held(&'a lock_postgres::Postgres, &'a Guard),
    /// The token of a lock that lives anywhere, for what it protects: no higher one may have been seen.
    Token(&'a str, Token),
    /// The same for several things that it protects, or that several locks do: each has its own.
    Tokens(&'a [(String, Token)]),
}

impl Proof<'_> {
    /// The fencing token, if there is a lock.
    pub fn token(self) -> Option<Token> {
        match self {
            Self::None => None,
            Self::Held(_, guard) => Some(guard.token()),
            Self::Token(_, token) => Some(token),
            Self::Tokens(tokens) => tokens.iter().map(|(_, token)| *token).max(),
        }
    }
}

impl Data {
    /// Makes the tables that `script` says, in a place that has none; what is done in the transaction is there with them,
    /// or not at all. In the script, `{number}` is the type of a column that counts by itself, and `{now}` the time in
    /// milliseconds.
    ///
    /// # Errors
    ///
    /// The place has a file of that name already, or cannot be written to.
    pub async fn create(place: &Place, name: &str, script: &str) -> Result<(Self, Tx)> {
        let data = match place {
            Place::Directory(dir) => Self::Sqlite(Sqlite::create(dir, name)?),
            Place::Schema(_) => Self::open(place, name, Duration::MAX).await?,
        };
        let (number, now) = match data {
            Self::Sqlite(_) => sqlite::WORDS,
            Self::Postgres(_) => postgres::WORDS,
        };
        let mut tx = data.begin(Proof::None).await?.context("nobody asks for a proof")?;
        let script = script.replace("{number}", number).replace("{now}", now);
        match &mut tx {
            Tx::Sqlite(tx) => tx.script(&script)?,
            Tx::Postgres(tx) => tx.script(script).await?,
        }
        Ok((data, tx))
    }

    /// Opens what was made. `ttl` is how long a row that was locked outlives a worker that was stopped.
    ///
    /// # Errors
    ///
    /// There is nothing of that name, or it cannot be reached.
    pub async fn open(place: &Place, name: &str, ttl: Duration) -> Result<Self> {
        Ok(match place {
            Place::Directory(dir) => Self::Sqlite(Sqlite::open(dir, name)?),
            Place::Schema(url) => Self::Postgres(Postgres::connect(url, ttl).await?),
        })
    }

    /// Begins a transaction that may write; `None` if the proof comes too late.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn begin(&self, proof: Proof<'_>) -> Result<Option<Tx>> {
        match self {
            Self::Sqlite(file) => Ok(file.begin(proof).await?.map(Tx::Sqlite)),
            Self::Postgres(database) => Ok(database.begin(proof).await?.map(Tx::Postgres)),
        }
    }

    /// Begins a transaction that only reads, and sees everything as it is at one moment.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn snapshot(&self) -> Result<Tx> {
        match self {
            Self::Sqlite(file) => Ok(Tx::Sqlite(file.snapshot().await?)),
            Self::Postgres(database) => Ok(Tx::Postgres(database.snapshot().await?)),
        }
    }
}

/// A transaction. Dropped, it is rolled back.
#[derive(Debug)]
pub enum Tx {
    /// In a file.
    Sqlite(sqlite::Tx),
    /// In a schema.
    Postgres(postgres::Tx),
}

impl Tx {
    /// Runs a statement, and answers its rows.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn rows(
        &mut self,
        sql: &'static str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<Row>> {
        self.run(sql.into_sql_str(), values.into_iter().collect()).await
    }

    /// Inserts many rows at once: `into` goes as far as `VALUES`.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn insert(&mut self, into: &'static str, rows: Vec<Vec<Value>>) -> Result<()> {
        // As many values as both databases take.
        for rows in rows.chunks(1000) {
            let (mut sql, mut number) = (into.to_owned(), 0);
            for row in rows {
                sql.push_str(if number == 0 { " (" } else { ", (" });
                for column in 0..row.len() {
                    number += 1;
                    let comma = if column == 0 { "" } else { ", " };
                    write!(sql, "{comma}${number}").context("a string takes everything")?;
                }
                sql.push(')');
            }
            self.run(AssertSqlSafe(sql).into_sql_str(), rows.concat()).await?;
        }
        Ok(())
    }

    async fn run(&mut self, sql: SqlStr, values: Vec<Value>) -> Result<Vec<Row>> {
        match self {
            Self::Sqlite(tx) => tx.rows(sql.as_str(), &values),
            Self::Postgres(tx) => tx.rows(sql, values).await,
        }
    }

    /// Whether rows can be locked in it. In SQLite whoever writes is alone.
    pub fn has_rows(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// Locks a row until the transaction ends; false if it was busy and not to be waited for.
    ///
    /// # Errors
    ///
    /// The database's. SQLite has no locks on rows.
    pub async fn lock_row(&mut self, table: &str, id: &str, wait: lock_postgres::RowWait) -> Result<bool> {
        Ok(self.lock_rows(table, &[id.to_owned()], wait).await? > 0)
    }

    /// Locks rows until the transaction ends, in the order of their ids, and answers how many.
    ///
    /// # Errors
    ///
    /// The database's. SQLite has no locks on rows.
    pub async fn lock_rows(
        &mut self,
        table: &str,
        ids: &[String],
        wait: lock_postgres::RowWait,
    ) -> Result<usize> {
        match self {
            Self::Sqlite(_) => bail!("SQLite has no locks on rows"),
            Self::Postgres(tx) => tx.lock_rows(table, ids, wait).await,
        }
    }

    /// Does something else, with the transaction open all the while.
    ///
    /// # Errors
    ///
    /// The database's: the transaction has come to an end.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T> {
        match self {
            Self::Sqlite(_) => Ok(work.await),
            Self::Postgres(tx) => tx.during(work).await,
        }
    }

    /// Makes it last.
    ///
    /// # Errors
    ///
    /// The database's: it may have been made to last or not.
    pub async fn commit(self) -> Result<()> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(tx) => tx.commit().await,
        }
    }
}

/// A value of a statement or of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A whole number, or none.
    Number(Option<i64>),
    /// A text, or none.
    Text(Option<String>),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

/// A row of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(Vec<Value>);

impl Row {
    /// The number in a column.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn number(&self, column: usize) -> Result<i64> {
        match self.0.get(column) {
            Some(Value::Number(Some(number))) => Ok(*number),
            _ => bail!("column {column} of a row has no number"),
        }
    }

    /// The text in a column.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn text(&self, column: usize) -> Result<String> {
        self.text_if_any(column)?.with_context(|| format!("column {column} of a row has no text"))
    }

    /// The text in a column, or nothing.
    ///
    /// # Errors
    ///
    /// There is something else.
    pub fn text_if_any(&self, column: usize) -> Result<Option<String>> {
        match self.0.get(column) {
            Some(Value::Text(text)) => Ok(text.clone()),
            Some(Value::Number(None)) => Ok(None),
            _ => bail!("column {column} of a row has no text"),
        }
    }
}
