//! State written under one key or for one user, and seen under another.

use std::collections::HashMap;

use super::{Fault, Finding, History, Operation};

/// What state belongs to, and may not be seen outside of.
///
/// ```
/// use conformance_tests::history::{Bound, History};
/// assert_eq!(History::default().isolation(Bound::Key), []);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bound {
    /// The keys that were held when it was written: whoever holds one of them may see it.
    Key,
    /// The user for whom it was written.
    User,
}

impl Bound {
    /// What an operation is within.
    fn of(self, operation: &Operation) -> Vec<&str> {
        match self {
            Self::Key => operation.holds.iter().map(|hold| hold.key.as_str()).collect(),
            Self::User => Some(operation.user.as_str()).filter(|user| !user.is_empty()).into_iter().collect(),
        }
    }

    /// Whether two operations are within the same.
    fn joins(self, one: &Operation, other: &Operation) -> bool {
        let within = self.of(one);
        self.of(other).iter().any(|other| within.contains(other))
    }
}

impl History {
    /// Operations that saw what was written outside of what they are within, and the first that wrote it there.
    ///
    /// What was written within it too may be seen. So may what nobody wrote: it was there before. Operations that hold no
    /// key, or name no user, are not within anything, and play no part.
    ///
    /// ```
    /// use std::time::Duration;
    /// use conformance_tests::history::{Bound, History, Operation};
    ///
    /// let at = Duration::from_millis;
    /// let history: History = [
    ///     Operation::new("login/1", at(0), at(5)).by("ann").wrote("session of ann"),
    ///     Operation::new("login/2", at(3), at(9)).by("bob").saw("session of ann"),
    /// ]
    /// .into_iter()
    /// .collect();
    /// assert_eq!(history.isolation(Bound::User)[0].ids(), ["login/1", "login/2"]);
    /// ```
    pub fn isolation(&self, bound: Bound) -> Vec<Finding> {
        let mut within: Vec<_> = self.0.iter().filter(|operation| !bound.of(operation).is_empty()).collect();
        within.sort_by_key(|operation| (operation.begin, &operation.id));
        let mut writers: HashMap<&str, Vec<&Operation>> = HashMap::new();
        for writer in &within {
            writer.wrote.iter().for_each(|version| writers.entry(version).or_default().push(writer));
        }
        let mut found = Vec::new();
        for reader in within {
            for version in &reader.saw {
                let Some(writers) = writers.get(version.as_str()) else { continue };
                if !writers.iter().any(|writer| bound.joins(writer, reader)) {
                    let fault = Fault::Crossed { version: version.clone() };
                    found.push(Finding::new(fault, [writers[0], reader]));
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::tests::{EXCLUSIVE, found, on, operation};
    use super::*;

    const NONE: [&str; 0] = [];

    /// Under a key, from its number of milliseconds to the next.
    fn under(key: &str, id: u64) -> Operation {
        on(key, &id.to_string(), EXCLUSIVE, id, id, id + 1)
    }

    fn by(user: &str, id: u64) -> Operation {
        operation(&id.to_string(), id, id + 1).by(user)
    }

    #[rstest]
    #[case::nothing([], NONE)]
    #[case::alone([under("a", 1).wrote("x").saw("x")], NONE)]
    #[case::the_same_key([under("a", 1).wrote("x"), under("a", 2).saw("x")], NONE)]
    #[case::another_key([under("a", 1).wrote("x"), under("b", 2).saw("x")], ["crossed over, x: 1 2"])]
    #[case::before_it_was_written([under("b", 1).saw("x"), under("a", 2).wrote("x")], ["crossed over, x: 2 1"])]
    #[case::what_nobody_wrote([under("a", 1).wrote("x"), under("b", 2).saw("y")], NONE)]
    #[case::written_on_both_sides([under("a", 1).wrote("x"), under("b", 2).wrote("x"), under("b", 3).saw("x")], NONE)]
    #[case::one_key_in_common([under("a", 1).wrote("x"), under("b", 2).holds(key("a"), EXCLUSIVE, token(3)).saw("x")], NONE)]
    #[case::no_key_at_all([under("a", 1).wrote("x"), operation("2", 2, 3).saw("x")], NONE)]
    #[case::written_under_no_key([operation("1", 1, 2).wrote("x"), under("b", 2).saw("x")], NONE)]
    #[case::two_versions([under("a", 1).wrote("x").wrote("y"), under("b", 2).saw("x").saw("y")],
        ["crossed over, x: 1 2", "crossed over, y: 1 2"])]
    #[case::the_first_writer_is_named(
        [under("a", 1).wrote("x"), under("c", 2).wrote("x"), under("b", 3).saw("x")],
        ["crossed over, x: 1 3"]
    )]
    fn of_keys<const N: usize, const M: usize>(
        #[case] operations: [Operation; N],
        #[case] expected: [&str; M],
    ) {
        assert_eq!(found(&operations, |history| history.isolation(Bound::Key)), expected);
    }

    #[rstest]
    #[case::the_same_user([by("ann", 1).wrote("x"), by("ann", 2).saw("x")], NONE)]
    #[case::another_user([by("ann", 1).wrote("x"), by("bob", 2).saw("x")], ["crossed over, x: 1 2"])]
    #[case::at_the_same_time([by("ann", 1).wrote("x"), by("bob", 1).saw("x")], ["crossed over, x: 1 1"])]
    #[case::nobody([by("ann", 1).wrote("x"), by("", 2).saw("x")], NONE)]
    #[case::written_by_nobody([by("", 1).wrote("x"), by("bob", 2).saw("x")], NONE)]
    fn of_users<const N: usize, const M: usize>(
        #[case] operations: [Operation; N],
        #[case] expected: [&str; M],
    ) {
        assert_eq!(found(&operations, |history| history.isolation(Bound::User)), expected);
    }

    #[test]
    fn users_may_share_a_key_and_keys_a_user() {
        let shared = [under("a", 1).by("ann").wrote("x"), under("a", 2).by("bob").saw("x")];
        assert_eq!(found(&shared, |history| history.isolation(Bound::Key)), NONE);
        assert_eq!(found(&shared, |history| history.isolation(Bound::User)), ["crossed over, x: 1 2"]);
    }

    fn key(name: &str) -> lock_core::Key {
        lock_core::Key::new(name).unwrap()
    }

    fn token(number: u64) -> lock_core::Token {
        lock_core::Token::new(number)
    }
}
