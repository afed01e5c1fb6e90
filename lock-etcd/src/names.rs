//! What things are called in the store.
//!
//! `PREFIX/n` is the counter's epoch. `PREFIX/q/KEY/` is the queue of a key: below it, in a directory for each mode, a
//! name for each claim on the key. In `KEY`, `%` and `/` are escaped; so no key's queue is a part of another's, and all
//! of one is one range.
//!
//! etcd keeps in its index every name that there was since the last compaction, and who reads a range passes by all of
//! them. So claims share a few short names, one after the other: two digits of the owner, of whom the value tells the
//! rest. A claim whose short name is taken has one that is nobody else's.

use std::fmt::Write;
use std::sync::Arc;

use lock_core::{Claim, Error, ErrorKind, Key, Mode, Owner, Result};

/// The directories of a queue, in the order of their names: what a shared claim conflicts with is one range, up to the
/// directory of shared claims.
const EXCLUSIVE: char = 'e';
const PERMIT: char = 'p';
const REMNANT: char = 'r';
const SHARED: char = 's';

#[derive(Clone, Debug)]
pub(crate) struct Names {
    prefix: Arc<str>,
}

/// A range of names: from the first up to, and without, the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Range(pub(crate) String, pub(crate) String);

/// Where a claim stands, or would, on one key.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// `PREFIX/q/KEY/`.
    queue: String,
    /// The claim's name there, if it is not another's.
    short: String,
    /// Its name otherwise.
    long: String,
}

/// Which of its two names a claim has, on all its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Short,
    Long,
}

impl Names {
    pub(crate) fn new(prefix: &str) -> Result<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if prefix.is_empty() || prefix.len() > 64 || !prefix.chars().all(plain) {
            let message =
                format!("the prefix is {prefix:?}; it must be 1 to 64 letters, digits, '_', '-' and '.'");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        Ok(Self { prefix: prefix.into() })
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn epoch(&self) -> String {
        format!("{}/n", self.prefix)
    }

    /// A name under which nothing is ever stored.
    pub(crate) fn nothing(&self) -> String {
        format!("{}/w", self.prefix)
    }

    /// Where a claim stands, key by key.
    pub(crate) fn places(&self, claim: &Claim) -> Vec<Place> {
        claim.keys().iter().map(|key| self.place(key, claim.mode(), claim.owner())).collect()
    }

    fn place(&self, key: &Key, mode: Mode, owner: Owner) -> Place {
        let queue = format!("{}/q/{}/", self.prefix, escaped(key));
        let directory = match mode {
            Mode::Shared => SHARED,
            Mode::Permit { .. } => PERMIT,
            _ => EXCLUSIVE,
        };
        let long = format!("{queue}{directory}/{}", owner.to_hex());
        Place { short: long[..long.len() - 30].to_owned(), long, queue }
    }
}

impl Place {
    /// The claim's name in this form.
    pub(crate) fn own(&self, form: Form) -> &str {
        match form {
            Form::Short => &self.short,
            Form::Long => &self.long,
        }
    }

    /// The whole queue of the key.
    pub(crate) fn queue(&self) -> Range {
        Range(self.queue.clone(), after(&self.queue))
    }

    /// What releases kept of the key.
    pub(crate) fn remnants(&self) -> Range {
        let directory = format!("{}{REMNANT}/", self.queue);
        Range(directory.clone(), after(&directory))
    }

    /// All that a shared claim conflicts with, and remnants of shared ones.
    pub(crate) fn unshared(&self) -> Range {
        Range(self.queue.clone(), format!("{}{SHARED}/", self.queue))
    }

    /// All but permits.
    pub(crate) fn unpermitted(&self) -> [Range; 2] {
        let Range(from, to) = self.queue();
        let permits = format!("{}{PERMIT}/", self.queue);
        [Range(from, permits.clone()), Range(after(&permits), to)]
    }

    /// A name for what a release keeps.
    pub(crate) fn remnant(&self, random: u128) -> String {
        format!("{}{REMNANT}/{random:032x}", self.queue)
    }

