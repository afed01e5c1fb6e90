//! What happens between two processes, a lock store and a database, and when.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context as _, Error, Result, bail};
use csv::{ReaderBuilder, StringRecord, WriterBuilder};
use rustix::time::{ClockId, clock_gettime};

use crate::workers::say;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, in microseconds: of the boot's clock, or since the first one.
    pub at: u64,
    /// Who did it.
    pub from: String,
    /// To whom; himself, if to nobody.
    pub to: String,
    /// What it was.
    pub kind: Kind,
    /// Until when a lock is held, if it was granted or renewed.
    pub until: Option<u64>,
    /// What it was, in words.
    pub text: String,
}

/// What it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A question.
    Ask,
    /// Its answer.
    Answer,
    /// The answer is to wait.
    Busy,
    /// The answer is no.
    Refusal,
    /// A process does not run from here on.
    Stopped,
    /// It runs again.
    Continued,
}

const KINDS: [(&str, Kind); 6] = [
    ("ask", Kind::Ask),
    ("answer", Kind::Answer),
    ("busy", Kind::Busy),
    ("refusal", Kind::Refusal),
    ("stopped", Kind::Stopped),
    ("continued", Kind::Continued),
];

const COLUMNS: [&str; 6] = ["at", "from", "to", "kind", "until", "text"];

impl Event {
    /// Something that happens now.
    pub fn now(from: &str, to: &str, kind: Kind, text: impl Into<String>) -> Self {
        let [from, to] = [from, to].map(str::to_owned);
        Self { at: now(), from, to, kind, until: None, text: text.into() }
    }

    /// Says it, for whoever records it.
    pub fn say(&self) {
        say(&self.line());
    }

    fn line(&self) -> String {
        let kind = KINDS.iter().find(|(_, kind)| *kind == self.kind).map_or("", |(name, _)| name);
        let until = self.until.map(|until| until.to_string()).unwrap_or_default();
        let mut writer = WriterBuilder::new().from_writer(Vec::new());
        let written =
            writer.write_record([&self.at.to_string(), &self.from, &self.to, kind, &until, &self.text]);
        written.expect("memory takes everything");
        let line = writer.into_inner().expect("memory takes everything");
        String::from_utf8_lossy(&line).trim_end().to_owned()
    }

    fn read(record: &StringRecord) -> Result<Self> {
        let [at, from, to, kind, until, text] = record.iter().collect::<Vec<_>>()[..] else {
            bail!("{} columns where there should be {}", record.len(), COLUMNS.len());
        };
        let kind =
            KINDS.iter().find(|(name, _)| *name == kind).with_context(|| format!("{kind:?} is no kind"))?.1;
        let until = if until.is_empty() { None } else { Some(until.parse()?) };
        let [from, to, text] = [from, to, text].map(str::to_owned);
        Ok(Self { at: at.parse()?, from, to, kind, until, text })
    }
}

impl FromStr for Event {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self> {
        let mut reader = ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
        let record = reader.records().next().context("an empty line")??;
        Self::read(&record)
    }
}

/// In the order in which they happened, counted from the first one.
pub fn in_order(mut events: Vec<Event>) -> Vec<Event> {
    events.sort_by_key(|event| event.at);
    let first = events.first().map_or(0, |event| event.at);
    for event in &mut events {
        event.at -= first;
        event.until = event.until.map(|until| until - first);
    }
    events
}

/// Writes a record.
///
/// # Errors
///
/// The file cannot be written.
pub fn keep(events: &[Event], file: &Path) -> Result<()> {
    let lines = events.iter().map(Event::line);
    let text: String = [COLUMNS.join(",")].into_iter().chain(lines).map(|line| line + "\n").collect();
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// Reads a record.
///
/// # Errors
///
/// The file cannot be read, or is no record.
pub fn read(file: &Path) -> Result<Vec<Event>> {
    let name = file.display();
    let mut reader = ReaderBuilder::new().from_path(file).with_context(|| format!("cannot read {name}"))?;
    let events = reader.records().map(|record| Event::read(&record?));
    events.collect::<Result<_>>().with_context(|| format!("{name} is no record"))
}

/// Microseconds of a clock that all processes share.
fn now() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec.unsigned_abs() * 1_000_000 + now.tv_nsec.unsigned_abs() / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_what_is_heard() {
        let event = Event { until: Some(9), ..Event::now("one", "two", Kind::Refusal, "no, \"never\"") };
        assert_eq!(event.line().parse::<Event>().expect("an event"), event);
    }
}
