//! What was held, by whom and when: recorded by those who held it, and searched for what may not be.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lock_core::{Guard, Key, Lock, Mode, Token};
use tokio::task::yield_now;

use crate::patience::let_go;

/// A history of holds. Its time is a count of what was recorded: nothing depends on a clock.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Log>);

#[derive(Debug, Default)]
struct Log {
    time: u64,
    holds: Vec<Hold>,
}

/// One key held by one owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub(crate) key: Key,
    pub(crate) mode: Mode,
    pub(crate) token: Token,
    pub(crate) owner: String,
    pub(crate) begin: u64,
    /// Not yet ended: later than everything.
    pub(crate) end: u64,
}

/// What may not be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Two that exclude each other held at once.
    Overlap(Hold, Hold),
    /// More permits at once than there are.
    Crowd(Vec<Hold>),
    /// The later one has no greater token.
    Order(Hold, Hold),
    /// Two grants have the same token.
    Twins(Hold, Hold),
}

impl History {
    /// Records that a guard's keys are held in a mode while some work is done.
    pub(crate) async fn record<T>(
        &self,
        owner: impl fmt::Display,
        mode: Mode,
        guard: &Guard,
        work: impl Future<Output = T>,
    ) -> T {
        let begun = {
            let mut log = self.log();
            let first = log.holds.len();
            for key in guard.keys() {
                let token = guard.token_of(key).expect("a guard has a token for each of its keys");
                log.begin(key.clone(), mode, token, owner.to_string());
            }
            first..log.holds.len()
        };
        let done = work.await;
        let mut log = self.log();
        begun.for_each(|hold| log.end(hold));
        done
    }

    /// Takes one lock after the other, all in this mode, as one of several tasks, and records each.
    pub(crate) async fn turns(
        self: Arc<Self>,
        task: usize,
        mode: Mode,
        locks: impl IntoIterator<Item = Lock>,
    ) {
        for lock in locks {
            let guard = lock.acquire().await.expect("granted in the end");
            self.record(format!("task {task}"), mode, &guard, yield_now()).await;
            let_go(guard).await;
        }
    }

    /// Panics, naming the offending operations, unless so many holds are recorded and nothing is wrong with them.
    #[track_caller]
    pub(crate) fn assert_sound(&self, holds: usize) {
        let log = self.log();
        let faults = faults(&log.holds);
        let listed: Vec<_> = faults.iter().take(10).map(Fault::to_string).collect();
        assert!(faults.is_empty(), "{} faults in the history, first:\n{}", faults.len(), listed.join("\n"));
        assert_eq!(log.holds.len(), holds, "the number of holds recorded");
        let open: Vec<_> = log.holds.iter().filter(|hold| hold.end == u64::MAX).collect();
        assert!(open.is_empty(), "never ended: {open:?}");
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn begin(&mut self, key: Key, mode: Mode, token: Token, owner: String) {
        self.time += 1;
        self.holds.push(Hold { key, mode, token, owner, begin: self.time, end: u64::MAX });
    }

    fn end(&mut self, hold: usize) {
        self.time += 1;
        self.holds[hold].end = self.time;
    }
}

/// Everything in a history that may not be.
fn faults(holds: &[Hold]) -> Vec<Fault> {
    let mut holds: Vec<&Hold> = holds.iter().collect();
    holds.sort_by_key(|hold| (hold.key.clone(), hold.begin));
    let mut faults = Vec::new();
    for (at, later) in holds.iter().enumerate() {
        let earlier = || holds[..at].iter().rev().take_while(|hold| hold.key == later.key);
        faults.extend(earlier().filter_map(|earlier| between(earlier, later)));
        faults.extend(crowd(earlier().filter(|earlier| earlier.end > later.begin), later));
    }
    faults
}

/// What is wrong between two holds of one key, if anything is.
fn between(earlier: &Hold, later: &Hold) -> Option<Fault> {
    let both = || (earlier.clone(), later.clone());
    let fault = |kind: fn(Hold, Hold) -> Fault| {
        let (earlier, later) = both();
        Some(kind(earlier, later))
    };
    if earlier.token == later.token {
        return fault(Fault::Twins);
    }
    if !exclude(earlier.mode, later.mode) {
        return None;
    }
    if earlier.end > later.begin {
        return fault(Fault::Overlap);
    }
    if earlier.token > later.token { fault(Fault::Order) } else { None }
}

/// Too many permits at the beginning of one of them.
fn crowd<'a>(open: impl Iterator<Item = &'a &'a Hold>, later: &Hold) -> Option<Fault> {
    let of = |hold: &Hold| match hold.mode {
        Mode::Permit { of } => Some(of.get()),
        _ => None,
    };
    of(later)?;
    let mut permits: Vec<Hold> = open.filter(|hold| of(hold).is_some()).map(|hold| (*hold).clone()).collect();
    permits.reverse(); // they came latest first
    permits.push(later.clone());
    let least = permits.iter().filter_map(of).min()?;
    (permits.len() > least as usize).then_some(Fault::Crowd(permits))
}

