//! Data in a SQLite file.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, bail};
use lock_core::ErrorKind;
use lock_sqlite::fence;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{
    Connection, DropBehavior, ErrorCode, OpenFlags, ToSql, Transaction, TransactionBehavior, params_from_iter,
};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::spawn_blocking;

use super::{Proof, Row, Value};

/// A column that counts by itself, and the time.
pub(super) const WORDS: (&str, &str) =
    ("INTEGER PRIMARY KEY AUTOINCREMENT", "(CAST(unixepoch('subsec') * 1000 AS INTEGER))");

/// How long others may write before that is an error.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection to a file. One transaction at a time uses it.
#[derive(Clone)]
pub struct File(Arc<Mutex<Connection>>);

impl File {
    /// Where it is.
    pub fn path(dir: &Path, name: &str) -> PathBuf {
        dir.join(format!("{name}.db"))
    }

    pub(super) fn create(dir: &Path, name: &str) -> Result<Self> {
        let path = Self::path(dir, name);
        if path.exists() {
            bail!("{} is there already: remove it, or choose another directory with --data", path.display());
        }
        let create = || {
            let file = connect(&path, OpenFlags::SQLITE_OPEN_CREATE)?;
            file.pragma_update(None, "journal_mode", "wal")?;
            Ok::<_, rusqlite::Error>(Self(Arc::new(Mutex::new(file))))
        };
        create().with_context(|| format!("cannot create {}", path.display()))
    }

    pub(super) fn open(dir: &Path, name: &str) -> Result<Self> {
        let path = Self::path(dir, name);
        let file = connect(&path, OpenFlags::empty());
        Ok(Self(Arc::new(Mutex::new(file.with_context(|| format!("cannot open {}", path.display()))?))))
    }

    pub(super) async fn begin(&self, proof: Proof<'_>) -> Result<Option<Tx>> {
        match proof {
            Proof::None => self.start(TransactionBehavior::Immediate, |_| Ok(())).await,
            Proof::Held(..) => bail!("the lock is in PostgreSQL: its token has to be compared"),
            Proof::Token(resource, token) => {
                let resource = resource.to_owned();
                self.start(TransactionBehavior::Immediate, move |tx| fence(tx, &resource, token)).await
            }
            Proof::Tokens(tokens) => {
                let tokens = tokens.to_vec();
                let all = move |tx: &Transaction<'_>| {
                    tokens.iter().try_for_each(|(resource, token)| fence(tx, resource, *token))
                };
                self.start(TransactionBehavior::Immediate, all).await
            }
        }
    }

    pub(super) async fn snapshot(&self) -> Result<Tx> {
        self.start(TransactionBehavior::Deferred, |_| Ok(())).await?.context("nobody asks for a proof")
    }

    async fn start(
        &self,
        behavior: TransactionBehavior,
        admit: impl Fn(&Transaction<'_>) -> lock_core::Result<()> + Send + 'static,
    ) -> Result<Option<Tx>> {
        let open = Tx(self.0.clone().lock_owned().await);
        // Mostly nobody else writes. Else it is waited for on another thread.
        open.0.busy_timeout(Duration::ZERO)?;
        let entered = enter(&open.0, behavior, &admit);
        open.0.busy_timeout(PATIENCE)?;
        match entered {
            Err(error) if is_busy(&error) => {
                spawn_blocking(move || Ok(enter(&open.0, behavior, &admit)?.then_some(open))).await?
            }
            entered => Ok(entered?.then_some(open)),
        }
    }
}

fn is_busy(error: &Error) -> bool {
    let error = error.downcast_ref::<rusqlite::Error>();
    error.and_then(rusqlite::Error::sqlite_error_code) == Some(ErrorCode::DatabaseBusy)
}

/// Begins a transaction that goes on; false if it was not admitted.
fn enter(
    file: &Connection,
    behavior: TransactionBehavior,
    admit: impl Fn(&Transaction<'_>) -> lock_core::Result<()>,
) -> Result<bool> {
    let mut tx = Transaction::new_unchecked(file, behavior)?;
    match admit(&tx) {
        Err(error) if error.kind() == ErrorKind::Lost => return Ok(false),
        admitted => admitted?,
    }
    tx.set_drop_behavior(DropBehavior::Ignore);
    Ok(true)
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").finish_non_exhaustive()
    }
}

fn connect(path: &Path, more: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    let file = Connection::open_with_flags(path, flags)?;
    file.busy_timeout(PATIENCE)?;
    file.pragma_update(None, "synchronous", "normal")?;
    Ok(file)
}

/// A transaction: the connection, for as long as it lasts.
#[derive(Debug)]
pub struct Tx(OwnedMutexGuard<Connection>);

impl Tx {
    /// Waits for nobody: whoever writes is alone in the file.
    pub(super) fn rows(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>> {
        // What a dollar begins has a name here, and no number.
        let mut statement = self.0.prepare_cached(&sql.replace('$', "?"))?;
        let width = statement.column_count();
        let read = |row: &rusqlite::Row<'_>| {
            (0..width).map(|column| value(row.get_ref(column)?)).collect::<Result<_>>().map(Row)
        };
        statement.query_and_then(params_from_iter(values), read)?.collect()
    }

    pub(super) fn script(&mut self, script: &str) -> Result<()> {
        Ok(self.0.execute_batch(script)?)
    }

    pub(super) async fn commit(self) -> Result<()> {
        Ok(self.0.execute_batch("COMMIT")?)
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if !self.0.is_autocommit() {
            // What fails here was rolled back by itself.
            let _ = self.0.execute_batch("ROLLBACK");
        }
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Number(number) => number.to_sql(),
            Self::Text(text) => text.to_sql(),
        }
    }
}

fn value(value: ValueRef<'_>) -> Result<Value> {
    Ok(match value {
        ValueRef::Null => Value::Number(None),
        ValueRef::Integer(number) => number.into(),
        ValueRef::Text(_) => value.as_str()?.into(),
        _ => bail!("a value is neither a whole number nor a text"),
    })
}
