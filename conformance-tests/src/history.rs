//! What was done, by whom and when: recorded by a service, and searched for what may not be.
//!
//! A [`History`] is a list of [`Operation`]s. Four detectors search it, and each answers a list of [`Finding`]s, which
//! name the offending operations. A sound history has none.
//!
//! | detector | finds |
//! | --- | --- |
//! | [`timing`](History::timing) | an operation that waited far longer than its fellows, or worked far longer or shorter |
//! | [`isolation`](History::isolation) | state that was written under one key, or by one user, and seen under another |
//! | [`identity`](History::identity) | two operations with one id, or with one token |
//! | [`order`](History::order) | holds that overlap and may not, tokens that do not grow, an effect before its cause |
//!
//! # Recording
//!
//! A [`Recorder`] writes down what the tasks of a process do. Say that an operation has ended *before* its lock is released:
//! what is written down later looks like an overlap.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> lock_core::Result<()> {
//! use conformance_tests::history::{Bound, Recorder};
//! use lock_core::{Locker, Memory};
//!
//! let (locks, recorder) = (Locker::new(Memory::new()), Recorder::default());
//! for (id, user) in [("order/1", "ann"), ("order/2", "bob")] {
//!     let mut recording = recorder.ask(id, user);
//!     let guard = locks.lock(format!("account/{user}")).acquire().await?;
//!     recording.hold(&guard);
//!     recording.wrote(format!("balance of {user}"));
//!     recording.end();
//!     guard.release().await?;
//! }
//!
//! let history = recorder.history();
//! assert_eq!(history.order(), []);
//! assert_eq!(history.identity(), []);
//! assert_eq!(history.isolation(Bound::User), []);
//! # Ok(())
//! # }
//! ```
//!
//! # A history of your own
//!
//! Where a service has a table or a log of what it did, its rows are the operations. Times are durations since any moment that
//! they have in common, the Unix epoch say, by one clock: the clocks of two machines differ by more than a hand-over takes.
//!
//! ```
//! use std::time::Duration;
//! use conformance_tests::history::{History, Operation};
//! use lock_core::{Key, Mode, Token};
//!
//! # fn main() -> lock_core::Result<()> {
//! let rows = [("order/1", 100, 190, 17), ("order/2", 180, 260, 18)]; // milliseconds
//! let history: History = rows
//!     .into_iter()
//!     .map(|(id, begin, end, token)| {
//!         let at = Duration::from_millis;
//!         let key = Key::new("account/ann").expect("a valid key");
//!         Operation::new(id, at(begin), at(end)).holds(key, Mode::Exclusive, Token::new(token))
//!     })
//!     .collect();
//!
//! let found = history.order();
//! assert_eq!(found[0].ids(), ["order/1", "order/2"]);
//! assert!(found[0].to_string().starts_with(r#"overlap on "account/ann": order/1"#));
//! # Ok(())
//! # }
//! ```

mod finding;
mod identity;
mod isolation;
mod order;
mod recorder;
mod timing;

use std::fmt;
use std::time::Duration;

use lock_core::{Key, Mode, Token};

pub use finding::{Fault, Finding};
pub use isolation::Bound;
pub use recorder::{Recorder, Recording};

/// A list of operations, in any order.
///
/// ```
/// # use std::time::Duration;
/// use conformance_tests::history::{History, Operation};
///
/// let history: History = [Operation::new("a", Duration::ZERO, None)].into_iter().collect();
/// assert_eq!(history.operations().len(), 1);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History(Vec<Operation>);

impl History {
    /// What was done.
    ///
    /// Work of different kinds has different times: filter it before [`timing`](Self::timing).
    ///
    /// ```
    /// # use conformance_tests::history::History;
    /// # let history = History::default();
    /// let trades: History =
    ///     history.operations().iter().filter(|operation| operation.id.starts_with("trade/")).cloned().collect();
    /// ```
    pub fn operations(&self) -> &[Operation] {
        &self.0
    }
}

impl FromIterator<Operation> for History {
    fn from_iter<I: IntoIterator<Item = Operation>>(operations: I) -> Self {
        Self(operations.into_iter().collect())
    }
}

/// One thing that was done, from grant to release if it was done under a lock.
///
/// Times are durations since a moment that all operations of a history have in common.
///
/// ```
/// use std::time::Duration;
/// use conformance_tests::history::Operation;
///
/// let (begin, end) = (Duration::from_secs(3), Duration::from_secs(5));
/// let trade = Operation::new("trade/7", begin, end).by("ann").after("fill/7").saw("price/3").wrote("position/4");
/// assert_eq!((trade.id.as_str(), trade.asked), ("trade/7", begin));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Operation {
    /// What it is called. No two operations are called alike.
    pub id: String,
    /// For whom it was done; empty if nobody was named.
    pub user: String,
    /// The keys that were held for it.
    pub holds: Vec<Hold>,
    /// When it began to wait for its keys.
    pub asked: Duration,
    /// When it had them; as `asked`, if it never had.
    pub begin: Duration,
    /// Whether it only waits for its keys, or gave them up. It does not work.
    pub waits: bool,
    /// When it was about to give them back; `None` while it goes on, later than everything.
    pub end: Option<Duration>,
    /// What it wrote: a name for each version of a piece of state.
    pub wrote: Vec<String>,
    /// What it read: by the same names.
    pub saw: Vec<String>,
    /// The ids of the operations that made it happen.
    pub causes: Vec<String>,
}

