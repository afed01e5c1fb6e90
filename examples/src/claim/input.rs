//! The input: policies and events, in a CSV file each.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Result, bail};
use humantime::{format_rfc3339_seconds, parse_rfc3339};

use crate::decimal::{Decimal, amount};
use crate::logging;
use crate::sheet::{self, Record, Row, name};

/// What a region's people have agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// No two are alike.
    pub id: String,
    /// Where it covers.
    pub region: String,
    /// What percentages are of.
    pub cover: Decimal,
    /// What it pays at the most, over all its days.
    pub limit: Decimal,
    /// Its first day.
    pub from: Day,
    /// Its last day.
    pub to: Day,
}

impl Policy {
    /// Whether an event is its business.
    pub fn covers(&self, event: &Event) -> bool {
        self.region == event.region && self.from <= event.at.day() && event.at.day() <= self.to
    }
}

/// Something that happened: a storm, a flood, a frost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// No two are alike.
    pub id: String,
    /// Where it happened.
    pub region: String,
    /// How bad it was.
    pub tier: Tier,
    /// When it happened.
    pub at: Moment,
}

/// How bad an event was: 1, 2 or 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tier(u8);

impl Tier {
    /// How many percent of the cover it pays.
    pub const fn percent(self) -> u8 {
        [10, 25, 50][self.0 as usize - 1]
    }

    /// Its number.
    pub fn number(self) -> i64 {
        self.0.into()
    }
}

impl TryFrom<i64> for Tier {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        match u8::try_from(number) {
            Ok(tier @ 1..=3) => Ok(Self(tier)),
            _ => Err(format!("\"{number}\" is no tier; expected 1, 2 or 3")),
        }
    }
}

impl FromStr for Tier {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.parse().map_err(|_| format!("{text:?} is no tier; expected 1, 2 or 3"));
        number.and_then(|number: i64| number.try_into())
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A day, as 2025-01-15. Days are in UTC.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(String);

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Its length, for what stands between two of the right length may be anything.
        let is_day = text.len() == 10 && parse_rfc3339(&format!("{text}T00:00:00Z")).is_ok();
        is_day.then(|| Self(text.to_owned())).ok_or_else(|| format!("{text:?} is no day, as 2025-01-15"))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A time in UTC, as 2025-01-15T13:45:00Z.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(String);

impl Moment {
    /// The day that it is on.
    pub fn day(&self) -> Day {
        Day(self.0[..10].to_owned())
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time =
            parse_rfc3339(text).map_err(|_| format!("{text:?} is no time, as 2025-01-15T13:45:00Z"))?;
        Ok(Self(format_rfc3339_seconds(time).to_string()))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Record for Policy {
    const NAME: &'static str = "policies";
    const COLUMNS: &'static [&'static str] = &["id", "region", "cover", "limit", "from", "to"];

    fn read(row: &mut Row<'_>) -> Option<Self> {
        let (id, region) = (row.take(0, name), row.take(1, name));
        let (cover, limit) = (row.take(2, amount), row.take(3, amount));
        let (from, to): (Option<Day>, Option<Day>) = (row.take(4, str::parse), row.take(5, str::parse));
        let (from, to) = (from?, to?);
        if to < from {
            row.wrong(5, &format!("\"{to}\" is before its first day, {from}"));
            return None;
        }
        Some(Self { id: id?, region: region?, cover: cover?, limit: limit?, from, to })
    }

    fn id(&self) -> &str {
        &self.id
    }
}

impl Record for Event {
    const NAME: &'static str = "events";
    const COLUMNS: &'static [&'static str] = &["id", "region", "tier", "at"];

    fn read(row: &mut Row<'_>) -> Option<Self> {
        let (id, region) = (row.take(0, name), row.take(1, name));
        let (tier, at) = (row.take(2, str::parse), row.take(3, str::parse));
        Some(Self { id: id?, region: region?, tier: tier?, at: at? })
    }

    fn id(&self) -> &str {
        &self.id
    }
}

/// All that there is to be calculated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Policies, as they came.
    pub policies: Vec<Policy>,
    /// Events, as they came.
    pub events: Vec<Event>,
}

/// What is calculated in one go: a day of a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    /// The policy.
    pub policy: String,
    /// The day.
    pub day: Day,
}

impl Case {
    /// What has to be locked to calculate it, and fenced.
    pub fn resource(&self) -> String {
        format!("claim_calc/{}/{}", self.policy, self.day)
    }
}

impl Input {
    /// Reads both files.
    ///
    /// # Errors
    ///
    /// Names every bad line (the first twenty of each file) by its number and column.
    pub fn read(policies: &Path, events: &Path) -> Result<Self> {
        match (sheet::read(policies), sheet::read(events)) {
            (Ok(policies), Ok(events)) => Ok(Self { policies, events }),
            (Err(one), Err(other)) => bail!("{}\n{}", logging::line(&one), logging::line(&other)),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    /// The days of each policy on which something happened, in order.
    pub fn cases(&self) -> Vec<Case> {
        let days = |policy: &Policy| {
            let covered = self.events.iter().filter(|event| policy.covers(event));
            let case = |event: &Event| Case { policy: policy.id.clone(), day: event.at.day() };
            covered.map(case).collect::<Vec<_>>()
        };
        let mut cases: Vec<_> = self.policies.iter().flat_map(days).collect();
        cases.sort_by(|one, other| (&one.day, &one.policy).cmp(&(&other.day, &other.policy)));
        cases.dedup();
        cases
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("2025-01-15", true)]
    #[case("2024-02-29", true)]
    #[case("2025-02-29", false)]
    #[case("2025-1-15", false)]
    #[case("2025-01-15T00:00:00Z", false)]
    #[case("", false)]
    fn a_day_is_read(#[case] text: &str, #[case] is_day: bool) {
        assert_eq!(text.parse::<Day>().is_ok(), is_day);
    }

    #[test]
    fn a_moment_is_on_a_day() {
        let at: Moment = "2025-01-15T23:59:59.9Z".parse().expect("a time");
        assert_eq!(
            (at.to_string().as_str(), at.day().to_string().as_str()),
            ("2025-01-15T23:59:59Z", "2025-01-15")
        );
    }
}
