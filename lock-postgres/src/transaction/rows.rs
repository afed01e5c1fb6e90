//! The caller's own rows, locked in one order.

use lock_core::{Error, ErrorKind, Result};
use sqlx::postgres::PgHasArrayType;
use sqlx::{AssertSqlSafe, Encode, Postgres, SqlSafeStr, Transaction, Type};

use crate::error::{NAME, code, explain};

/// A table of the caller's, whose rows are known by one column.
///
/// Names are quoted: they may have capitals, spaces and quotes.
///
/// ```
/// use lock_postgres::Rows;
/// let orders = Rows::of("orders");
/// let lines = Rows::of("order lines").in_schema("shop").by("line no");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    schema: Option<String>,
    table: String,
    column: String,
}

impl Rows {
    /// A table that the `search_path` leads to, with rows known by `id`.
    ///
    /// ```
    /// let orders = lock_postgres::Rows::of("orders");
    /// ```
    pub fn of(table: impl Into<String>) -> Self {
        Self { schema: None, table: table.into(), column: "id".into() }
    }

    /// The schema that the table is in.
    ///
    /// ```
    /// let orders = lock_postgres::Rows::of("orders").in_schema("shop");
    /// ```
    #[must_use]
    pub fn in_schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = Some(schema.into());
        self
    }

    /// The column that its rows are known by. It has no `NULL` among the ids, and no id changes.
    ///
    /// ```
    /// let orders = lock_postgres::Rows::of("orders").by("number");
    /// ```
    #[must_use]
    pub fn by(mut self, column: impl Into<String>) -> Self {
        self.column = column.into();
        self
    }

    /// Locks as many as the server lets it, in the order of their ids. The position of each in the list.
    fn sql(&self, wait: RowWait) -> String {
        let (table, column) = (crate::names::quote(&self.table), crate::names::quote(&self.column));
        let schema = self.schema.iter().map(|schema| crate::names::quote(schema) + ".").collect::<String>();
        let wait = match wait {
            RowWait::Block => "",
            RowWait::NoWait => " NOWAIT",
            RowWait::Skip => " SKIP LOCKED",
        };
        format!(
            "SELECT array_position($1, its.{column}) FROM {schema}{table} AS its \
             WHERE its.{column} = ANY ($1) ORDER BY its.{column} FOR UPDATE{wait}"
        )
    }
}

/// What to do about rows that another transaction has locked.
///
/// ```
/// use lock_postgres::RowWait;
/// assert_ne!(RowWait::Skip, RowWait::Block);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RowWait {
    /// Wait for it to end.
    Block,
    /// Fail at once.
    NoWait,
    /// Leave them out (`SKIP LOCKED`).
    Skip,
}

/// Locks rows of the caller's with `SELECT … FOR UPDATE`, and answers the ids of those that it locked, in order.
///
/// Rows are locked in the order of their ids, whatever that of the list: two who want the same rows never deadlock. An id
/// that no row has is left out.
///
/// # Errors
///
/// - [`Unavailable`](ErrorKind::Unavailable): with [`RowWait::NoWait`], somebody else has locked a row.
/// - As the database has it. After any error the transaction has failed: roll back.
///
/// # Cancel safety
///
/// Some of the rows may be locked, until the transaction ends.
///
/// ```no_run
/// # async fn example(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// use lock_postgres::{RowWait, Rows, lock_rows};
///
/// let mut tx = pool.begin().await?;
/// let free = lock_rows(&mut tx, &Rows::of("orders"), &[3_i64, 1, 2], RowWait::Skip).await?;
/// // fill the orders that nobody else is filling
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
pub async fn lock_rows<I>(
    tx: &mut Transaction<'_, Postgres>,
    rows: &Rows,
    ids: &[I],
    wait: RowWait,
) -> Result<Vec<I>>
where
    I: Clone + PgHasArrayType + Type<Postgres> + for<'q> Encode<'q, Postgres>,
{
    let sql = AssertSqlSafe(rows.sql(wait)).into_sql_str();
    let locked: sqlx::Result<Vec<i32>> = sqlx::query_scalar(sql).bind(ids).fetch_all(&mut **tx).await;
    let positions = locked.map_err(|error| refused(error).in_operation("lock rows", &[], NAME))?;
    let at = |position: i32| usize::try_from(position - 1).expect("positions are counted from 1");
    Ok(positions.into_iter().map(|position| ids[at(position)].clone()).collect())
}

fn refused(error: sqlx::Error) -> Error {
    match &*code(&error) {
        "55P03" => Error::new(ErrorKind::Unavailable, "another transaction has locked one of the rows")
            .with_source(error),
        _ => explain(error),
    }
}
