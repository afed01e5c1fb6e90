//! Looks for damage in what was stored, and believes nobody.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use anyhow::Result;

use crate::data::{Row, Tx};
use crate::trade::books::{self, Books};
use crate::trade::orders::Order;
use crate::trade::position::Position;

/// What was found in the books.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// How many trades there are.
    pub trades: usize,
    /// Every offence, in the order of their kinds.
    pub offences: Vec<Offence>,
}

/// Something that must not be in the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offence {
    /// An order without a trade.
    Missing {
        /// The order.
        order: String,
    },
    /// A trade that is not what its order says, or has none, or is one of several.
    Wrong {
        /// The order it names.
        order: String,
    },
    /// A second worker recorded an order.
    Duplicate {
        /// The order.
        order: String,
        /// Who came second, and was stopped by the database at the last moment.
        worker: String,
    },
    /// A position that is not what its trades add up to.
    Position {
        /// Which one.
        name: String,
        /// What is stored.
        stored: Position,
        /// What it should be.
        expected: Position,
    },
    /// Two trades of a bot inside its cooldown.
    Cooldown {
        /// The bot.
        bot: String,
        /// The earlier trade's order; none if the bot had only been created.
        earlier: Option<String>,
        /// The later one's.
        later: String,
        /// How many milliseconds lie between them.
        apart: i64,
        /// How many should.
        cooldown: i64,
    },
}

impl Findings {
    /// How many workers recorded an order that had been recorded.
    pub fn duplicates(&self) -> usize {
        self.count(|offence| usize::from(matches!(offence, Offence::Duplicate { .. })))
    }

    /// How many fills have left no trace in their position.
    pub fn lost_updates(&self) -> usize {
        self.count(|offence| match offence {
            Offence::Position { stored, expected, .. } => expected.fills.abs_diff(stored.fills) as usize,
            _ => 0,
        })
    }

    /// How many trades came inside a cooldown.
    pub fn cooldowns(&self) -> usize {
        self.count(|offence| usize::from(matches!(offence, Offence::Cooldown { .. })))
    }

    fn count(&self, of: impl Fn(&Offence) -> usize) -> usize {
        self.offences.iter().map(of).sum()
    }
}

/// Looks through the books. `orders` are those of the input, in any order.
///
/// # Errors
///
/// The database's.
pub async fn check(books: &Books, orders: &[Order]) -> Result<Findings> {
    let orders: HashMap<_, _> = orders.iter().map(|order| (order.id.clone(), order.clone())).collect();
    let mut tx = books.snapshot().await?;
    let trades = trades(&mut tx).await?;
    let mut offences = trades_of_orders(&orders, &trades);
    offences.extend(duplicates(&mut tx).await?);
    offences.extend(positions(&mut tx, &orders, &trades).await?);
    offences.extend(cooldowns(&mut tx).await?);
    tx.commit().await?;
    Ok(Findings { trades: trades.len(), offences })
}

/// The orders that have been recorded, first to last, as the trades tell them.
async fn trades(tx: &mut Tx) -> Result<Vec<Order>> {
    let all = "SELECT order_id, exchange, symbol, side, quantity, price, nullif(account, '') FROM trades ORDER BY id";
    tx.rows(all, []).await?.iter().map(books::order).collect()
}

/// Every order has one trade, and the trade says what the order says.
fn trades_of_orders(orders: &HashMap<String, Order>, trades: &[Order]) -> Vec<Offence> {
    let mut seen: BTreeMap<&str, usize> = orders.keys().map(|id| (id.as_str(), 0)).collect();
    let mut offences = Vec::new();
    for trade in trades {
        *seen.entry(&trade.id).or_default() += 1;
        if orders.get(&trade.id) != Some(trade) {
            offences.push(Offence::Wrong { order: trade.id.clone() });
        }
    }
    for (order, times) in seen {
        let order = order.to_owned();
        match times {
            0 => offences.push(Offence::Missing { order }),
            1 => {}
            _ => offences.push(Offence::Wrong { order }),
        }
    }
    offences
}

async fn duplicates(tx: &mut Tx) -> Result<Vec<Offence>> {
    let all = "SELECT order_id, worker FROM refusals WHERE why = 'duplicate' ORDER BY id";
    let offence = |row: &Row| Ok(Offence::Duplicate { order: row.text(0)?, worker: row.text(1)? });
    tx.rows(all, []).await?.iter().map(offence).collect()
}

/// Adds the fills up again, as the orders tell them, one after the other as they were recorded.
async fn positions(tx: &mut Tx, orders: &HashMap<String, Order>, trades: &[Order]) -> Result<Vec<Offence>> {
    let mut expected: BTreeMap<String, Position> = BTreeMap::new();
    for order in trades.iter().filter_map(|trade| orders.get(&trade.id)) {
        let position = expected.entry(name(order.account(), &order.exchange, &order.symbol)).or_default();
        *position = position.after(order).unwrap_or(*position);
    }
    let all = "SELECT quantity, average_price, fills, account, exchange, symbol FROM positions";
    let mut stored = BTreeMap::new();
    for row in tx.rows(all, []).await? {
        let name = name(&row.text(3)?, &row.text(4)?, &row.text(5)?);
        expected.entry(name.clone()).or_default();
        stored.insert(name, books::position(&row)?);
    }
    let differs = |(name, expected): (String, Position)| {
        let stored = stored.remove(&name).unwrap_or_default();
        (stored != expected).then_some(Offence::Position { name, stored, expected })
    };
    Ok(expected.into_iter().filter_map(differs).collect())
}

/// No bot trades sooner after its last fill, or its creation, than its cooldown allows.
async fn cooldowns(tx: &mut Tx) -> Result<Vec<Offence>> {
    let offence = |row: &Row| {
        Ok(Offence::Cooldown {
            bot: row.text(0)?,
            earlier: row.text_if_any(1)?,
            later: row.text(2)?,
            apart: row.number(3)?,
            cooldown: row.number(4)?,
        })
    };
    tx.rows(include_str!("cooldown.sql"), []).await?.iter().map(offence).collect()
}

fn name(account: &str, exchange: &str, symbol: &str) -> String {
    let whose = if account.is_empty() { String::new() } else { format!(" of {account}") };
    format!("{symbol} at {exchange}{whose}")
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { order } => write!(f, "order {order} has no trade"),
            Self::Wrong { order } => write!(f, "the trade of {order} is not what the order says"),
            Self::Duplicate { order, worker } => {
                write!(f, "order {order} was recorded again by {worker}, which the database refused")
            }
            Self::Position { name, stored, expected } => write!(
                f,
                "{name} is {} at {} after {} fills; its {} trades make {} at {}",
                stored.quantity,
                stored.average_price,
                stored.fills,
                expected.fills,
                expected.quantity,
                expected.average_price
            ),
            Self::Cooldown { bot, earlier, later, apart, cooldown } => {
                let since = earlier.as_ref().map_or("its creation".to_owned(), |earlier| earlier.clone());
                write!(
                    f,
                    "{bot} traded {later} {apart} ms after {since}, inside its cooldown of {cooldown} ms"
                )
            }
        }
    }
}
