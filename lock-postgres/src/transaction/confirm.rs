//! A commit that happens only while the lock is held.

use lock_core::{Error, ErrorKind, Guard, Key, Result};
use sqlx::Transaction;

use crate::Postgres;
use crate::error::{NAME, explain};

/// The claim's rows, pinned; renewing them goes on, for it touches no column of a key. What a row says is read before
/// it is locked: by then it may have been renewed, which does no harm, or removed, and then it is not there.
const PIN: &str = "
    WITH pinned AS MATERIALIZED (SELECT parts, expires FROM {claims} WHERE owner = $1 FOR KEY SHARE)
    SELECT count(*) > 0 AND count(*) = max(parts) AND bool_and(expires > clock_timestamp()) FROM pinned";

impl Postgres {
    /// Pins the guard's lock until the end of the caller's transaction: it commits **only while the lock is held**.
    ///
    /// From here on nobody else can be granted the lock before the transaction has ended, even if the lease lapses
    /// meanwhile: the successor waits for the transaction. So what is written in it cannot cross with what the successor
    /// writes. Ask for it last, before the commit: a transaction that goes on for long keeps others waiting. The guard's
    /// own renewals are not held up, and nobody else's are.
    ///
    /// The transaction is on the database that the locks are in. [`Guard::release`] while it is open answers
    /// [`Unavailable`](ErrorKind::Unavailable), and the lock is released in the background when it has ended.
    ///
    /// # Errors
    ///
    /// - [`Lost`](ErrorKind::Lost): the lock is not held any more. Roll back.
    /// - [`Invalid`](ErrorKind::Invalid): the guard is of another store.
    /// - As the database has it; then the transaction has failed. One that is not `READ COMMITTED` does not see a lock
    ///   that was taken after its first statement: for it the lock is lost.
    ///
    /// # Cancel safety
    ///
    /// The lock may or may not be pinned, until the transaction ends.
    ///
    /// ```no_run
    /// # async fn example(store: lock_postgres::Postgres, pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
    /// let locks = lock_core::Locker::new(store.clone());
    /// let guard = locks.lock("bot/4").acquire().await?;
    /// let mut tx = pool.begin().await?;
    /// sqlx::query("UPDATE bots SET trades = trades + 1 WHERE id = 4").execute(&mut *tx).await?;
    /// store.confirm(&mut tx, &guard).await?;
    /// tx.commit().await?;
    /// guard.release().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn confirm(&self, tx: &mut Transaction<'_, sqlx::Postgres>, guard: &Guard) -> Result<()> {
        let keys: Vec<Key> = guard.keys().cloned().collect();
        self.pin(tx, guard).await.map_err(|error| error.in_operation("confirm", &keys, NAME))
    }

    async fn pin(&self, tx: &mut Transaction<'_, sqlx::Postgres>, guard: &Guard) -> Result<()> {
        let name = guard.profile().name;
        if name != NAME {
            let message =
                format!("the guard is of {name}; a lock of another store has a token, and `fence` for it");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        for claim in guard.claims() {
            let pin = sqlx::query_scalar(self.names.statement(PIN)).bind(claim.owner().to_bytes());
            let held: bool = pin.fetch_one(&mut **tx).await.map_err(explain)?;
            if !held {
                return Err(Error::new(ErrorKind::Lost, "the lock is not held any more"));
            }
        }
        Ok(())
    }
}
