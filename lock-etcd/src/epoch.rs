//! The counter of tokens: the store's revision, on top of an epoch that is kept in the store.
//!
//! A revision alone may not be the token: a store that was restored from a snapshot goes on from an older one. So a token
//! is epoch + 16 × revision, and whoever arrives raises the epoch first when that sum has fallen more than a second behind
//! the wall clock. What is in between is for claims that arrive in one transaction, on different keys. The epoch never
//! sinks. A claim's is the one that the store had at the claim's revision: the transaction in which it arrives reads it, and
//! fails for nobody else's raise.
//!
//! Tokens must not run ahead of the clock either: what a snapshot restored later starts with would be less. Whoever raises
//! the epoch reckons with the revision that the store had, so it must have seen the store just before, and raises it to
//! what the clock said then: since then, the tokens have grown more slowly than the time.

use std::sync::{Mutex, PoisonError};

use etcd_client::proto::PbRangeResponse;
use etcd_client::{Compare, CompareOp, Txn, TxnOp};
use lock_core::{Error, ErrorKind, Result, Token};

use crate::clock::wall_micros;
use crate::error::foreign;

/// How many claims may arrive at one revision. A store with more than a million of these places a second, which is 62,500
/// revisions, would outrun the wall clock.
pub(crate) const STEP: u64 = 16;

/// How far tokens may be behind the wall clock, in microseconds.
const BEHIND: u64 = 1_000_000;

/// How long ago the store may have been seen by whoever raises the epoch, in microseconds.
const FRESH: u64 = 100_000;

/// What a client knows of the epoch and the revision, to tell whether they have fallen behind.
#[derive(Debug, Default)]
pub(crate) struct Epoch(Mutex<Known>);

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The epoch in the store, as last seen.
    stored: u64,
    /// The revision of the store, as last seen.
    revision: u64,
    /// What the wall clock said just before that.
    seen: u64,
    /// The greatest token that there can have been when the store was last seen.
    reached: u64,
    /// The store was seen to have gone back behind that.
    back: bool,
}

impl Epoch {
    /// Whether it may have to be raised.
    pub(crate) fn is_due(&self) -> bool {
        self.known(|known| known.is_due(wall_micros()))
    }

    /// Whether it has to be read first, for that.
    pub(crate) fn is_unclear(&self) -> bool {
        self.known(|known| known.is_unclear(wall_micros()))
    }

    /// Raises the epoch, as a part of a transaction; `None` if it need not be.
    pub(crate) fn raise(&self, name: &str) -> Option<TxnOp> {
        let epoch = self.known(|known| known.raised(wall_micros()))?;
        // All have the same length, so they compare as numbers do. One that is missing is greater than none.
        let greater = Compare::value(name, CompareOp::Greater, text(epoch.saturating_sub(1)));
        Some(TxnOp::txn(Txn::new().when([greater]).or_else([TxnOp::put(name, text(epoch), None)])))
    }

    /// What every token is greater than that is yet to be asked for, in a store that forgets nothing.
    pub(crate) fn reached(&self) -> u64 {
        self.known(|known| known.reached)
    }

    /// Takes note of the epoch that the store has, and its revision, which were asked for when the wall clock said `seen`.
    /// Answers the epoch; zero if it has none.
    pub(crate) fn learn(&self, stored: &PbRangeResponse, revision: i64, seen: u64) -> Result<u64> {
        let epoch = read(stored)?;
        self.known(|known| {
            (known.stored, known.revision, known.seen) = (epoch, revision.unsigned_abs(), seen);
            let reached = epoch + STEP * known.revision + STEP - 1;
            known.back &= reached < known.reached;
            known.reached = known.reached.max(reached);
        });
        Ok(epoch)
    }

    /// Takes note that the store went back: it forgot tokens that were issued, up to this one.
    pub(crate) fn went_back(&self, reached: u64) {
        self.known(|known| (known.back, known.reached) = (true, known.reached.max(reached)));
    }

