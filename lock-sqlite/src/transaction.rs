//! Locks inside the caller's own transaction: what a lease cannot promise, the database can.

use std::path::Path;

use lock_core::{Error, ErrorKind, Guard, Key, Result, Token};
#[cfg(doc)]
use rusqlite::TransactionBehavior;
use rusqlite::{OptionalExtension, Transaction, ffi, params};

use crate::clock::Boot;
use crate::connection::VERSION;
use crate::error::{NAME, explain};

/// Pins the guard's lock until the end of the caller's transaction: it commits **only while the lock is held**.
///
/// The lock file must be a database of the transaction's connection: the one that was opened, or one that was attached
/// (`ATTACH 'locks.db' AS locks`) beside the caller's own. From here on the transaction has the file's write lock, if it
/// did not before. Taking a lock is a write, too: so nobody else can be granted this one before the transaction has ended,
/// even if the lease lapses meanwhile. The successor waits, and sees what was committed.
///
/// Nor can anybody else take, renew or release any lock of the file. Ask for this last, commit, and do nothing with locks
/// in between: in one process that waits for itself. Calls of others wait for about five seconds; then they are
/// [`Unavailable`](ErrorKind::Unavailable) and tried again, and what cannot be renewed within its ttl lapses.
///
/// A transaction that has read a database cannot become its writer once somebody else has written to it. So where your
/// tables are in the lock file, begin with `BEGIN IMMEDIATE` ([`TransactionBehavior::Immediate`]). Where it is attached,
/// `BEGIN` does: the lock file is first touched here, while `BEGIN IMMEDIATE` keeps others from it from the start.
///
/// # Errors
///
/// - [`Lost`](ErrorKind::Lost): the lock is not held any more, or was taken in another file. Roll back.
/// - [`Invalid`](ErrorKind::Invalid): the guard is of another store, or no database of the connection has lock tables.
/// - [`Unavailable`](ErrorKind::Unavailable): somebody else is writing, or has written since the transaction first read.
///   Roll back, and begin again while the lock is held.
/// - [`Unsupported`](ErrorKind::Unsupported), [`Backend`](ErrorKind::Backend): as for
///   [`Sqlite::open`](crate::Sqlite::open).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use lock_core::Locker;
/// use lock_sqlite::{Sqlite, confirm};
/// use rusqlite::{Connection, TransactionBehavior};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("locks.db");
/// let locks = Locker::new(Sqlite::open(&path).await?);
/// let mut db = Connection::open(&path)?; // with tables of your own
/// # db.execute_batch("CREATE TABLE trades (bot TEXT)")?;
///
/// let guard = locks.lock("bot/4").acquire().await?;
/// let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
/// tx.execute("INSERT INTO trades VALUES ('4')", [])?;
/// confirm(&tx, &guard)?; // else the transaction is dropped, and with it the trade
/// tx.commit()?;
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
pub fn confirm(tx: &Transaction<'_>, guard: &Guard) -> Result<()> {
    let keys: Vec<Key> = guard.keys().cloned().collect();
    pin(tx, guard).map_err(|error| error.in_operation("confirm", &keys, NAME))
}

