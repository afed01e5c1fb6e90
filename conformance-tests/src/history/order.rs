//! An event before its cause, and a holder's end after its successor's start.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use lock_core::{Key, Mode, Token};

use super::{Fault, Finding, History, Hold, Operation};

impl History {
    /// Operations that are not one after the other, as they have to be.
    ///
    /// - Of two that exclude each other on a key, the later one begins when the other has ended, or at the same instant, and
    ///   has the greater token. Readers exclude writers, and permits both; readers may overlap, and so may permits, as many
    ///   as the smallest number among them says.
    /// - None ends before it begins, or begins before it is asked for.
    /// - None begins before one that made it happen, and none is without one that is named as such.
    ///
    /// ```
    /// use std::time::Duration;
    /// use conformance_tests::history::{History, Operation};
    ///
    /// let at = Duration::from_millis;
    /// let history: History = [
    ///     Operation::new("fill/7", at(20), at(30)),
    ///     Operation::new("trade/7", at(10), at(15)).after("fill/7"),
    /// ]
    /// .into_iter()
    /// .collect();
    /// assert_eq!(history.order()[0].ids(), ["fill/7", "trade/7"]);
    /// ```
    pub fn order(&self) -> Vec<Finding> {
        let mut found: Vec<_> = self.0.iter().filter_map(backwards).collect();
        found.extend(self.effects());
        let mut keys: BTreeMap<&Key, Vec<Held>> = BTreeMap::new();
        for operation in &self.0 {
            for hold in &operation.holds {
                keys.entry(&hold.key).or_default().push(Held { operation, hold });
            }
        }
        found.extend(keys.into_values().flat_map(on_one_key));
        found
    }

    fn effects(&self) -> Vec<Finding> {
        let ids: HashMap<_, _> = self.0.iter().rev().map(|one| (one.id.as_str(), one)).collect();
        let mut found = Vec::new();
        for effect in &self.0 {
            for cause in &effect.causes {
                match ids.get(cause.as_str()) {
                    None => found.push(Finding::new(Fault::Causeless { cause: cause.clone() }, [effect])),
                    Some(cause) if cause.begin > effect.begin => {
                        found.push(Finding::new(Fault::Early, [*cause, effect]));
                    }
                    Some(_) => {}
                }
            }
        }
        found
    }
}

fn backwards(operation: &Operation) -> Option<Finding> {
    let backwards =
        operation.asked > operation.begin || operation.end.is_some_and(|end| end < operation.begin);
    backwards.then(|| Finding::new(Fault::Backwards, [operation]))
}

/// One key, held for one operation.
#[derive(Clone, Copy)]
struct Held<'a> {
    operation: &'a Operation,
    hold: &'a Hold,
}

impl Held<'_> {
    /// Where it stands among those on its key. What took no time was before what began at the same instant.
    fn order(&self) -> (Duration, bool, Option<Duration>, Token) {
        let end = self.operation.end;
        (self.begin(), end.is_none(), end, self.hold.token)
    }

    fn begin(&self) -> Duration {
        self.hold.since.unwrap_or(self.operation.begin)
    }

    fn outlasts(&self, start: &Self) -> bool {
        self.operation.end.is_none_or(|end| end > start.begin())
    }

    fn fault(&self, fault: fn(Key) -> Fault) -> Fault {
        fault(self.hold.key.clone())
    }

    /// The number of permits, if it holds one.
    fn permits(&self) -> Option<u32> {
        match self.hold.mode {
            Mode::Permit { of } => Some(of.get()),
            _ => None,
        }
    }
}

