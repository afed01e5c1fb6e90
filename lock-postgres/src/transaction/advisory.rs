//! Advisory locks by key, for as long as a transaction lasts.

use lock_core::{Key, Keys, Result};
use sqlx::{Postgres, Transaction};

use crate::error::{NAME, explain};

/// Sets these locks apart from what others make of the same names.
const NAMESPACE: i64 = 0x6c6f_636b_5f69_6e00;

/// In one order, whatever that of the keys: so that two who want the same keys never wait for each other.
const LOCK: &str = "
    SELECT count(pg_advisory_xact_lock(number)) FROM
        (SELECT DISTINCT hashtextextended(key, $2) AS number FROM unnest($1) AS key ORDER BY number) AS numbers";

const TRY: &str = "
    SELECT bool_and(pg_try_advisory_xact_lock(number)) FROM
        (SELECT DISTINCT hashtextextended(key, $2) AS number FROM unnest($1) AS key) AS numbers";

/// Locks keys for as long as the caller's transaction lasts, waiting for other transactions that have.
///
/// There is no lease and no token, and nothing to release: commit and rollback do, and so does the end of the connection.
/// It excludes other transactions that ask for the same keys in this way, in the same database, and not those who take a
/// [`Lock`](lock_core::Lock) of that name. Keys are locked in one order, whatever theirs: two calls never deadlock; two
/// calls in one transaction may, and PostgreSQL then ends one of them. Two keys may share a lock, one pair in 2⁶⁴.
///
/// It waits as long as `lock_timeout` lets it.
///
/// # Errors
///
/// - [`Invalid`](lock_core::ErrorKind::Invalid): no such key.
/// - As the database has it; then the transaction has failed.
///
/// # Cancel safety
///
/// Some of the keys may be locked, until the transaction ends.
///
/// ```no_run
/// # async fn example(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// let mut tx = pool.begin().await?;
/// lock_postgres::lock_in(&mut tx, ["account/1", "account/2"]).await?;
/// // nobody else is between here and the commit
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
pub async fn lock_in(tx: &mut Transaction<'_, Postgres>, keys: impl Keys) -> Result<()> {
    let keys = keys.into_keys()?;
    let locked = sqlx::query(LOCK).bind(names(&keys)).bind(NAMESPACE).execute(&mut **tx).await;
    locked.map_err(|error| explain(error).in_operation("lock in transaction", &keys, NAME)).map(drop)
}

/// Locks keys for as long as the caller's transaction lasts, all of them or, if another transaction has one, none.
///
/// Otherwise as [`lock_in`]. It waits for nobody.
///
/// # Errors
///
/// As [`lock_in`].
///
/// # Cancel safety
///
/// As [`lock_in`].
///
/// ```no_run
/// # async fn example(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// let mut tx = pool.begin().await?;
/// if lock_postgres::try_lock_in(&mut tx, "report/2025-01").await? {
///     // nobody else is between here and the commit
/// }
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
pub async fn try_lock_in(tx: &mut Transaction<'_, Postgres>, keys: impl Keys) -> Result<bool> {
    let keys = keys.into_keys()?;
    try_all(tx, &keys)
        .await
        .map_err(|error| explain(error).in_operation("try to lock in transaction", &keys, NAME))
}

/// Going back to a savepoint gives back what was locked since.
async fn try_all(tx: &mut Transaction<'_, Postgres>, keys: &[Key]) -> sqlx::Result<bool> {
    let mut attempt = sqlx::Acquire::begin(&mut **tx).await?;
    let all: bool =
        sqlx::query_scalar(TRY).bind(names(keys)).bind(NAMESPACE).fetch_one(&mut *attempt).await?;
    match all {
        true => attempt.commit().await?,
        false => attempt.rollback().await?,
    }
    Ok(all)
}

fn names(keys: &[Key]) -> Vec<&str> {
    keys.iter().map(Key::as_str).collect()
}
