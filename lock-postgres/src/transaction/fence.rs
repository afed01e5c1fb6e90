//! The resource's side of a fencing token.

use lock_core::{Error, ErrorKind, Key, Result, Token};
use sqlx::postgres::PgConnection;
use sqlx::{Postgres, Transaction};

use crate::error::{NAME, code, explain};

/// What [`create_fences`] runs, for those who keep their schema in migrations of their own. [`fence`] finds the table by
/// the `search_path`, and needs `SELECT`, `INSERT` and `UPDATE` on it.
///
/// ```
/// assert!(lock_postgres::FENCES.starts_with("CREATE TABLE IF NOT EXISTS lock_fences"));
/// ```
pub const FENCES: &str = r#"CREATE TABLE IF NOT EXISTS lock_fences (resource text COLLATE "C" PRIMARY KEY, token bigint NOT NULL)"#;

/// By whoever comes second: both would create it, and one fail.
const ALONE: &str = "SELECT pg_advisory_xact_lock(hashtextextended('lock_fences', 0))";

/// A resource's row is locked until the transaction ends: so those who write to it follow each other.
const RAISE: &str = "
    INSERT INTO lock_fences AS seen (resource, token) VALUES ($1, $2)
    ON CONFLICT (resource) DO UPDATE SET token = excluded.token WHERE seen.token <= excluded.token";

const SEEN: &str = "SELECT token FROM lock_fences WHERE resource = $1";

/// Makes the table that [`fence`] remembers tokens in, unless it is there.
///
/// # Errors
///
/// As the database has it: the user may not create tables, for one.
///
/// # Cancel safety
///
/// The table is there or it is not.
///
/// ```no_run
/// # async fn example(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// lock_postgres::create_fences(&mut *pool.acquire().await?).await?;
/// # Ok(())
/// # }
/// ```
pub async fn create_fences(connection: &mut PgConnection) -> Result<()> {
    let create = async {
        let mut tx = sqlx::Connection::begin(connection).await?;
        sqlx::query(ALONE).execute(&mut *tx).await?;
        sqlx::query(FENCES).execute(&mut *tx).await?;
        tx.commit().await
    };
    create.await.map_err(|error| explain(error).in_operation("create fences", &[], NAME))
}

/// Refuses the caller's transaction if a later holder has been here before it: remembers the highest token seen for a
/// resource, and refuses a lower one.
///
/// For exclusive locks of any store, whose guard may have been lost without its holder knowing. Raise the fence when you
/// look, and again when you write what follows from what you saw: then nobody who held the lock before can write in
/// between. Until the transaction ends, others who raise it wait. The same token may come again. A resource is called by
/// the rules of a [`Key`], and most often by the key itself; each has a row in a table that [`create_fences`] makes. Shared
/// holders are not ordered among each other: their tokens fence nothing.
///
/// # Errors
///
/// - [`Lost`](ErrorKind::Lost): a higher token has been seen. Roll back.
/// - [`Invalid`](ErrorKind::Invalid): the resource is called what no key can be, or no store issues such a token.
/// - As the database has it; then the transaction has failed.
///
/// # Cancel safety
///
/// The token may or may not be remembered, if the transaction commits.
///
/// ```no_run
/// # async fn example(locks: lock_core::Locker, pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// let guard = locks.lock("bot/4").acquire().await?;
/// let mut tx = pool.begin().await?;
/// lock_postgres::fence(&mut tx, "bot/4", guard.token()).await?;
/// sqlx::query("UPDATE bots SET trades = trades + 1 WHERE id = 4").execute(&mut *tx).await?;
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
pub async fn fence(
    tx: &mut Transaction<'_, Postgres>,
    resource: impl AsRef<str>,
    token: Token,
) -> Result<()> {
    let resource = Key::new(resource)?;
    raise(tx, &resource, token).await.map_err(|error| error.in_operation("fence", &[resource], NAME))
}

async fn raise(tx: &mut Transaction<'_, Postgres>, resource: &Key, token: Token) -> Result<()> {
    let number = i64::try_from(token.get()).ok().filter(|_| token.get() < Token::LIMIT).ok_or_else(|| {
        Error::new(ErrorKind::Invalid, format!("the token is {token}; tokens are below 2^53"))
    })?;
    let raised = sqlx::query(RAISE).bind(resource.as_str()).bind(number).execute(&mut **tx).await;
    if raised.map_err(missing)?.rows_affected() == 1 {
        return Ok(());
    }
    let seen: i64 =
        sqlx::query_scalar(SEEN).bind(resource.as_str()).fetch_one(&mut **tx).await.map_err(explain)?;
    Err(Error::new(ErrorKind::Lost, format!("token {token} comes too late: {seen} has been seen")))
}

fn missing(error: sqlx::Error) -> Error {
    match &*code(&error) {
        "42P01" => {
            let message = "there is no table lock_fences in the search path: create_fences makes it";
            Error::new(ErrorKind::Backend, message).with_source(error)
        }
        _ => explain(error),
    }
}