fn on_one_key(mut all: Vec<Held>) -> Vec<Finding> {
    all.sort_by_key(Held::order);
    let mut found = Vec::new();
    let mut open: Vec<Held> = Vec::new();
    // Of those that have ended, the one with the greatest token in each mode: no other can say more of those to come.
    let mut ended: Vec<Held> = Vec::new();
    for later in all {
        for gone in open.extract_if(.., |one| !one.outlasts(&later)) {
            match ended.iter_mut().find(|one| one.hold.mode == gone.hold.mode) {
                Some(one) if one.hold.token < gone.hold.token => *one = gone,
                Some(_) => {}
                None => ended.push(gone),
            }
        }
        let excluded = |one: &&Held| exclude(one.hold.mode, later.hold.mode);
        let pair = |one: &Held, fault| Finding::new(later.fault(fault), [one.operation, later.operation]);
        found.extend(open.iter().filter(excluded).map(|one| pair(one, |key| Fault::Overlap { key })));
        let stale = ended.iter().filter(excluded).filter(|one| one.hold.token > later.hold.token);
        found.extend(stale.map(|one| pair(one, |key| Fault::Tokens { key })));
        open.push(later);
        found.extend(crowd(&open, later));
    }
    found
}

/// Too many permits at the beginning of one of them.
fn crowd(open: &[Held], later: Held) -> Option<Finding> {
    later.permits()?;
    let permits = || open.iter().filter(|one| one.permits().is_some());
    let least = permits().filter_map(Held::permits).min()?;
    let fault = || later.fault(|key| Fault::Crowd { key });
    // Of one permit, two overlap.
    (least > 1 && permits().count() > least as usize)
        .then(|| Finding::new(fault(), permits().map(|one| one.operation)))
}

