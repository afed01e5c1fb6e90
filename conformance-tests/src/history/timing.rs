//! An operation far outside its fellows' times.

use std::time::Duration;

use super::{Fault, Finding, History, Operation};

/// How long an operation waited or worked, by now.
struct Span<'a> {
    operation: &'a Operation,
    took: Duration,
    /// Whether it may be as short as it likes.
    open: bool,
}

impl History {
    /// Operations that waited more than so many `times` longer than is usual, or worked so much longer or shorter, and differ
    /// from it by at least so much.
    ///
    /// What is usual is the median of all operations of the history. One that goes on is measured up to the last moment
    /// that the history knows of; it is never too short. Nor is a wait: somebody comes first. One that never had its keys
    /// has waited, and not worked. Of fewer than three, nobody can say which one is unusual.
    ///
    /// ```
    /// use std::time::Duration;
    /// use conformance_tests::history::{History, Operation};
    ///
    /// let at = Duration::from_millis;
    /// let took = [("a", 20), ("b", 25), ("c", 30), ("stuck", 4_000)];
    /// let history: History = took.map(|(id, took)| Operation::new(id, at(0), at(took))).into_iter().collect();
    /// let found = history.timing(10, at(1_000));
    /// assert_eq!(found[0].to_string(), "took 4s where 25ms is usual: stuck (from 0ns to 4s)");
    /// ```
    pub fn timing(&self, times: u32, least: Duration) -> Vec<Finding> {
        let moments = self.0.iter().flat_map(|one| [Some(one.asked), Some(one.begin), one.end]).flatten();
        let last = moments.max().unwrap_or_default();
        let waited = self.0.iter().map(|one| {
            let end = if one.waits { one.end } else { Some(one.begin) };
            Span { open: true, ..span(one, one.asked, end, last) }
        });
        let worked = self.0.iter().filter(|one| !one.waits).map(|one| span(one, one.begin, one.end, last));
        let mut found = outside(waited, times, least, |took, usual| Fault::Wait { took, usual });
        found.extend(outside(worked, times, least, |took, usual| Fault::Work { took, usual }));
        found
    }
}

fn span(operation: &Operation, begin: Duration, end: Option<Duration>, last: Duration) -> Span<'_> {
    Span { operation, took: end.unwrap_or(last).saturating_sub(begin), open: end.is_none() }
}

fn outside<'a>(
    spans: impl Iterator<Item = Span<'a>>,
    times: u32,
    least: Duration,
    fault: fn(Duration, Duration) -> Fault,
) -> Vec<Finding> {
    let spans: Vec<_> = spans.collect();
    if spans.len() < 3 {
        return Vec::new();
    }
    let usual = median(spans.iter().map(|span| span.took));
    let outside = |span: &&Span| {
        let long = span.took > usual.saturating_mul(times);
        let short = !span.open && span.took.saturating_mul(times) < usual;
        span.took.abs_diff(usual) >= least && (long || short)
    };
    let found = spans.iter().filter(outside);
    found.map(|span| Finding::new(fault(span.took, usual), [span.operation])).collect()
}

/// Half of them are no longer: of an even number, the shorter one in the middle.
fn median(took: impl Iterator<Item = Duration>) -> Duration {
    let mut took: Vec<_> = took.collect();
    took.sort_unstable();
    took.get(took.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::tests::{found, ms, operation};
    use super::*;

    /// Ten times the usual, and 100 ms more.
    fn unusual(operations: &[Operation]) -> Vec<String> {
        found(operations, |history| history.timing(10, ms(100)))
    }

    /// Operations that took so many milliseconds, each a hundred after the one before.
    fn took<const N: usize>(took: [u64; N]) -> Vec<Operation> {
        let took = took.iter().enumerate();
        took.map(|(n, took)| operation(&n.to_string(), 100 * n as u64, 100 * n as u64 + took)).collect()
    }

    #[rstest]
    #[case::none(took([]))]
    #[case::one(took([5_000]))]
    #[case::two_of_which_nobody_can_say(took([1, 5_000]))]
    #[case::all_alike(took([50, 50, 50, 50]))]
    #[case::all_in_no_time(took([0, 0, 0]))]
    #[case::exactly_ten_times(took([50, 50, 500]))]
    #[case::exactly_a_tenth(took([500, 500, 50]))]
    #[case::a_hundred_times_but_not_by_much(took([1, 1, 100]))]
    #[case::two_kinds_half_and_half(took([10, 90, 10, 90]))]
    #[case::one_that_did_not_wait(took([5, 5, 5]).into_iter().zip([900, 900, 0]).map(|(one, waited)| {
        let begin = one.begin + ms(1_000);
        Operation { begin, end: Some(begin), asked: begin - ms(waited), ..one }
    }).collect())]
    #[case::two_that_worked_while_another_waits(took([1, 5_000]).into_iter().chain([operation("c", 0, 1).waits()]).collect())]
    #[case::one_that_waits_since_just_now(took([900, 900, 900]).into_iter().chain([
        Operation::new("c", ms(1_090), None).waits()
    ]).collect())]
    #[case::one_that_has_begun_just_now(vec![operation("a", 0, 2_000), operation("b", 0, 2_000), Operation::new("c", ms(1_999), None)])]
    fn usual_times_are_none_of_its_business(#[case] operations: Vec<Operation>) {
        assert_eq!(unusual(&operations), Vec::<String>::new());
    }

    #[rstest]
    #[case::far_longer(took([50, 50, 501]), "took 501ms where 50ms is usual: 2")]
    #[case::far_longer_than_no_time(took([0, 0, 100]), "took 100ms where 0ns is usual: 2")]
    #[case::far_shorter(took([500, 500, 49]), "took 49ms where 500ms is usual: 2")]
    #[case::of_an_even_number(took([20, 30, 2_000, 40]), "took 2s where 30ms is usual: 2")]
    #[case::still_under_way(
        vec![operation("a", 0, 10), operation("b", 10, 20), Operation::new("c", ms(0), None), operation("d", 2_000, 2_010)],
        "took 2.01s where 10ms is usual: c"
    )]
    #[case::in_waiting(
        vec![operation("a", 10, 20), operation("b", 20, 30), operation("c", 3_000, 3_010).asked(ms(1_000))],
        "waited 2s where 0ns is usual: c"
    )]
    #[case::still_in_waiting(
        vec![operation("a", 0, 10), operation("b", 10, 20), Operation::new("c", ms(0), None).waits(), operation("d", 2_000, 2_010)],
        "waited 2.01s where 0ns is usual: c"
    )]
    #[case::in_waiting_until_it_gave_up(
        vec![operation("a", 0, 10), operation("b", 10, 20), operation("c", 0, 2_000).waits(), operation("d", 2_000, 2_010)],
        "waited 2s where 0ns is usual: c"
    )]
    fn an_unusual_time_is_found(#[case] operations: Vec<Operation>, #[case] expected: &str) {
        assert_eq!(unusual(&operations), [expected]);
    }

    #[test]
    fn all_that_are_outside_are_found() {
        assert_eq!(unusual(&took([50, 9_000, 50, 50, 8_000])).len(), 2);
    }

    #[test]
    fn the_longest_times_that_there_are_do_no_harm() {
        let operations = [Operation::new("a", Duration::ZERO, Duration::MAX), operation("b", 0, 1)];
        let all: History = operations.into_iter().chain([operation("c", 0, 1)]).collect();
        assert_eq!(all.timing(u32::MAX, Duration::MAX), []);
        assert_eq!(all.timing(0, Duration::from_secs(1)).len(), 1);
    }
}
