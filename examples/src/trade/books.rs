//! The books: orders, trades, positions and bots.
//!
//! What has to hold from a look to the write that follows from it is what the lock is for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Error, Result};

use crate::data::{Data, Place, Proof, Row, Tx, Value};
use crate::decimal::Decimal;
use crate::place::drawn;
use crate::trade::entry::{Entry, Written};
use crate::trade::orders::Order;
use crate::trade::position::Position;

/// One process's way to the books.
#[derive(Clone, Debug)]
pub struct Books {
    data: Data,
    name: Arc<str>,
}

/// What is in the books about an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whether it has a trade.
    pub recorded: bool,
    /// What is left of the cooldown of its bot, which runs from the last fill, or from the bot's creation.
    pub cooldown: Duration,
    /// The position that it moves.
    pub position: Position,
}

const LOOK: &str = "
    SELECT quantity, average_price, fills,
           (SELECT count(*) FROM trades WHERE order_id = $2),
           (SELECT coalesce(last_fill_at, created_at) + cooldown - now FROM bots, clock WHERE bots.id = $3)
    FROM positions WHERE id = $1";

impl Books {
    /// What the books are called where they are kept.
    pub const FILE: &str = "books";

    /// Creates the books of some orders, with their positions and bots.
    ///
    /// # Errors
    ///
    /// There are books already, or they cannot be written to.
    pub async fn create(place: &Place, orders: &[Order], cooldown: Duration) -> Result<Self> {
        let (data, mut tx) = Data::create(place, Self::FILE, include_str!("schema.sql")).await?;
        let name = drawn("books-");
        let fill = async {
            tx.rows("INSERT INTO books VALUES ($1)", [name.as_str().into()]).await?;
            insert(&mut tx, orders, cooldown).await?;
            tx.commit().await
        };
        fill.await.with_context(|| format!("cannot write the books in {place}"))?;
        Ok(Self { data, name: name.into() })
    }

    /// Opens the books in a place. `ttl` is how long a row that was locked outlives a worker that was stopped.
    ///
    /// # Errors
    ///
    /// There are none, or they cannot be read.
    pub async fn open(place: &Place, ttl: Duration) -> Result<Self> {
        let data = Data::open(place, Self::FILE, ttl).await?;
        let name = async {
            let mut tx = data.snapshot().await?;
            let rows = tx.rows("SELECT name FROM books", []).await?;
            tx.commit().await?;
            rows.first().context("they have no name")?.text(0)
        };
        let name = name.await.with_context(|| format!("cannot open the books in {place}"))?;
        Ok(Self { data, name: name.into() })
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
        let all = "SELECT id, exchange, symbol, side, quantity, price, bot FROM orders ORDER BY seq";
        let mut tx = self.snapshot().await?;
        let orders = tx.rows(all, []).await?.iter().map(order).collect::<Result<_>>()?;
        tx.commit().await?;
        Ok(orders)
    }

    /// Begins a look or a write; `None` if the proof of the lock comes too late.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn begin(&self, proof: Proof<'_>) -> Result<Option<Tx>> {
        self.data.begin(proof).await.context("the books")
    }

    /// Begins to read what is there at one moment.
    pub(crate) async fn snapshot(&self) -> Result<Tx> {
        self.data.snapshot().await.context("the books")
    }

    /// Looks at an order.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn look(tx: &mut Tx, order: &Order) -> Result<Seen> {
        let values = [order.position().as_str().into(), order.id.as_str().into(), order.account().into()];
        let rows = tx.rows(LOOK, values).await.context("the books")?;
        let row = rows.first().with_context(|| format!("{} is in no book", order.position()))?;
        let left = if order.bot.is_some() { row.number(4)? } else { 0 };
        Ok(Seen {
            recorded: row.number(3)? > 0,
            cooldown: Duration::from_millis(left.try_into().unwrap_or_default()),
            position: position(row)?,
        })
    }

    /// Writes a trade and its position, and ends the transaction; without one, begins one with the proof. What is refused
    /// is taken note of.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn write(&self, tx: Option<Tx>, proof: Proof<'_>, entry: &Entry) -> Result<Written> {
        let tx = if tx.is_some() { tx } else { self.begin(proof).await? };
        let written = entry.write(tx, proof.token()).await.context("the books")?;
        if written != Written::Recorded
            && let Some(tx) = self.begin(Proof::None).await?
        {
            entry.refused(tx, written).await.context("the books")?;
        }
        Ok(written)
    }
}

async fn insert(tx: &mut Tx, orders: &[Order], cooldown: Duration) -> Result<()> {
    let cooldown = i64::try_from(cooldown.as_millis()).unwrap_or(i64::MAX / 2);
    let (mut rows, mut positions, mut bots) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    for (seq, order) in (1_i64..).zip(orders) {
        let [id, exchange, symbol] =
            [&order.id, &order.exchange, &order.symbol].map(|text| Value::from(&**text));
        let position =
            vec![(&*order.position()).into(), order.account().into(), exchange.clone(), symbol.clone()];
        positions.insert(order.position(), position);
        if let Some(bot) = &order.bot {
            bots.insert(bot, vec![(&**bot).into(), cooldown.into()]);
        }
        let side = (&*order.side.to_string()).into();
        let (quantity, price) = (order.quantity.units().into(), order.price.units().into());
        rows.push(vec![seq.into(), id, exchange, symbol, side, quantity, price, order.bot.as_deref().into()]);
    }
    tx.insert("INSERT INTO orders (seq, id, exchange, symbol, side, quantity, price, bot) VALUES", rows)
        .await?;
    let positions = positions.into_values().collect();
    tx.insert("INSERT INTO positions (id, account, exchange, symbol) VALUES", positions).await?;
    tx.insert("INSERT INTO bots (id, cooldown) VALUES", bots.into_values().collect()).await
}

pub(crate) fn order(row: &Row) -> Result<Order> {
    Ok(Order {
        id: row.text(0)?,
        exchange: row.text(1)?,
        symbol: row.text(2)?,
        side: row.text(3)?.parse().map_err(Error::msg)?,
        quantity: Decimal::from_units(row.number(4)?),
        price: Decimal::from_units(row.number(5)?),
        bot: row.text_if_any(6)?,
    })
}

pub(crate) fn position(row: &Row) -> Result<Position> {
    Ok(Position {
        quantity: Decimal::from_units(row.number(0)?),
        average_price: Decimal::from_units(row.number(1)?),
        fills: u32::try_from(row.number(2)?)?,
    })
}