/// Whether two may never hold a key at once, whoever else does.
fn exclude(one: Mode, other: Mode) -> bool {
    match (one, other) {
        (Mode::Shared, Mode::Shared) => false,
        (Mode::Permit { of: one }, Mode::Permit { of: other }) => one.min(other).get() == 1,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::tests::{EXCLUSIVE, found, hold, ms, on, operation, permit};
    use super::*;

    const NONE: [&str; 0] = [];
    const SHARED: Mode = Mode::Shared;

    /// Exclusive holds, each with its token and its times.
    fn holds<const N: usize>(holds: [(&str, u64, u64, u64); N]) -> [Operation; N] {
        holds.map(|(id, token, begin, end)| hold(id, EXCLUSIVE, token, begin, end))
    }

    /// Holds of several modes, whose tokens grow with their beginnings.
    fn modes<const N: usize>(holds: [(&str, Mode, u64, u64); N]) -> [Operation; N] {
        holds.map(|(id, mode, begin, end)| hold(id, mode, 10 + begin, begin, end))
    }

    #[rstest]
    #[case::nothing(holds([]), NONE)]
    #[case::one(holds([("a", 1, 1, 2)]), NONE)]
    #[case::one_in_no_time(holds([("a", 1, 1, 1)]), NONE)]
    #[case::one_after_the_other(holds([("a", 1, 1, 2), ("b", 2, 3, 4)]), NONE)]
    #[case::a_successor_at_the_very_end(holds([("a", 1, 1, 2), ("b", 2, 2, 4)]), NONE)]
    #[case::all_at_one_instant(holds([("a", 1, 1, 1), ("b", 2, 1, 1), ("c", 3, 1, 1)]), NONE)]
    #[case::an_instant_at_the_beginning(holds([("a", 1, 1, 1), ("b", 2, 1, 3)]), NONE)]
    #[case::an_instant_at_the_end(holds([("a", 1, 1, 3), ("b", 2, 3, 3)]), NONE)]
    #[case::an_instant_within(holds([("a", 1, 1, 3), ("b", 2, 2, 2)]), ["overlap: a b"])]
    #[case::an_end_after_the_start(holds([("a", 1, 1, 3), ("b", 2, 2, 4)]), ["overlap: a b"])]
    #[case::the_same_beginning(holds([("a", 1, 1, 3), ("b", 2, 1, 4)]), ["overlap: a b"])]
    #[case::the_same_times(holds([("a", 1, 1, 3), ("b", 2, 1, 3)]), ["overlap: a b"])]
    #[case::one_within_another(holds([("a", 1, 1, 9), ("b", 2, 2, 3), ("c", 3, 4, 5)]), ["overlap: a b", "overlap: a c"])]
    #[case::three_at_once(holds([("a", 1, 1, 4), ("b", 2, 2, 4), ("c", 3, 3, 4)]),
        ["overlap: a b", "overlap: a c", "overlap: b c"])]
    #[case::a_token_that_shrinks(holds([("a", 7, 1, 2), ("b", 6, 3, 4)]), ["tokens that do not grow: a b"])]
    #[case::a_token_below_one_of_long_ago(holds([("a", 7, 1, 2), ("b", 8, 3, 4), ("c", 6, 5, 6)]),
        ["tokens that do not grow: b c"])]
    #[case::a_token_twice_is_for_another_detector(holds([("a", 7, 1, 2), ("b", 7, 3, 4)]), NONE)]
    #[case::tokens_that_shrink_at_one_instant(holds([("a", 7, 1, 1), ("b", 6, 1, 3)]), ["tokens that do not grow: a b"])]
    fn of_one_at_a_time<const N: usize, const M: usize>(
        #[case] operations: [Operation; N],
        #[case] expected: [&str; M],
    ) {
        assert_eq!(found(&operations, History::order), expected);
    }

    #[rstest]
    #[case::readers_together([hold("a", SHARED, 2, 1, 4), hold("b", SHARED, 1, 2, 6)], NONE)]
    #[case::readers_in_any_order_of_tokens([hold("a", SHARED, 2, 1, 2), hold("b", SHARED, 1, 3, 4)], NONE)]
    #[case::a_writer_after_the_last_reader(modes([("a", SHARED, 1, 4), ("b", SHARED, 2, 3), ("w", EXCLUSIVE, 4, 5)]), NONE)]
    #[case::a_writer_before_the_last_reader_left(
        modes([("a", SHARED, 1, 5), ("b", SHARED, 2, 3), ("w", EXCLUSIVE, 4, 6)]), ["overlap: a w"])]
    #[case::a_reader_before_the_writer_left(modes([("w", EXCLUSIVE, 1, 3), ("a", SHARED, 2, 4)]), ["overlap: w a"])]
    #[case::a_writer_with_a_token_below_a_readers(
        [hold("a", SHARED, 9, 1, 2), hold("w", EXCLUSIVE, 8, 3, 4)], ["tokens that do not grow: a w"])]
    #[case::a_reader_beside_a_permit(modes([("a", SHARED, 1, 3), ("b", permit(9), 2, 4)]), ["overlap: a b"])]
    #[case::as_many_permits_as_there_are(modes([("a", permit(2), 1, 5), ("b", permit(2), 2, 6)]), NONE)]
    #[case::a_permit_handed_on_at_once(modes([("a", permit(2), 1, 5), ("b", permit(2), 2, 3), ("c", permit(2), 3, 4)]), NONE)]
    #[case::one_permit_too_many(
        modes([("a", permit(2), 1, 5), ("b", permit(2), 2, 6), ("c", permit(2), 3, 7)]), ["too many permits: a b c"])]
    #[case::the_smallest_number_counts(
        modes([("a", permit(4), 1, 5), ("b", permit(4), 2, 6), ("c", permit(2), 3, 7)]), ["too many permits: a b c"])]
    #[case::permits_in_any_order_of_tokens([hold("a", permit(2), 2, 1, 2), hold("b", permit(2), 1, 3, 4)], NONE)]
    #[case::of_one_permit_two(modes([("a", permit(1), 1, 3), ("b", permit(1), 2, 4)]), ["overlap: a b"])]
    #[case::of_one_permit_in_the_order_of_tokens(
        [hold("a", permit(1), 2, 1, 3), hold("b", permit(1), 1, 4, 5)], ["tokens that do not grow: a b"])]
    fn of_some_together<const N: usize, const M: usize>(
        #[case] operations: [Operation; N],
        #[case] expected: [&str; M],
    ) {
        assert_eq!(found(&operations, History::order), expected);
    }

    #[rstest]
    #[case::other_keys([on("k", "a", EXCLUSIVE, 2, 1, 3), on("l", "b", EXCLUSIVE, 1, 2, 4)], NONE)]
    #[case::keys_that_look_alike([on("k", "a", EXCLUSIVE, 1, 1, 3), on("K", "b", EXCLUSIVE, 2, 2, 4)], NONE)]
    #[case::one_of_several_keys([both("a", 1, 1, 3), on("l", "b", EXCLUSIVE, 2, 2, 4)], ["overlap: a b"])]
    #[case::several_keys([both("a", 1, 1, 3), both("b", 2, 2, 4)], ["overlap: a b", "overlap: a b"])]
    #[case::a_second_key_that_was_free_by_then([on("l", "a", EXCLUSIVE, 1, 1, 3), later("b", 2, 2, 3, 4)], NONE)]
    #[case::a_second_key_that_was_not([on("l", "a", EXCLUSIVE, 1, 1, 4), later("b", 2, 2, 3, 5)], ["overlap: a b"])]
    #[case::the_first_key_before_the_second([hold("a", EXCLUSIVE, 1, 1, 3), later("b", 2, 2, 5, 6)], ["overlap: a b"])]
    #[case::no_keys([operation("a", 1, 3), operation("b", 2, 4)], NONE)]
    #[case::one_that_goes_on([goes_on("a", 1, 1), hold("b", EXCLUSIVE, 2, 9, 10)], ["overlap: a b"])]
    #[case::two_that_go_on([goes_on("a", 1, 1), goes_on("b", 2, 1)], ["overlap: a b"])]
    #[case::the_last_goes_on([hold("a", EXCLUSIVE, 1, 1, 2), goes_on("b", 2, 2)], NONE)]
    #[case::an_instant_before_one_that_goes_on([goes_on("b", 2, 2), hold("a", EXCLUSIVE, 1, 2, 2)], NONE)]
    fn of_keys<const N: usize, const M: usize>(
        #[case] operations: [Operation; N],
        #[case] expected: [&str; M],
    ) {
        assert_eq!(found(&operations, History::order), expected);
    }

    #[rstest]
    #[case::it_ends_before_it_begins([operation("a", 2, 1)], ["backwards in time: a"])]
    #[case::it_begins_before_it_is_asked_for([operation("a", 2, 3).asked(ms(3))], ["backwards in time: a"])]
    #[case::it_is_asked_for_before([operation("a", 2, 3).asked(ms(1))], NONE)]
    #[case::an_effect_after_its_cause([operation("a", 1, 2), operation("b", 3, 4).after("a")], NONE)]
    #[case::an_effect_within_its_cause([operation("a", 1, 9), operation("b", 3, 4).after("a")], NONE)]
    #[case::an_effect_at_once([operation("a", 1, 2), operation("b", 1, 2).after("a")], NONE)]
    #[case::an_effect_before_its_cause(
        [operation("a", 2, 3), operation("b", 1, 4).after("a")],
        ["cause and effect the wrong way round: a b"]
    )]
    #[case::of_two_causes_one_was_later(
        [operation("a", 1, 2), operation("b", 5, 6), operation("c", 4, 6).after("a").after("b")],
        ["cause and effect the wrong way round: b c"]
    )]
    #[case::an_effect_without_its_cause([operation("b", 1, 4).after("a")], ["caused by a, which is not there: b"])]
    fn of_events<const N: usize, const M: usize>(
        #[case] operations: [Operation; N],
        #[case] expected: [&str; M],
    ) {
        assert_eq!(found(&operations, History::order), expected);
    }

    /// With two keys.
    fn both(id: &str, token: u64, begin: u64, end: u64) -> Operation {
        hold(id, EXCLUSIVE, token, begin, end).holds(Key::new("l").unwrap(), EXCLUSIVE, Token::new(token))
    }

    /// With two keys, the second one later.
    fn later(id: &str, token: u64, begin: u64, since: u64, end: u64) -> Operation {
        let mut operation = both(id, token, begin, end);
        operation.holds[1].since = Some(ms(since));
        operation
    }

    fn goes_on(id: &str, token: u64, begin: u64) -> Operation {
        Operation::new(id, ms(begin), None).holds(Key::new("k").unwrap(), EXCLUSIVE, Token::new(token))
    }
}