    /// The form of a name in the queue, and whether it is one of a remnant; `None` if it is no name of the locks.
    pub(crate) fn form(&self, name: &[u8]) -> Option<(Form, bool)> {
        let rest = name.strip_prefix(self.queue.as_bytes())?;
        let (directory, owner) = rest.split_at_checked(2)?;
        let form = match owner.len() {
            2 => Form::Short,
            32 => Form::Long,
            _ => return None,
        };
        let hex = owner.iter().all(u8::is_ascii_hexdigit);
        match (hex, directory, form) {
            (true, b"e/" | b"p/" | b"s/", _) => Some((form, false)),
            (true, b"r/", Form::Long) => Some((form, true)),
            _ => None,
        }
    }
}

/// The end of the range of all names that begin with a directory.
fn after(directory: &str) -> String {
    // '0' is what follows '/'.
    format!("{}0", directory.trim_end_matches('/'))
}

fn escaped(key: &Key) -> String {
    let mut escaped = String::with_capacity(key.as_str().len());
    for c in key.as_str().chars() {
        match c {
            '%' | '/' => {
                // Writing to a string does not fail.
                let _ = write!(escaped, "%{:02X}", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lock_core::{Claim, Mode};
    use rstest::rstest;

    use super::*;

    fn place(key: &str, mode: Mode) -> Place {
        let claim = Claim::new(key, mode, Duration::from_secs(3)).expect("a valid claim");
        Names::new("lock").expect("a plain prefix").places(&claim).remove(0)
    }

    #[test]
    fn no_queue_has_a_name_of_another() {
        let keys =
            ["a", "a/", "a/b", "a%2Fb", "%", "%25", "/", "a0", "a/q/b", "a/e/0", "ä", "A", " a", "{a}", "q"];
        for one in keys {
            for two in keys.into_iter().filter(|two| *two != one) {
                for mode in [Mode::Exclusive, Mode::Shared] {
                    let (Range(from, to), other) = (place(one, mode).queue(), place(two, mode));
                    for own in [other.short, other.long] {
                        assert!(own < from || own >= to, "{two:?} is in the queue of {one:?}: {own}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_name_is_in_its_own_queue_and_under_the_prefix() {
        for mode in [Mode::Exclusive, Mode::Shared, Mode::permit_of(2).expect("not zero")] {
            let place = place("a/b", mode);
            let (Range(from, to), remnant) = (place.queue(), place.remnant(7));
            for name in [&place.short, &place.long, &remnant] {
                assert!(*name > from && *name < to && name.starts_with("lock/q/a%2Fb/"), "{name}");
            }
            assert_eq!(place.form(remnant.as_bytes()), Some((Form::Long, true)));
            for form in [Form::Short, Form::Long] {
                let own = place.own(form);
                assert_eq!(place.form(own.as_bytes()), Some((form, false)));
                let Range(from, to) = place.unshared();
                assert_eq!(*own >= *from && *own < *to, mode != Mode::Shared);
                assert!(remnant >= from && remnant < to);
                let mut others = place.unpermitted().into_iter();
                let other = others.any(|Range(from, to)| *own >= *from && *own < *to);
                assert_eq!(other, !matches!(mode, Mode::Permit { .. }));
            }
        }
    }

    #[rstest]
    #[case::no_directory("lock/q/a/")]
    #[case::another_directory("lock/q/a/x/00000000000000000000000000000000")]
    #[case::no_owner("lock/q/a/e/")]
    #[case::too_short("lock/q/a/e/0000")]
    #[case::a_short_remnant("lock/q/a/r/00")]
    #[case::no_hex("lock/q/a/e/0000000000000000000000000000000g")]
    #[case::another_queue("lock/q/b/e/00000000000000000000000000000000")]
    fn what_is_no_name_of_the_locks_is_known_as_such(#[case] name: &str) {
        assert_eq!(place("a", Mode::Exclusive).form(name.as_bytes()), None);
    }

    #[rstest]
    #[case::empty("")]
    #[case::a_part_of_others("a/b")]
    #[case::space("a b")]
    fn a_bad_prefix_is_refused(#[case] prefix: &str) {
        let error = Names::new(prefix).expect_err("a bad prefix");
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}
