//! A trade about to be written, and the one transaction that writes it.

use anyhow::Result;
use lock_core::Token;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use crate::trade::books::passes;
use crate::trade::orders::Order;
use crate::trade::position::Position;

/// What became of a trade that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is in the books, and the position has moved.
    Recorded,
    /// The order has a trade already: the database refused a second, and nothing was changed.
    Duplicate,
    /// The fence has seen a higher token: whoever brought this one lost its lock, and nothing was changed.
    Stale,
}

/// A trade about to be written.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The order that was filled.
    pub order: Order,
    /// What the position is to become.
    pub position: Position,
    /// Who records it.
    pub worker: String,
    /// The fencing token of the lock it is recorded under, if there is one.
    pub token: Option<Token>,
}

impl Entry {
    /// Writes the trade and its position, or takes note that it was refused.
    pub(crate) fn write(&self, db: &mut Connection) -> Result<Written> {
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let written = write(&tx, self)?;
        match written {
            Written::Recorded => tx.commit()?,
            Written::Duplicate | Written::Stale => {
                tx.rollback()?;
                refuse(db, self, written)?;
            }
        }
        Ok(written)
    }
}

/// What one transaction does to record a trade.
fn write(tx: &Transaction<'_>, entry: &Entry) -> Result<Written> {
    let order = &entry.order;
    if let Some(token) = entry.token
        && !passes(tx, &order.resource(), token)?
    {
        return Ok(Written::Stale);
    }
    let token = entry.token.map(|token| i64::try_from(token.get()).expect("the fence has let it pass"));
    let Some(filled_at) = insert_trade(tx, order, &entry.worker, token)? else {
        return Ok(Written::Duplicate);
    };
    move_position(tx, order, entry.position)?;
    if let Some(bot) = &order.bot {
        tx.prepare_cached("UPDATE bots SET last_fill_at = ?2 WHERE id = ?1")?
            .execute(params![bot, filled_at])?;
    }
    Ok(Written::Recorded)
}

/// When the trade was recorded; `None` if the order had one.
fn insert_trade(
    tx: &Connection,
    order: &Order,
    worker: &str,
    token: Option<i64>,
) -> rusqlite::Result<Option<i64>> {
    tx.prepare_cached(
        "INSERT INTO trades (order_id, account, exchange, symbol, side, quantity, price, filled_at, worker, token)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, CAST(unixepoch('subsec') * 1000 AS INTEGER), ?8, ?9)
         ON CONFLICT (order_id) DO NOTHING RETURNING filled_at",
    )?
    .query_row(
        params![
            order.id,
            order.account(),
            order.exchange,
            order.symbol,
            order.side.to_string(),
            order.quantity.units(),
            order.price.units(),
            worker,
            token
        ],
        |row| row.get(0),
    )
    .optional()
}

fn move_position(tx: &Connection, order: &Order, to: Position) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO positions (account, exchange, symbol, quantity, average_price, fills)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (account, exchange, symbol) DO UPDATE
         SET quantity = excluded.quantity, average_price = excluded.average_price, fills = excluded.fills",
    )?
    .execute(params![
        order.account(),
        order.exchange,
        order.symbol,
        to.quantity.units(),
        to.average_price.units(),
        to.fills
    ])
    .map(drop)
}

/// Takes note of a trade that was refused.
fn refuse(db: &Connection, entry: &Entry, written: Written) -> rusqlite::Result<()> {
    let why = if written == Written::Duplicate { "duplicate" } else { "stale token" };
    db.prepare_cached(
        "INSERT INTO refusals (at, worker, order_id, why)
         VALUES (CAST(unixepoch('subsec') * 1000 AS INTEGER), ?1, ?2, ?3)",
    )?
    .execute(params![entry.worker, entry.order.id, why])
    .map(drop)
}
