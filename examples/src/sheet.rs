//! The input: CSV files, every line of them checked before anything runs.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use csv::{ReaderBuilder, StringRecord};

/// What a line of a file is.
pub trait Record: Sized {
    /// What many of them are called.
    const NAME: &'static str;
    /// The columns; the first is what they are known by, no two alike.
    const COLUMNS: &'static [&'static str];

    /// Reads a line, if nothing is wrong with any of its columns.
    fn read(row: &mut Row<'_>) -> Option<Self>;

    /// What it is known by.
    fn id(&self) -> &str;
}

/// How many bad lines are named.
const SHOWN: usize = 20;

/// Reads a file.
///
/// # Errors
///
/// Names every bad line (the first twenty) by its number and column.
pub fn read<R: Record>(path: &Path) -> Result<Vec<R>> {
    let name = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let mut reader = ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(&*bytes);
    let header = reader.headers().with_context(|| format!("cannot read {name}"))?.clone();
    if !header.iter().eq(R::COLUMNS.iter().copied()) {
        let found: Vec<_> = header.iter().collect();
        bail!("{name}:1: the columns are \"{}\"; expected \"{}\"", found.join(","), R::COLUMNS.join(","));
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
struct Sheet<'a, R> {
    lines: Lines<'a>,
    records: Vec<R>,
    /// On which line one was.
    places: HashMap<String, u64>,
    /// Line numbers, and what is wrong there.
    bad: Vec<(u64, String)>,
}

impl<'a, R: Record> Sheet<'a, R> {
    fn new(bytes: &'a [u8]) -> Self {
        let lines = Lines { bytes, at: 0, line: 1 };
        Self { lines, records: Vec::new(), places: HashMap::new(), bad: Vec::new() }
    }

    fn add(&mut self, record: &StringRecord) {
        let line = record.position().map_or(0, |position| self.lines.line(position));
        if record.len() != R::COLUMNS.len() {
            let message = format!("{} columns where there should be {}", record.len(), R::COLUMNS.len());
            self.bad.push((line, message));
            return;
        }
        let mut row = Row { record, columns: R::COLUMNS, line, bad: &mut self.bad };
        let Some(record) = R::read(&mut row) else { return };
        match self.places.entry(record.id().to_owned()) {
            Entry::Vacant(free) => _ = free.insert(line),
            Entry::Occupied(first) => {
                let (column, id) = (R::COLUMNS[0], record.id());
                let message = format!("column \"{column}\": {id:?} is on line {} already", first.get());
                self.bad.push((line, message));
            }
        }
        self.records.push(record);
    }

    /// A line that is not even text; anything else is no fault of a line.
    fn unreadable(&mut self, error: csv::Error) -> Result<(), csv::Error> {
        match error.kind() {
            csv::ErrorKind::Utf8 { pos: Some(position), err } => {
                let column = R::COLUMNS.get(err.field()).copied().unwrap_or("?");
                let line = self.lines.line(position);
                self.bad.push((line, format!("column \"{column}\": is not UTF-8")));
                Ok(())
            }
            _ => Err(error),
        }
    }

    fn finish(self, name: &str) -> Result<Vec<R>> {
        if self.bad.is_empty() && self.records.is_empty() {
            bail!("{name}: has no {}", R::NAME);
        }
        if self.bad.is_empty() {
            return Ok(self.records);
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
#[derive(Debug)]
pub struct Row<'a> {
    record: &'a StringRecord,
    columns: &'static [&'static str],
    line: u64,
    bad: &'a mut Vec<(u64, String)>,
}

impl Row<'_> {
    /// What is in a column; `None` if it is wrong, which has been taken note of.
    pub fn take<T>(&mut self, column: usize, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match read(&self.record[column]) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.wrong(column, &wrong);
                None
            }
        }
    }

    /// Takes note that something is wrong with a column.
    pub fn wrong(&mut self, column: usize, wrong: &str) {
        self.bad.push((self.line, format!("column \"{}\": {wrong}", self.columns[column])));
    }
}

/// A name that becomes part of keys, with `/` between them.
///
/// # Errors
///
/// It may be no such part.
pub fn name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match text {
        "" => Err("is empty".to_owned()),
        _ if text.len() > 64 => Err(format!("has {} characters; it may have 64", text.len())),
        _ if !text.chars().all(fits) => Err(format!("{text:?} may have letters, digits, '-', '_' and '.'")),
        _ => Ok(text.to_owned()),
    }
}
