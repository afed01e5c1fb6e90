//! The books: orders, trades, positions and bots, in a SQLite database of their own.
//!
//! Every method is one statement or one transaction. What has to hold *between* two of them is what the lock is
//! for.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use lock_core::{ErrorKind, Token};
use lock_sqlite::fence;
use rusqlite::{
    Connection, OpenFlags, OptionalExtension as _, Row, Transaction, TransactionBehavior, params,
};

use crate::decimal::Decimal;
use crate::trade::entry::{Entry, Written};
use crate::trade::orders::Order;
use crate::trade::position::Position;

/// One process's connection to the books.
#[derive(Clone, Debug)]
pub struct Books {
    db: Arc<Mutex<Connection>>,
    name: Arc<str>,
}

/// What is left of a bot's cooldown, in milliseconds.
const LEFT: &str =
    "coalesce(last_fill_at, created_at) + cooldown - CAST(unixepoch('subsec') * 1000 AS INTEGER)";

impl Books {
    /// The file in a data directory that holds them.
    pub fn file(data: &Path) -> PathBuf {
        data.join("books.db")
    }

    /// Creates the books of some orders in a data directory; their bots are created with them.
    ///
    /// # Errors
    ///
    /// The directory has books already, or cannot be written to.
    pub fn create(data: &Path, orders: &[Order], cooldown: Duration) -> Result<Self> {
        let file = Self::file(data);
        let name = file.display();
        if file.exists() {
            bail!("{name} is there already: remove it, or choose another directory with --data");
        }
        let fill = || {
            let mut db = connect(&file, OpenFlags::SQLITE_OPEN_CREATE)?;
            db.pragma_update(None, "journal_mode", "wal")?;
            let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            tx.execute_batch(include_str!("schema.sql"))?;
            for order in orders {
                insert_order(&tx, order, cooldown)?;
            }
            tx.commit()?;
            Ok::<_, rusqlite::Error>(db)
        };
        fill().and_then(Self::new).with_context(|| format!("cannot create {name}"))
    }

    /// Opens the books in a data directory.
    ///
    /// # Errors
    ///
    /// There are none, or they cannot be read.
    pub fn open(data: &Path) -> Result<Self> {
        let file = Self::file(data);
        connect(&file, OpenFlags::empty())
            .and_then(Self::new)
            .with_context(|| format!("cannot open {}", file.display()))
    }

    fn new(db: Connection) -> rusqlite::Result<Self> {
        let name: String = db.query_row("SELECT name FROM books", [], |row| row.get(0))?;
        Ok(Self { db: Arc::new(Mutex::new(db)), name: name.into() })
    }

