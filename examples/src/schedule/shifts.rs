//! The input: people and shifts in CSV files, all of it checked before anything runs.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::sheet::{self, Record, Row, name};

/// An hour in milliseconds.
pub const HOUR: i64 = 3_600_000;

/// Somebody who works shifts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// What everybody calls him; no two are alike.
    pub name: String,
    /// How many hours of a block his contract has.
    pub hours: u32,
}

/// Somebody has to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shift {
    /// What it is called; no two are alike.
    pub id: String,
    /// The block that it is generated with.
    pub block: String,
    /// When it begins, in milliseconds since 1970.
    pub starts: i64,
    /// When it ends.
    pub ends: i64,
}

impl Shift {
    /// How long it lasts, in milliseconds.
    pub fn length(&self) -> i64 {
        self.ends - self.starts
    }

    /// The day on which it begins.
    pub fn day(&self) -> i64 {
        self.starts.div_euclid(24 * HOUR)
    }

    /// Whether nobody can be at both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.starts < other.ends && other.starts < self.ends
    }
}

/// Reads both files. The shifts come in the order in which they begin.
///
/// # Errors
///
/// Names every bad line (the first twenty) by its number and column. Or blocks are not one after the other, or there are more
/// shifts at one time than people.
pub fn read(people: &Path, shifts: &Path) -> Result<(Vec<Person>, Vec<Shift>)> {
    let all: Vec<Person> = sheet::read(people)?;
    let (shifts, file) = (sheet::read(shifts)?, shifts.display());
    let shifts = ordered(shifts).with_context(|| file.to_string())?;
    enough(&all, &shifts).with_context(|| file.to_string())?;
    Ok((all, shifts))
}

/// Blocks are generated one after the other, and none changes what was generated before: so none may reach into another.
fn ordered(mut shifts: Vec<Shift>) -> Result<Vec<Shift>> {
    shifts.sort_by_key(|shift| shift.starts);
    let mut over = i64::MIN;
    for pair in shifts.windows(2) {
        let [before, after] = pair else { continue };
        over = over.max(before.ends);
        if before.block != after.block && after.starts < over {
            let (after, before) = (&after.id, &before.block);
            bail!("{after:?} begins before block {before:?} has ended: the blocks must follow one another");
        }
    }
    let mut blocks: Vec<_> = shifts.iter().map(|shift| shift.block.as_str()).collect();
    blocks.dedup();
    let first = blocks.iter().enumerate().find(|(at, block)| blocks[..*at].contains(block));
    first.map_or(Ok(()), |(_, block)| {
        bail!("block {block:?} goes on after another: the blocks must follow one another")
    })?;
    Ok(shifts)
}

/// With as many people as there are shifts at any time, somebody is always free for the next one.
fn enough(people: &[Person], shifts: &[Shift]) -> Result<()> {
    for shift in shifts {
        let at_once = shifts.iter().filter(|other| other.starts <= shift.starts && shift.starts < other.ends);
        let (at_once, there) = (at_once.count(), people.len());
        if at_once > there {
            bail!("when {:?} begins there are {at_once} shifts at once, for {there} people", shift.id);
        }
    }
    Ok(())
}

impl Record for Person {
    const NAME: &'static str = "people";
    const COLUMNS: &'static [&'static str] = &["name", "hours"];

    fn read(row: &mut Row<'_>) -> Option<Self> {
        let (name, hours) = (row.take(0, name), row.take(1, hours));
        Some(Self { name: name?, hours: hours? })
    }

    fn id(&self) -> &str {
        &self.name
    }
}

impl Record for Shift {
    const NAME: &'static str = "shifts";
    const COLUMNS: &'static [&'static str] = &["id", "block", "starts", "ends"];

    fn read(row: &mut Row<'_>) -> Option<Self> {
        let (id, block) = (row.take(0, name), row.take(1, name));
        let (starts, ends) = (row.take(2, time), row.take(3, time));
        let shift = Self { id: id?, block: block?, starts: starts?, ends: ends? };
        if shift.length() <= 0 || shift.length() > 24 * HOUR {
            row.wrong(3, "has to be after the beginning, and within a day of it");
            return None;
        }
        Some(shift)
    }

    fn id(&self) -> &str {
        &self.id
    }
}

fn hours(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(hours @ 1..=168) => Ok(hours),
        _ => Err(format!("{text:?} is no whole number from 1 to 168")),
    }
}

fn time(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is no time; expected 2025-01-31 14:00");
    let time = humantime::parse_rfc3339_weak(&format!("{text}:00")).map_err(|_| wrong())?;
    let since = time.duration_since(std::time::UNIX_EPOCH).map_err(|_| wrong())?;
    i64::try_from(since.as_millis()).map_err(|_| wrong())
}

/// What is shipped.
#[cfg(test)]
pub(crate) fn shipped() -> (Vec<Person>, Vec<Shift>) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    read(&data.join("people.csv"), &data.join("shifts.csv")).expect("good files")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::the_first("1970-01-01 00:00", Some(0))]
    #[case::another("2025-01-06 06:30", Some(1_736_145_000_000))]
    #[case::no_such_day("2025-02-30 06:00", None)]
    #[case::before_all("1969-12-31 23:00", None)]
    #[case::seconds("2025-01-06 06:30:00", None)]
    #[case::a_day("2025-01-06", None)]
    fn a_time_is_read(#[case] text: &str, #[case] read: Option<i64>) {
        assert_eq!(time(text).ok(), read);
    }

    fn shift(id: &str, block: &str, starts: i64, ends: i64) -> Shift {
        Shift { id: id.to_owned(), block: block.to_owned(), starts: starts * HOUR, ends: ends * HOUR }
    }

    #[test]
    fn blocks_follow_one_another() {
        let fits = [shift("c", "2", 16, 24), shift("a", "1", 0, 8), shift("b", "1", 8, 16)];
        let ordered = ordered(fits.to_vec()).expect("one after the other");
        assert_eq!(ordered.iter().map(|shift| shift.id.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[rstest]
    #[case::reaching_into_it(&[("a", "1", 0, 8), ("b", "2", 7, 9)], "\"b\" begins before block \"1\" has ended")]
    #[case::a_long_one(&[("a", "1", 0, 20), ("b", "1", 1, 2), ("c", "2", 19, 24)], "\"c\" begins before block \"1\"")]
    #[case::going_on(&[("a", "1", 0, 8), ("b", "2", 8, 9), ("c", "1", 9, 10)], "block \"1\" goes on after another")]
    fn blocks_that_do_not_are_refused(#[case] shifts: &[(&str, &str, i64, i64)], #[case] error: &str) {
        let shifts = shifts.iter().map(|(id, block, starts, ends)| shift(id, block, *starts, *ends));
        let refused = ordered(shifts.collect()).expect_err("they do not follow one another").to_string();
        assert!(refused.contains(error), "{refused}");
    }

    #[test]
    fn there_are_people_for_all_shifts_at_any_time() {
        let people = ["ann", "bob"].map(|name| Person { name: name.to_owned(), hours: 40 });
        let two = [shift("a", "1", 0, 8), shift("b", "1", 0, 8), shift("c", "1", 8, 16)];
        enough(&people, &two).expect("two are enough");
        let three = [shift("a", "1", 0, 8), shift("b", "1", 0, 8), shift("c", "1", 7, 16)];
        let refused = enough(&people, &three).expect_err("two are not").to_string();
        assert_eq!(refused, "when \"c\" begins there are 3 shifts at once, for 2 people");
    }
}
