//! A trade about to be written, and what one transaction does to write it.

use anyhow::{Context as _, Result};
use lock_core::Token;

use crate::data::Tx;
use crate::trade::orders::Order;
use crate::trade::position::Position;

/// What became of a trade that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is in the books, and the position has moved.
    Recorded,
    /// The order has a trade already: the database refused a second, and nothing was changed.
    Duplicate,
    /// The lock had been lost: the database refused its proof, and nothing was changed.
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
}

impl Entry {
    /// Writes the trade and its position in a transaction that was begun, if one was.
    pub(crate) async fn write(&self, tx: Option<Tx>, token: Option<Token>) -> Result<Written> {
        let Some(mut tx) = tx else { return Ok(Written::Stale) };
        let Some(filled_at) = self.insert_trade(&mut tx, token).await? else {
            return Ok(Written::Duplicate);
        };
        let moved = "UPDATE positions SET quantity = $2, average_price = $3, fills = $4 WHERE id = $1";
        let to = self.position;
        let figures = [to.quantity.units(), to.average_price.units(), to.fills.into()].map(Into::into);
        tx.rows(moved, [self.order.position().as_str().into()].into_iter().chain(figures)).await?;
        if let Some(bot) = &self.order.bot {
            let traded = "UPDATE bots SET last_fill_at = $2 WHERE id = $1";
            tx.rows(traded, [bot.as_str().into(), filled_at.into()]).await?;
        }
        tx.commit().await?;
        Ok(Written::Recorded)
    }

    /// When the trade was recorded; `None` if the order had one.
    async fn insert_trade(&self, tx: &mut Tx, token: Option<Token>) -> Result<Option<i64>> {
        let Order { id, exchange, symbol, side, quantity, price, .. } = &self.order;
        let token = token.map(|token| i64::try_from(token.get())).transpose().context("a token")?;
        let sql = "
            INSERT INTO trades (order_id, account, exchange, symbol, side, quantity, price, worker, token)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
            ON CONFLICT (order_id) DO NOTHING RETURNING filled_at";
        let values = [
            id.as_str().into(),
            self.order.account().into(),
            exchange.as_str().into(),
            symbol.as_str().into(),
            side.to_string().as_str().into(),
            quantity.units().into(),
            price.units().into(),
            self.worker.as_str().into(),
            token.into(),
        ];
        tx.rows(sql, values).await?.first().map(|row| row.number(0)).transpose()
    }

    /// Takes note of a trade that was refused.
    pub(crate) async fn refused(&self, mut tx: Tx, written: Written) -> Result<()> {
        let why = if written == Written::Duplicate { "duplicate" } else { "stale" };
        let sql = "INSERT INTO refusals (worker, order_id, why) VALUES ($1, $2, $3)";
        tx.rows(sql, [self.worker.as_str().into(), self.order.id.as_str().into(), why.into()]).await?;
        tx.commit().await
    }
}
