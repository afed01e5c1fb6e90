//! The input: orders in a CSV file, every one of them checked before anything runs.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use csv::{ReaderBuilder, StringRecord};

use crate::decimal::Decimal;

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

const COLUMNS: [&str; 7] = ["id", "exchange", "symbol", "side", "quantity", "price", "bot"];

/// How many bad lines are named.
const SHOWN: usize = 20;

/// Reads a file of orders.
///
/// # Errors
///
/// Names every bad line (the first twenty) by its number and column.
pub fn read(path: &Path) -> Result<Vec<Order>> {
    let name = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let mut reader = ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(&*bytes);
    let header = reader.headers().with_context(|| format!("cannot read {name}"))?.clone();
    if !header.iter().eq(COLUMNS) {
        let found: Vec<_> = header.iter().collect();
        bail!("{name}:1: the columns are \"{}\"; expected \"{}\"", found.join(","), COLUMNS.join(","));
    }
    let mut sheet = Sheet::new(&bytes);
    for record in reader.into_records() {
        match record {
            Ok(record) => sheet.add(&record),
            Err(error) => sheet.unreadable(error).with_context(|| format!("cannot read {name}"))?,
        }
    }
    sheet.finish(&name.to_string())
}

/// What has been read so far.
struct Sheet<'a> {
    lines: Lines<'a>,
    orders: Vec<Order>,
    /// On which line an order was.
    places: HashMap<String, u64>,
    /// Line numbers, and what is wrong there.
    bad: Vec<(u64, String)>,
}

impl<'a> Sheet<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let lines = Lines { bytes, at: 0, line: 1 };
        Self { lines, orders: Vec::new(), places: HashMap::new(), bad: Vec::new() }
    }

    fn add(&mut self, record: &StringRecord) {
        let line = record.position().map_or(0, |position| self.lines.line(position));
        if record.len() != COLUMNS.len() {
            let message = format!("{} columns where there should be {}", record.len(), COLUMNS.len());
            self.bad.push((line, message));
            return;
        }
        let mut row = Row { record, line, bad: &mut self.bad };
        let Some(order) = row.order() else { return };
        match self.places.entry(order.id.clone()) {
            Entry::Vacant(free) => _ = free.insert(line),
            Entry::Occupied(first) => {
                let message = format!("column \"id\": {:?} is on line {} already", order.id, first.get());
                self.bad.push((line, message));
            }
        }
        self.orders.push(order);
    }

    /// A line that is not even text; anything else is no fault of a line.
    fn unreadable(&mut self, error: csv::Error) -> Result<(), csv::Error> {
        match error.kind() {
            csv::ErrorKind::Utf8 { pos: Some(position), err } => {
                let column = COLUMNS.get(err.field()).copied().unwrap_or("?");
                let line = self.lines.line(position);
                self.bad.push((line, format!("column \"{column}\": is not UTF-8")));
                Ok(())
            }
            _ => Err(error),
        }
    }

    fn finish(self, name: &str) -> Result<Vec<Order>> {
        if self.bad.is_empty() {
            return if self.orders.is_empty() { bail!("{name}: has no orders") } else { Ok(self.orders) };
        }
        let mut text: Vec<_> =
            self.bad.iter().take(SHOWN).map(|(line, wrong)| format!("{name}:{line}: {wrong}")).collect();
        if self.bad.len() > SHOWN {
            text.push(format!("… and {} more", self.bad.len() - SHOWN));
        }
        bail!("{}", text.join("\n"))
    }
}

/// Counts lines. The reader does so too, but it names the first of the empty lines before a record.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of a record that comes after all that were asked for before.
    fn line(&mut self, record: &csv::Position) -> u64 {
        let from = usize::try_from(record.byte()).unwrap_or(usize::MAX).clamp(self.at, self.bytes.len());
        let empty = self.bytes[from..].iter().take_while(|byte| b"\r\n".contains(byte)).count();
        let passed = &self.bytes[self.at..from + empty];
        self.line += passed.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.at = from + empty;
        self.line
    }
}

/// One line, and where to complain about it.
struct Row<'a> {
    record: &'a StringRecord,
    line: u64,
    bad: &'a mut Vec<(u64, String)>,
}

impl Row<'_> {
    /// The order, if nothing is wrong with any of its columns.
    fn order(&mut self) -> Option<Order> {
        let (id, exchange, symbol) = (self.take(0, name), self.take(1, name), self.take(2, name));
        let (side, quantity, price) = (self.take(3, str::parse), self.take(4, amount), self.take(5, amount));
        let bot = self.take(6, |bot| if bot.is_empty() { Ok(None) } else { name(bot).map(Some) });
        Some(Order {
            id: id?,
            exchange: exchange?,
            symbol: symbol?,
            side: side?,
            quantity: quantity?,
            price: price?,
            bot: bot?,
        })
    }

    fn take<T>(&mut self, column: usize, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let wrong = match read(&self.record[column]) {
            Ok(value) => return Some(value),
            Err(wrong) => wrong,
        };
        self.bad.push((self.line, format!("column \"{}\": {wrong}", COLUMNS[column])));
        None
    }
}

/// Names become parts of keys, with `/` between them.
fn name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match text {
        "" => Err("is empty".to_owned()),
        _ if text.len() > 64 => Err(format!("has {} characters; it may have 64", text.len())),
        _ if !text.chars().all(fits) => Err(format!("{text:?} may have letters, digits, '-', '_' and '.'")),
        _ => Ok(text.to_owned()),
    }
}

fn amount(text: &str) -> Result<Decimal, String> {
    match text.parse::<Decimal>()? {
        amount if amount > Decimal::ZERO => Ok(amount),
        _ => Err(format!("{text:?} is not above zero")),
    }
}
