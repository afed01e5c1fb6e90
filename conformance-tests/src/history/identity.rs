//! Two owners, tokens or ids alike.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use super::{Fault, Finding, History, Operation};

impl History {
    /// Operations with the id, or with a token, of one before.
    ///
    /// A store never issues a token twice, whatever the key: what was done under one grant is one operation. Where a service
    /// has locks in two stores, each has a history of its own.
    ///
    /// ```
    /// use std::time::Duration;
    /// use conformance_tests::history::{History, Operation};
    /// use lock_core::{Key, Mode, Token};
    ///
    /// # fn main() -> lock_core::Result<()> {
    /// let (at, key) = (Duration::from_millis, Key::new("a")?);
    /// let history: History = [("one", 3), ("two", 4), ("three", 3)]
    ///     .map(|(id, token)| {
    ///         Operation::new(id, at(0), at(1)).holds(key.clone(), Mode::Shared, Token::new(token))
    ///     })
    ///     .into_iter()
    ///     .collect();
    /// assert_eq!(history.identity()[0].ids(), ["one", "three"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn identity(&self) -> Vec<Finding> {
        let ids = twins(self.0.iter().map(|operation| (operation.id.as_str(), operation)));
        let tokens = self.0.iter().flat_map(|operation| {
            let mut tokens: Vec<_> = operation.holds.iter().map(|hold| hold.token).collect();
            // Several keys that were taken in one step have one token.
            tokens.sort_unstable();
            tokens.dedup();
            tokens.into_iter().map(move |token| (token, operation))
        });
        let find = |fault: Fault| move |pair: [&Operation; 2]| Finding::new(fault.clone(), pair);
        let ids = ids.into_iter().map(find(Fault::SameId));
        ids.chain(twins(tokens).into_iter().map(find(Fault::SameToken))).collect()
    }
}

/// Each operation that has what one before had, with the first that had it.
fn twins<'a, T: Eq + Hash>(named: impl Iterator<Item = (T, &'a Operation)>) -> Vec<[&'a Operation; 2]> {
    let mut named: Vec<_> = named.collect();
    named.sort_by_key(|(_, operation)| (operation.begin, &operation.id));
    let mut first: HashMap<T, &Operation> = HashMap::new();
    let mut twins = Vec::new();
    for (name, operation) in named {
        match first.entry(name) {
            Entry::Occupied(first) => twins.push([*first.get(), operation]),
            Entry::Vacant(place) => drop(place.insert(operation)),
        }
    }
    twins
}

#[cfg(test)]
mod tests {
    use lock_core::{Key, Mode, Token};
    use rstest::rstest;

    use super::super::tests::{EXCLUSIVE, found, hold, on, operation};
    use super::*;

    const NONE: [&str; 0] = [];
    const SHARED: Mode = Mode::Shared;

    #[rstest]
    #[case::nothing([], NONE)]
    #[case::one([hold("a", EXCLUSIVE, 1, 1, 2)], NONE)]
    #[case::different_ones([hold("a", EXCLUSIVE, 1, 1, 2), hold("b", EXCLUSIVE, 2, 3, 4)], NONE)]
    #[case::without_tokens([operation("a", 1, 2), operation("b", 1, 2)], NONE)]
    #[case::one_id([operation("a", 1, 2), operation("a", 3, 4)], ["one id twice: a a"])]
    #[case::ids_are_compared_byte_by_byte([operation("a", 1, 2), operation("A", 1, 2), operation(" a", 1, 2)], NONE)]
    #[case::three_with_one_id(
        [operation("a", 1, 2), operation("a", 3, 4), operation("a", 5, 6)],
        ["one id twice: a a", "one id twice: a a"]
    )]
    #[case::one_token([hold("a", EXCLUSIVE, 7, 1, 2), hold("b", EXCLUSIVE, 7, 3, 4)], ["one token twice: a b"])]
    #[case::the_first_with_a_token_is_named(
        [hold("a", EXCLUSIVE, 7, 1, 2), hold("b", EXCLUSIVE, 7, 3, 4), hold("c", EXCLUSIVE, 7, 5, 6)],
        ["one token twice: a b", "one token twice: a c"]
    )]
    #[case::one_token_among_readers(
        [hold("a", SHARED, 7, 1, 3), hold("b", SHARED, 7, 2, 4)],
        ["one token twice: a b"]
    )]
    #[case::one_token_on_two_keys(
        [on("k", "a", EXCLUSIVE, 7, 1, 2), on("l", "b", EXCLUSIVE, 7, 1, 2)],
        ["one token twice: a b"]
    )]
    #[case::several_keys_in_one_step([with("a", "l", 7)], NONE)]
    #[case::several_keys_one_by_one([with("a", "l", 8)], NONE)]
    #[case::one_of_several_keys([with("a", "l", 8), hold("b", EXCLUSIVE, 8, 3, 4)], ["one token twice: a b"])]
    #[case::id_and_token(
        [hold("a", EXCLUSIVE, 7, 1, 2), hold("a", EXCLUSIVE, 7, 3, 4)],
        ["one id twice: a a", "one token twice: a a"]
    )]
    fn alike<const N: usize, const M: usize>(
        #[case] operations: [Operation; N],
        #[case] expected: [&str; M],
    ) {
        assert_eq!(found(&operations, History::identity), expected);
    }

    /// Under `k` with the token 7, and under another key.
    fn with(id: &str, key: &str, token: u64) -> Operation {
        hold(id, EXCLUSIVE, 7, 1, 2).holds(Key::new(key).unwrap(), EXCLUSIVE, Token::new(token))
    }
}