/// A key that was held, and how.
///
/// ```
/// # use std::time::Duration;
/// # use conformance_tests::history::Operation;
/// use lock_core::{Key, Mode, Token};
///
/// # fn main() -> lock_core::Result<()> {
/// let read = Operation::new("read/1", Duration::ZERO, None).holds(Key::new("a")?, Mode::Shared, Token::new(7));
/// assert_eq!(read.holds[0].token, Token::new(7));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hold {
    /// The key.
    pub key: Key,
    /// How it was held.
    pub mode: Mode,
    /// The fencing token that came with it.
    pub token: Token,
    /// Since when, if that is later than the beginning of what it was held for.
    pub since: Option<Duration>,
}

impl Operation {
    /// An operation that did not wait; without an end if it goes on.
    pub fn new(id: impl Into<String>, begin: Duration, end: impl Into<Option<Duration>>) -> Self {
        Self {
            id: id.into(),
            user: String::new(),
            holds: Vec::new(),
            asked: begin,
            begin,
            waits: false,
            end: end.into(),
            wrote: Vec::new(),
            saw: Vec::new(),
            causes: Vec::new(),
        }
    }

    /// Says for whom it was done.
    pub fn by(mut self, user: impl Into<String>) -> Self {
        self.user = user.into();
        self
    }

    /// Says since when it had waited for its keys.
    pub fn asked(mut self, asked: Duration) -> Self {
        self.asked = asked;
        self
    }

    /// Says that it has never had its keys: it has waited since it began, until now or until it gave up.
    pub fn waits(mut self) -> Self {
        self.waits = true;
        self
    }

    /// Adds a key that was held for it.
    pub fn holds(mut self, key: Key, mode: Mode, token: Token) -> Self {
        self.holds.push(Hold { key, mode, token, since: None });
        self
    }

    /// Adds something that it wrote.
    pub fn wrote(mut self, version: impl Into<String>) -> Self {
        self.wrote.push(version.into());
        self
    }

    /// Adds something that it read.
    pub fn saw(mut self, version: impl Into<String>) -> Self {
        self.saw.push(version.into());
        self
    }

    /// Adds the id of an operation that made it happen.
    pub fn after(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, user, holds, begin, waits, end, .. } = self;
        write!(f, "{id} (")?;
        if !user.is_empty() {
            write!(f, "by {user}, ")?;
        }
        for Hold { key, mode, token, .. } in holds {
            write!(f, "{:?} {mode} with token {token}, ", key.as_str())?;
        }
        write!(f, "{}from {begin:?} to ", if *waits { "waiting " } else { "" })?;
        match end {
            Some(end) => write!(f, "{end:?})"),
            None => f.write_str("the end)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const EXCLUSIVE: Mode = Mode::Exclusive;

    pub(super) fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// An operation from one millisecond to another.
    pub(super) fn operation(id: &str, begin: u64, end: u64) -> Operation {
        Operation::new(id, ms(begin), ms(end))
    }

    /// The same, while it holds the key `k`.
    pub(super) fn hold(id: &str, mode: Mode, token: u64, begin: u64, end: u64) -> Operation {
        on("k", id, mode, token, begin, end)
    }

    pub(super) fn on(key: &str, id: &str, mode: Mode, token: u64, begin: u64, end: u64) -> Operation {
        operation(id, begin, end).holds(Key::new(key).unwrap(), mode, Token::new(token))
    }

    pub(super) fn permit(of: u32) -> Mode {
        Mode::permit_of(of).unwrap()
    }

    /// What was found, and in which operations: `overlap: a b`.
    pub(super) fn told(found: &[Finding]) -> Vec<String> {
        let tell = |finding: &Finding| {
            let said = finding.to_string();
            let fault = said.split([':', '"']).next().unwrap().trim_end_matches(" on ");
            format!("{fault}: {}", finding.ids().join(" "))
        };
        found.iter().map(tell).collect()
    }

    /// What is found is the same in whatever order the operations were recorded.
    pub(super) fn found(operations: &[Operation], detect: impl Fn(&History) -> Vec<Finding>) -> Vec<String> {
        let forwards = told(&detect(&operations.iter().cloned().collect()));
        let mut backwards = told(&detect(&operations.iter().rev().cloned().collect()));
        backwards.sort();
        let mut sorted = forwards.clone();
        sorted.sort();
        assert_eq!(sorted, backwards, "the order of the records plays a part");
        forwards
    }

    #[test]
    fn an_operation_tells_what_is_known_of_it() {
        let told = hold("trade/7", EXCLUSIVE, 9, 1, 2).by("ann").to_string();
        assert_eq!(told, r#"trade/7 (by ann, "k" exclusive with token 9, from 1ms to 2ms)"#);
        assert_eq!(Operation::new("a", ms(1), None).to_string(), "a (from 1ms to the end)");
        assert_eq!(operation("a", 1, 2).waits().to_string(), "a (waiting from 1ms to 2ms)");
    }
}