    fn known<T>(&self, ask: impl FnOnce(&mut Known) -> T) -> T {
        ask(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    /// Whether it has fallen behind, as far as is known.
    fn is_due(self, wall: u64) -> bool {
        // Answers that overtake each other make a store go back a little that did not.
        self.back || self.stored + STEP * self.revision + BEHIND < wall.max(self.reached)
    }

    /// Whether it may have fallen behind, and the store was not seen lately.
    fn is_unclear(self, wall: u64) -> bool {
        self.is_due(wall) && self.seen.abs_diff(wall) > FRESH
    }

    /// What the epoch has to be raised to, if it has fallen behind.
    fn raised(self, wall: u64) -> Option<u64> {
        let goal = self.seen.min(wall).max(self.reached);
        self.is_due(wall).then(|| goal.saturating_sub(STEP * self.revision))
    }
}

/// The epoch that was stored; zero if there was none.
pub(crate) fn read(stored: &PbRangeResponse) -> Result<u64> {
    stored.kvs.first().map_or(Ok(0), |one| parse(&one.value).ok_or_else(foreign))
}

/// The token of a claim: the `nth` of those that arrived with it.
pub(crate) fn token(epoch: u64, number: i64, nth: u64) -> Result<Token> {
    let token = epoch.saturating_add(number.unsigned_abs().saturating_mul(STEP)).saturating_add(nth);
    if token >= Token::LIMIT {
        let message = format!("the counter of tokens is at {token}, beyond its limit of 2^53");
        return Err(Error::new(ErrorKind::Backend, message));
    }
    Ok(Token::new(token))
}

fn text(epoch: u64) -> String {
    format!("{epoch:016}")
}

fn parse(text: &[u8]) -> Option<u64> {
    let digits = text.len() == 16 && text.iter().all(u8::is_ascii_digit);
    digits.then(|| str::from_utf8(text).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use etcd_client::proto::PbKeyValue;
    use rstest::rstest;

    use super::*;

    const WALL: u64 = 1_800_000_000_000_000;

    #[rstest]
    #[case::a_new_store_starts_at_the_clock(0, 0, 0, Some(WALL))]
    #[case::one_that_keeps_up_is_left_alone(WALL - 500, 400, WALL - 100, None)]
    #[case::one_that_fell_behind_is_raised_to_the_clock(WALL - 5_000_000, 400, WALL - 4_993_600, Some(WALL - 6400))]
    #[case::one_that_went_back_is_lifted_to_where_it_was(5, 4, WALL + 5_000_000, Some(WALL + 4_999_936))]
    #[case::a_clock_that_was_set_back_lowers_nothing(WALL + 5_000_000, 4, WALL + 5_000_064, None)]
    fn the_epoch_of_a_store(
        #[case] stored: u64,
        #[case] revision: u64,
        #[case] reached: u64,
        #[case] raised: Option<u64>,
    ) {
        let known = Known { stored, revision, seen: WALL, reached, back: false };
        assert_eq!(known.raised(WALL), raised);
        assert_eq!((known.is_due(WALL), known.is_unclear(WALL)), (raised.is_some(), false));
    }

    #[test]
    fn one_that_was_seen_to_go_back_is_lifted_however_little_it_is() {
        let known = Known { stored: WALL, revision: 4, seen: WALL, reached: WALL + 65, back: true };
        assert_eq!(known.raised(WALL), Some(WALL + 1));
    }

    #[test]
    fn who_looks_again_at_one_that_went_back_still_knows() {
        let stored = |epoch| {
            let value = text(epoch).into();
            PbRangeResponse {
                kvs: vec![PbKeyValue { value, ..PbKeyValue::default() }],
                ..PbRangeResponse::default()
            }
        };
        let epoch = Epoch::default();
        let wall = wall_micros();
        let learn =
            |stored: PbRangeResponse, revision| epoch.learn(&stored, revision, wall).expect("an epoch");
        learn(stored(wall), 9);
        learn(stored(wall), 4);
        assert!(!epoch.is_due(), "an answer that came late");
        epoch.went_back(0);
        learn(stored(wall), 5);
        assert!(epoch.is_due());
        learn(stored(wall + 64), 6);
        assert!(!epoch.is_due(), "it was raised");
        epoch.went_back(wall + 500);
        learn(stored(wall + 64), 7);
        assert!(epoch.is_due(), "others have seen more of it");
    }

    #[rstest]
    #[case::just_now(WALL - 100_000, false, WALL - 100_064)]
    #[case::a_while_ago(WALL - 100_001, true, WALL - 100_065)]
    #[case::by_a_clock_that_was_set_back(WALL + 100_001, true, WALL - 64)]
    fn it_is_raised_to_when_the_store_was_seen(
        #[case] seen: u64,
        #[case] unclear: bool,
        #[case] raised: u64,
    ) {
        let known = Known { stored: 7, revision: 4, seen, reached: 100, back: false };
        assert_eq!((known.is_unclear(WALL), known.raised(WALL)), (unclear, Some(raised)));
        let kept = Known { stored: WALL, ..known };
        assert_eq!((kept.is_unclear(WALL), kept.raised(WALL)), (false, None));
    }

    #[test]
    fn an_epoch_reads_as_it_was_written() {
        assert_eq!(parse(text(WALL).as_bytes()), Some(WALL));
        for other in ["", "7", "x", "00000000000000007", "000000000000000x"] {
            assert_eq!(parse(other.as_bytes()), None, "{other:?}");
        }
    }

    #[test]
    fn a_token_beyond_the_limit_is_an_error() {
        assert!(token(Token::LIMIT - 17, 1, 0).is_ok());
        for (number, nth) in [(1, 1), (2, 0), (i64::MAX, 0)] {
            let error = token(Token::LIMIT - 17, number, nth).expect_err("too great");
            assert_eq!(error.kind(), ErrorKind::Backend);
        }
    }

    #[test]
    fn no_two_claims_of_a_store_have_one_token() {
        let all: Vec<_> =
            (1..4).flat_map(|number| (0..STEP).map(move |nth| token(WALL, number, nth))).collect();
        let all: Vec<_> = all.into_iter().map(|token| token.expect("far below the limit")).collect();
        assert!(all.is_sorted_by(|one, next| one < next), "{all:?}");
    }
}
