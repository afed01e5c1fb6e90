//! Turns that a ring tells of, so that who is rung need not ask.
//!
//! A release knows who holds a key from then on, and with which token. A waiter that hears it holds the key already: to
//! look would only tell it so once more, a round trip later.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lock_core::{Claim, Grant, Token};

/// The places of the claims of a client that wait, by their tags. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<u64, Place>>>);

struct Place {
    number: u64,
    /// Whether it has become a grant.
    come: bool,
}

impl Turns {
    /// A claim waits, at the place with this number.
    pub(crate) fn wait(&self, claim: &Claim, number: u64) {
        let mut places = self.places();
        // A ring may have been faster than the answer.
        if places.get(&claim.tag()).is_none_or(|place| place.number != number) {
            places.insert(claim.tag(), Place { number, come: false });
        }
    }

    /// The place with this number has become a grant. Without the number, an old ring could be for a place that the
    /// claim has lost since.
    pub(crate) fn come(&self, tag: u64, number: u64) {
        if let Some(place) = self.places().get_mut(&tag) {
            place.come |= place.number == number;
        }
    }

    /// The grant that a ring told of. The next look asks the server.
    pub(crate) fn take(&self, claim: &Claim) -> Option<Grant> {
        let mut places = self.places();
        let place = places.get(&claim.tag()).filter(|place| place.come)?;
        let token = Token::new(place.number);
        places.remove(&claim.tag());
        // The server keeps it for a ttl from a look, and no look was earlier than the claim. Where too little is left of
        // that, a look renews it, and finds out whether a pause of this process has lost it.
        let lease = claim.ttl().saturating_sub(claim.age());
        (lease * 3 >= claim.ttl() * 2).then(|| Grant::new(token, lease))
    }

    /// A claim waits no more.
    pub(crate) fn forget(&self, claim: &Claim) {
        self.places().remove(&claim.tag());
    }

    fn places(&self) -> MutexGuard<'_, HashMap<u64, Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