/// Whether two holds may never overlap, whoever else is there.
fn exclude(one: Mode, other: Mode) -> bool {
    match (one, other) {
        (Mode::Shared, Mode::Shared) => false,
        (Mode::Permit { of: one }, Mode::Permit { of: other }) => one.min(other).get() == 1,
        _ => true,
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owner, mode, token, begin, .. } = self;
        write!(f, "{owner} ({mode}, token {token}, from {begin} to ")?;
        if self.end == u64::MAX { f.write_str("the end)") } else { write!(f, "{})", self.end) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overlap(one, two) => write!(f, "overlap on {:?}: {one} and {two}", one.key),
            Self::Order(one, two) => write!(f, "tokens out of order on {:?}: {one} before {two}", one.key),
            Self::Twins(one, two) => write!(f, "one token twice on {:?}: {one} and {two}", one.key),
            Self::Crowd(all) => {
                let names: Vec<_> = all.iter().map(Hold::to_string).collect();
                write!(f, "{} permits at once on {:?}: {}", all.len(), all[0].key, names.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(owner: &str, mode: Mode, token: u64, begin: u64, end: u64) -> Hold {
        let (key, token, owner) = (Key::new("k").unwrap(), Token::new(token), owner.to_owned());
        Hold { key, mode, token, owner, begin, end }
    }

    fn permit(of: u32) -> Mode {
        Mode::permit_of(of).unwrap()
    }

    #[test]
    fn one_after_the_other_in_the_order_of_tokens_is_sound() {
        let holds = [hold("a", Mode::Exclusive, 1, 1, 2), hold("b", Mode::Exclusive, 2, 3, 4)];
        assert_eq!(faults(&holds), []);
    }

    #[test]
    fn two_exclusive_holds_at_once_are_named() {
        let (a, b) = (hold("a", Mode::Exclusive, 1, 1, 3), hold("b", Mode::Exclusive, 2, 2, 4));
        assert_eq!(faults(&[b.clone(), a.clone()]), [Fault::Overlap(a.clone(), b.clone())]);
        let named = Fault::Overlap(a, b).to_string();
        assert_eq!(
            named,
            r#"overlap on "k": a (exclusive, token 1, from 1 to 3) and b (exclusive, token 2, from 2 to 4)"#
        );
    }

    #[test]
    fn a_long_hold_overlaps_every_one_within_it() {
        let long = hold("long", Mode::Exclusive, 1, 1, 9);
        let holds =
            [long, hold("one", Mode::Exclusive, 2, 2, 3), hold("two", Mode::Exclusive, 3, 4, u64::MAX)];
        assert_eq!(faults(&holds).len(), 2);
    }

    #[test]
    fn other_keys_do_not_matter() {
        let mut other = hold("b", Mode::Exclusive, 1, 2, 3);
        other.key = Key::new("other").unwrap();
        assert_eq!(faults(&[hold("a", Mode::Exclusive, 1, 1, 4), other]), []);
    }

    #[test]
    fn a_token_that_does_not_grow_is_named() {
        let (a, b) = (hold("a", Mode::Exclusive, 7, 1, 2), hold("b", Mode::Exclusive, 6, 3, 4));
        assert_eq!(faults(&[a.clone(), b.clone()]), [Fault::Order(a, b)]);
    }

    #[test]
    fn a_token_issued_twice_is_named_even_between_readers() {
        let (a, b) = (hold("a", Mode::Shared, 7, 1, 3), hold("b", Mode::Shared, 7, 2, 4));
        assert_eq!(faults(&[a.clone(), b.clone()]), [Fault::Twins(a, b)]);
    }

    #[test]
    fn readers_share_in_any_order_of_tokens_and_exclude_a_writer() {
        let (one, two) = (hold("one", Mode::Shared, 2, 1, 4), hold("two", Mode::Shared, 1, 2, 6));
        let writer = hold("writer", Mode::Exclusive, 3, 5, 7);
        assert_eq!(faults(&[one.clone(), two.clone()]), []);
        assert_eq!(faults(&[one, two.clone(), writer.clone()]), [Fault::Overlap(two, writer)]);
    }

    #[test]
    fn a_reader_beside_a_permit_is_named() {
        let (reader, holder) = (hold("reader", Mode::Shared, 1, 1, 3), hold("holder", permit(9), 2, 2, 4));
        assert_eq!(faults(&[reader.clone(), holder.clone()]), [Fault::Overlap(reader, holder)]);
    }

    #[test]
    fn as_many_permits_as_there_are_are_sound_and_one_more_is_not() {
        let two = [hold("a", permit(2), 1, 1, 5), hold("b", permit(2), 2, 2, 6)];
        assert_eq!(faults(&two), []);
        let three = [two[0].clone(), two[1].clone(), hold("c", permit(2), 3, 3, 7)];
        assert_eq!(faults(&three), [Fault::Crowd(three.to_vec())]);
    }

    #[test]
    fn where_permits_differ_the_smallest_number_counts() {
        let holds =
            [hold("a", permit(4), 1, 1, 5), hold("b", permit(4), 2, 2, 6), hold("c", permit(2), 3, 3, 7)];
        assert_eq!(faults(&holds).len(), 1);
    }

    #[test]
    fn a_permit_of_one_excludes_and_orders_as_an_exclusive_hold_does() {
        let (a, b) = (hold("a", permit(1), 2, 1, 3), hold("b", permit(1), 1, 4, 5));
        assert_eq!(faults(&[a.clone(), b.clone()]), [Fault::Order(a, b)]);
    }
}
