//! Where others were met lately: what a client takes a key's queue to be like before it asks.
//!
//! A transaction that queues a claim reads the queue, also where nobody else is. So a claim asks for no more than a key that
//! nobody has, unless others have been met there: then that would be a transaction for nothing.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU8, Ordering};

use lock_core::{Claim, Key};

/// How many keys are told apart, by chance. Those that are not are taken for each other, which costs no more than a wrong
/// guess.
const KEYS: usize = 1024;

/// How often nobody has to be met before that is expected: among few who come and go, somebody is alone now and then.
const OFTEN: u8 = 8;

/// For each key, how often nobody has to be met yet.
#[derive(Debug)]
pub(crate) struct Crowds([AtomicU8; KEYS]);

impl Default for Crowds {
    fn default() -> Self {
        Self([const { AtomicU8::new(0) }; KEYS])
    }
}

impl Crowds {
    /// Whether a claim may meet others.
    pub(crate) fn expected(&self, claim: &Claim) -> bool {
        claim.keys().iter().any(|key| self.at(key).load(Ordering::Relaxed) > 0)
    }

    /// Takes note of whether a claim met others, on any of its keys.
    pub(crate) fn met(&self, claim: &Claim, others: bool) {
        for key in claim.keys() {
            let next = |often: u8| Some(if others { OFTEN } else { often.saturating_sub(1) });
            let _ = self.at(key).fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        }
    }

    fn at(&self, key: &Key) -> &AtomicU8 {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        &self.0[(hasher.finish() % KEYS as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lock_core::Mode;

    use super::*;

    #[test]
    fn nobody_is_expected_where_nobody_was_met_often_enough() {
        let crowds = Crowds::default();
        let [one, other] = ["a", "b"]
            .map(|key| Claim::new(key, Mode::Exclusive, Duration::from_secs(3)).expect("a valid claim"));
        assert!(!crowds.expected(&one));
        crowds.met(&one, true);
        for _ in 0..OFTEN {
            assert!(crowds.expected(&one) && !crowds.expected(&other));
            crowds.met(&one, false);
        }
        assert!(!crowds.expected(&one));
    }
}