    /// What tells them from other books.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All orders, as they came.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn orders(&self) -> Result<Vec<Order>> {
        self.call(|db| {
            let mut all = db.prepare(
                "SELECT id, exchange, symbol, side, quantity, price, bot FROM orders ORDER BY seq",
            )?;
            all.query_map([], order)?.collect()
        })
        .await
    }

    /// Whether the order has a trade.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn has_trade(&self, order: &Order) -> Result<bool> {
        let id = order.id.clone();
        self.call(move |db| {
            db.prepare_cached("SELECT EXISTS (SELECT 1 FROM trades WHERE order_id = ?1)")?
                .query_row([id], |row| row.get(0))
        })
        .await
    }

    /// The position that the order moves; `None` if somebody with a higher token has been here.
    ///
    /// The fence goes up with the look, not only with the write: whoever held the lock before cannot write any more
    /// what would be missing from what is read here.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn position(&self, order: &Order, token: Option<Token>) -> Result<Option<Position>> {
        let place = order.clone();
        self.look(order, token, move |db| {
            let sql = "SELECT quantity, average_price, fills FROM positions
                       WHERE account = ?1 AND exchange = ?2 AND symbol = ?3";
            let place = params![place.account(), place.exchange, place.symbol];
            Ok(db.prepare_cached(sql)?.query_row(place, position).optional()?.unwrap_or_default())
        })
        .await
    }

    /// How much is left of the cooldown of the order's bot, which runs from its last fill, or from its creation; `None`
    /// if somebody with a higher token has been here. This look raises the fence too.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn cooldown_left(&self, order: &Order, token: Option<Token>) -> Result<Option<Duration>> {
        let bot = order.bot.clone();
        self.look(order, token, move |db| {
            let sql = format!("SELECT {LEFT} FROM bots WHERE id = ?1");
            let left: i64 = db.prepare_cached(&sql)?.query_row([bot], |row| row.get(0))?;
            Ok(Duration::from_millis(left.try_into().unwrap_or_default()))
        })
        .await
    }

    /// Reads what may be read with this token, and nothing if it comes too late.
    async fn look<T: Send + 'static>(
        &self,
        order: &Order,
        token: Option<Token>,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<Option<T>> {
        let resource = order.resource();
        self.call(move |db| {
            let Some(token) = token else { return Ok(Some(query(db)?)) };
            let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if !passes(&tx, &resource, token)? {
                return Ok(None);
            }
            let seen = query(&tx)?;
            tx.commit()?;
            Ok::<_, anyhow::Error>(Some(seen))
        })
        .await
    }

    /// Writes a trade and its position in one transaction.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn write(&self, entry: Entry) -> Result<Written> {
        self.call(move |db| entry.write(db)).await
    }

    /// Runs a query where it may block.
    pub(crate) async fn call<T: Send + 'static, E: Into<anyhow::Error> + Send + 'static>(
        &self,
        query: impl FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T> {
        let db = self.db.clone();
        let run = move || query(&mut db.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(run).await?.map_err(Into::into).context("the books")
    }
}

/// Raises a fence; false if a higher token has been seen.
pub(crate) fn passes(tx: &Transaction<'_>, resource: &str, token: Token) -> lock_core::Result<bool> {
    match fence(tx, resource, token) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::Lost => Ok(false),
        Err(error) => Err(error),
    }
}

fn connect(file: &Path, more: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    let db = Connection::open_with_flags(file, flags)?;
    db.busy_timeout(Duration::from_secs(60))?;
    db.pragma_update(None, "synchronous", "normal")?;
    Ok(db)
}

fn insert_order(db: &Connection, order: &Order, cooldown: Duration) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO orders (id, exchange, symbol, side, quantity, price, bot)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        order.id,
        order.exchange,
        order.symbol,
        order.side.to_string(),
        order.quantity.units(),
        order.price.units(),
        order.bot
    ])?;
    if let Some(bot) = &order.bot {
        let cooldown = i64::try_from(cooldown.as_millis()).unwrap_or(i64::MAX / 2);
        db.prepare_cached(
            "INSERT INTO bots (id, cooldown, created_at)
             VALUES (?1, ?2, CAST(unixepoch('subsec') * 1000 AS INTEGER)) ON CONFLICT DO NOTHING",
        )?
        .execute(params![bot, cooldown])?;
    }
    Ok(())
}

pub(crate) fn order(row: &Row<'_>) -> rusqlite::Result<Order> {
    let side: String = row.get(3)?;
    let wrong = |error: String| {
        rusqlite::Error::FromSqlConversionFailure(3, rusqlite::types::Type::Text, error.into())
    };
    Ok(Order {
        id: row.get(0)?,
        exchange: row.get(1)?,
        symbol: row.get(2)?,
        side: side.parse().map_err(wrong)?,
        quantity: Decimal::from_units(row.get(4)?),
        price: Decimal::from_units(row.get(5)?),
        bot: row.get(6)?,
    })
}

pub(crate) fn position(row: &Row<'_>) -> rusqlite::Result<Position> {
    Ok(Position {
        quantity: Decimal::from_units(row.get(0)?),
        average_price: Decimal::from_units(row.get(1)?),
        fills: row.get(2)?,
    })
}
