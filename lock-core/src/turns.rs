//! Turns that a ring tells of, so that who is rung need not ask.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Bells, Claim, Grant, Token};

/// The places that the waiting claims of one client have, and which of them have become grants.
///
/// A release knows who holds a key from then on, and with which token. A waiter that hears it holds the key already: to
/// look would only tell it so once more, a round trip later. So a store may give a claim that waits its number at once,
/// which becomes its token, and have a release say it.
///
/// Whoever waits and whoever gives the wait up use the same one: it forgets a place that is released by another client only
/// when it is forgotten here.
///
/// Cheap to clone; clones are the same, and a [fork](crate::Backend::fork) of a client shares them.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> lock_core::Result<()> {
/// use lock_core::{Bells, Claim, Mode, Turns};
///
/// let (turns, bells) = (Turns::default(), Bells::default());
/// let claim = Claim::new("a", Mode::Exclusive, std::time::Duration::from_secs(30))?.queued();
/// turns.wait(&claim, 7); // the store said busy, and that it has this place
/// turns.hear(&format!("{} 7", claim.tag()), &bells);
/// assert!(bells.hang(&claim).next().await.is_some());
/// assert_eq!(turns.take(&claim).expect("its turn").token.get(), 7);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<HashMap<u64, Place>>>);

struct Place {
    number: u64,
    /// Whether it has become a grant.
    come: bool,
}

impl Turns {
    /// A claim waits, at the place with this number.
    ///
    /// ```
    /// # use lock_core::{Claim, Mode, Turns};
    /// # let claim = Claim::new("a", Mode::Exclusive, std::time::Duration::from_secs(30))?.queued();
    /// let turns = Turns::default();
    /// turns.wait(&claim, 7);
    /// assert!(turns.waits(&claim));
    /// # Ok::<(), lock_core::Error>(())
    /// ```
    pub fn wait(&self, claim: &Claim, number: u64) {
        let mut places = self.places();
        // A ring may have been faster than the answer.
        if places.get(&claim.tag()).is_none_or(|place| place.number != number) {
            places.insert(claim.tag(), Place { number, come: false });
        }
    }

    /// Whether a claim has a place.
    ///
    /// ```
    /// # use lock_core::{Claim, Mode, Turns};
    /// # let claim = Claim::new("a", Mode::Exclusive, std::time::Duration::from_secs(30))?.queued();
    /// assert!(!Turns::default().waits(&claim));
    /// # Ok::<(), lock_core::Error>(())
    /// ```
    pub fn waits(&self, claim: &Claim) -> bool {
        self.places().contains_key(&claim.tag())
    }

    /// Hears what a release said: the tag of a claim, and if its turn has come, a space and the number of its place.
    /// Rings its bell, or all of them if it was anything else.
    ///
    /// Without the number, an old ring could be for a place that the claim has lost since.
    ///
    /// ```
    /// # use lock_core::{Bells, Turns};
    /// Turns::default().hear("7", &Bells::default());
    /// ```
    pub fn hear(&self, said: &str, bells: &Bells) {
        let mut numbers = said.split(' ').map_while(|number| number.parse().ok());
        let Some(tag) = numbers.next() else { return bells.ring_all() };
        // First the turn: who is rung looks at once.
        if let Some(number) = numbers.next()
            && let Some(place) = self.places().get_mut(&tag)
        {
            place.come |= place.number == number;
        }
        bells.ring(tag);
    }

    /// The grant that a ring told of: once, for who asks again wants to know how it is now.
    ///
    /// The store keeps a claim for a ttl from a look, and no look was earlier than the claim was made: so long the lease
    /// is certain to last. Where a third of it has passed there is none: a look renews it, and finds out whether a pause
    /// of this process has lost it.
    ///
    /// ```
    /// # use lock_core::{Claim, Mode, Turns};
    /// # let claim = Claim::new("a", Mode::Exclusive, std::time::Duration::from_secs(30))?.queued();
    /// let turns = Turns::default();
    /// turns.wait(&claim, 7);
    /// assert!(turns.take(&claim).is_none()); // nobody has said so
    /// # Ok::<(), lock_core::Error>(())
    /// ```
    pub fn take(&self, claim: &Claim) -> Option<Grant> {
        let mut places = self.places();
        let place = places.get_mut(&claim.tag())?;
        let lease = claim.ttl().saturating_sub(claim.age());
        let granted = std::mem::take(&mut place.come) && lease * 3 >= claim.ttl() * 2;
        granted.then(|| Grant::new(Token::new(place.number), lease))
    }

    /// A claim waits no more. What is left of one that is never forgotten are a few bytes.
    ///
    /// ```
    /// # use lock_core::{Claim, Mode, Turns};
    /// # let claim = Claim::new("a", Mode::Exclusive, std::time::Duration::from_secs(30))?.queued();
    /// let turns = Turns::default();
    /// turns.wait(&claim, 7);
    /// turns.forget(&claim);
    /// assert!(!turns.waits(&claim));
    /// # Ok::<(), lock_core::Error>(())
    /// ```
    pub fn forget(&self, claim: &Claim) {
        self.places().remove(&claim.tag());
    }

    fn places(&self) -> MutexGuard<'_, HashMap<u64, Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").field("places", &self.places().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Mode;

    fn waiting(ttl: Duration) -> (Turns, Claim) {
        let (turns, claim) =
            (Turns::default(), Claim::new("a", Mode::Exclusive, ttl).expect("valid").queued());
        turns.wait(&claim, 7);
        (turns, claim)
    }

    #[test]
    fn a_turn_is_taken_once() {
        let (turns, claim) = waiting(Duration::from_secs(30));
        turns.hear(&format!("{} 7", claim.tag()), &Bells::default());
        turns.wait(&claim, 7); // the ring was faster than the answer
        let grant = turns.take(&claim).expect("its turn");
        assert!(grant.token.get() == 7 && grant.lease <= claim.ttl(), "{grant:?}");
        assert!(turns.take(&claim).is_none() && turns.waits(&claim));
    }

    #[test]
    fn only_a_ring_with_the_number_of_the_place_is_a_turn() {
        let (turns, claim) = waiting(Duration::from_secs(30));
        let tag = claim.tag();
        for said in [format!("{tag}"), format!("{tag} 6"), format!("{tag} x"), format!("{} 7", tag ^ 1)] {
            turns.hear(&said, &Bells::default());
            assert!(turns.take(&claim).is_none(), "{said}");
        }
        turns.hear(&format!("{tag} 7"), &Bells::default());
        turns.wait(&claim, 8);
        assert!(turns.take(&claim).is_none(), "that was for another place");
    }

    #[test]
    fn a_turn_does_not_count_where_a_third_of_the_ttl_has_passed() {
        let ttl = Duration::from_millis(30);
        let (turns, claim) = waiting(ttl);
        while claim.age() <= ttl / 3 {}
        turns.hear(&format!("{} 7", claim.tag()), &Bells::default());
        assert!(turns.take(&claim).is_none());
    }

    #[tokio::test]
    async fn what_is_no_ring_rings_all() {
        let (turns, claim) = waiting(Duration::from_secs(30));
        let bells = Bells::default();
        for said in ["", "x 7", "-1"] {
            let mut bell = bells.hang(&claim);
            turns.hear(said, &bells);
            assert!(bell.next().await.is_some(), "{said:?}");
        }
    }
}