fn pin(tx: &Transaction<'_>, guard: &Guard) -> Result<()> {
    let name = guard.profile().name;
    if name != NAME {
        let message =
            format!("the guard is of {name}; a lock of another store has a token, and `fence` for it");
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let mut found = false;
    // Not by `PRAGMA database_list`: a statement that reads is one that a later write may fail for.
    for database in (0..).map_while(|index| tx.db_name(index).ok()) {
        match holds(tx, &database, guard)? {
            Some(true) => return Ok(()),
            Some(false) => found = true,
            None => {}
        }
    }
    Err(if found {
        Error::new(ErrorKind::Lost, "the lock is not held any more, or in another file")
    } else {
        let message =
            "no database of this connection has lock tables; open the lock file with it, or attach it";
        Error::new(ErrorKind::Invalid, message)
    })
}

/// Keeps all others from writing to a lock file, and then looks whether it has the guard's claims, unlapsed. `None` if it
/// is no lock file.
fn holds(tx: &Transaction<'_>, database: &str, guard: &Guard) -> Result<Option<bool>> {
    let quoted = format!("\"{}\"", database.replace('"', "\"\""));
    // Removes nothing: every owner has 16 bytes. But it is a write.
    let mut pin = match tx.prepare(&format!("DELETE FROM {quoted}.lock_claims WHERE owner = x''")) {
        Err(error) if is_no_table(&error) => return Ok(None),
        pin => pin.map_err(|error| failed(error, database))?,
    };
    let mut look = || {
        pin.execute([])?;
        let sql = format!("SELECT version, boot FROM {quoted}.lock_meta");
        let of = tx.query_row(&sql, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
        let mut expiries = Vec::new();
        let mut find = tx.prepare(&format!("SELECT expires FROM {quoted}.lock_claims WHERE owner = ?1"))?;
        for claim in guard.claims() {
            expiries.push(find.query_row([claim.owner().to_bytes()], |row| row.get::<_, i64>(0)).optional()?);
        }
        Ok((of, expiries))
    };
    let ((version, of_boot), expiries) = look().map_err(|error| failed(error, database))?;
    if version != VERSION {
        let message = format!(
            "{database} has lock tables of version {version}; this lock-sqlite knows version {VERSION}: use a newer one"
        );
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let boot = Boot::read().map_err(|error| {
        Error::new(ErrorKind::Unsupported, "the kernel's boot id cannot be read").with_source(error)
    })?;
    // Read last: what the file says was true at this moment, and stays so.
    let now = boot.now();
    let unlapsed = expiries.iter().all(|expires| expires.is_some_and(|expires| expires > now));
    Ok(Some(of_boot == boot.id && unlapsed))
}

/// Refuses the caller's transaction if a later holder has been here before it: remembers the highest token seen for a
/// resource, and refuses a lower one.
///
/// For exclusive locks of any store, whose guard may have been lost without its holder knowing. Raise the fence when you
/// look, and again when you write what follows from what you saw: then nobody who held the lock before can write in
/// between. The same token may come again. A resource is called by the rules of a [`Key`], and most often by the key
/// itself. Shared holders are not ordered among each other: their tokens fence nothing.
///
/// The tokens are in the table `lock_fences` of the connection's main database, a row for each resource. It is made when
/// it is first needed, inside the transaction. From here on the transaction is a writer.
///
/// # Errors
///
/// - [`Lost`](ErrorKind::Lost): a higher token has been seen. Roll back.
/// - [`Invalid`](ErrorKind::Invalid): the resource is called what no key can be, or no store issues such a token.
/// - [`Unavailable`](ErrorKind::Unavailable): somebody else is writing, or has written since the transaction first read:
///   begin it with `BEGIN IMMEDIATE`. Or the disk is full or failed.
/// - [`Backend`](ErrorKind::Backend): the database cannot be written.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use lock_core::{ErrorKind, Locker, Memory};
/// use lock_sqlite::fence;
/// use rusqlite::{Connection, TransactionBehavior};
///
/// let locks = Locker::new(Memory::new()); // or Redis: any store
/// # let directory = tempfile::tempdir()?;
/// let mut db = Connection::open(directory.path().join("trades.db"))?;
///
/// let paused = locks.lock("bot/4").acquire().await?.token();
/// let guard = locks.lock("bot/4").acquire().await?; // the first was lost meanwhile
/// let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
/// fence(&tx, "bot/4", guard.token())?;
/// tx.commit()?;
///
/// let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
/// assert_eq!(fence(&tx, "bot/4", paused).unwrap_err().kind(), ErrorKind::Lost);
/// # Ok(())
/// # }
/// ```
pub fn fence(tx: &Transaction<'_>, resource: impl AsRef<str>, token: Token) -> Result<()> {
    let resource = Key::new(resource)?;
    raise(tx, &resource, token).map_err(|error| error.in_operation("fence", &[resource], NAME))
}

fn raise(tx: &Transaction<'_>, resource: &Key, token: Token) -> Result<()> {
    let number = i64::try_from(token.get()).ok().filter(|_| token.get() < Token::LIMIT).ok_or_else(|| {
        Error::new(ErrorKind::Invalid, format!("the token is {token}; tokens are below 2^53"))
    })?;
    let raise = || {
        // Prepared anew each time: one that was kept would not tell that the table has been rolled back.
        let mut raise = match tx.prepare(RAISE) {
            Err(error) if is_no_table(&error) => {
                tx.execute_batch(FENCES)?;
                tx.prepare(RAISE)
            }
            raise => raise,
        }?;
        if raise.execute(params![resource.as_str(), number])? == 1 {
            return Ok(None);
        }
        tx.query_row(SEEN, [resource.as_str()], |row| row.get::<_, i64>(0)).map(Some)
    };
    let path = tx.path().filter(|path| !path.is_empty()).unwrap_or("main");
    match raise().map_err(|error| failed(error, path))? {
        None => Ok(()),
        Some(seen) => {
            let message = format!("token {token} comes too late: {seen} has been seen");
            Err(Error::new(ErrorKind::Lost, message))
        }
    }
}

const FENCES: &str = "
    CREATE TABLE IF NOT EXISTS main.lock_fences (resource TEXT PRIMARY KEY, token INTEGER NOT NULL)
    STRICT, WITHOUT ROWID";

const RAISE: &str = "
    INSERT INTO main.lock_fences VALUES (?1, ?2)
    ON CONFLICT (resource) DO UPDATE SET token = excluded.token WHERE token <= excluded.token";

const SEEN: &str = "SELECT token FROM main.lock_fences WHERE resource = ?1";

/// Whether what was to be prepared names a table that is not there. SQLite has no number of its own for that.
fn is_no_table(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqlInputError { error, .. } | rusqlite::Error::SqliteFailure(error, _) => {
            error.extended_code == ffi::SQLITE_ERROR
        }
        _ => false,
    }
}

fn failed(error: rusqlite::Error, database: &str) -> Error {
    let code = error.sqlite_error().map(|error| error.extended_code);
    if code == Some(ffi::SQLITE_BUSY_SNAPSHOT) {
        let message = "somebody has written since this transaction first read; begin it with BEGIN IMMEDIATE";
        return Error::new(ErrorKind::Unavailable, message).with_source(error);
    }
    explain(error, Path::new(database))
}
