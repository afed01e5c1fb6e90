//! The input: orders in a CSV file.

use std::fmt;
use std::path::Path;

use anyhow::Result;

use crate::decimal::{Decimal, amount};
use crate::sheet::{self, Record, Row, name};

/// A limit order that the exchange has filled (or, with a bot, one that the bot would like to trade).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// What the exchange calls it; no two are alike.
    pub id: String,
    /// Where it was placed.
    pub exchange: String,
    /// What is traded.
    pub symbol: String,
    /// Bought or sold.
    pub side: Side,
    /// How much.
    pub quantity: Decimal,
    /// For how much each.
    pub price: Decimal,
    /// The bot that trades it, on an account of its own.
    pub bot: Option<String>,
}

impl Order {
    /// Whose position it moves: the bot's, or that of the house, which has no name.
    pub fn account(&self) -> &str {
        self.bot.as_deref().unwrap_or_default()
    }

    /// What the position that it moves is called in the books.
    pub fn position(&self) -> String {
        format!("{}/{}/{}", self.account(), self.exchange, self.symbol)
    }

    /// What has to be locked to trade it, and fenced: all that is the bot's, or the one position of the house.
    pub fn resource(&self) -> String {
        match &self.bot {
            Some(bot) => format!("bot/{bot}"),
            None => format!("position/{}/{}", self.exchange, self.symbol),
        }
    }
}

/// Bought or sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Bought.
    Buy,
    /// Sold.
    Sell,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Buy { "buy" } else { "sell" })
    }
}

impl std::str::FromStr for Side {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "buy" => Ok(Self::Buy),
            "sell" => Ok(Self::Sell),
            _ => Err(format!("{text:?} is neither \"buy\" nor \"sell\"")),
        }
    }
}

/// Reads a file of orders.
///
/// # Errors
///
/// Names every bad line (the first twenty) by its number and column.
pub fn read(path: &Path) -> Result<Vec<Order>> {
    sheet::read(path)
}

impl Record for Order {
    const NAME: &'static str = "orders";
    const COLUMNS: &'static [&'static str] =
        &["id", "exchange", "symbol", "side", "quantity", "price", "bot"];

    fn read(row: &mut Row<'_>) -> Option<Self> {
        let (id, exchange, symbol) = (row.take(0, name), row.take(1, name), row.take(2, name));
        let (side, quantity, price) = (row.take(3, str::parse), row.take(4, amount), row.take(5, amount));
        let bot = row.take(6, |bot| if bot.is_empty() { Ok(None) } else { name(bot).map(Some) });
        Some(Self {
            id: id?,
            exchange: exchange?,
            symbol: symbol?,
            side: side?,
            quantity: quantity?,
            price: price?,
            bot: bot?,
        })
    }

    fn id(&self) -> &str {
        &self.id
    }
}
