//! What a guard holds: one claim, or, on a store that takes one key at a time, one for each key in key order,
//! so that two who want the same keys cannot deadlock.

use std::sync::Arc;
use std::time::Duration;

use crate::acquire::{Limit, Order, obtain};
use crate::clock::Moment;
use crate::keeper::Keeper;
use crate::life::Life;
use crate::{ErrorKind, Result, Token};

/// The lives of one grant. Dropped, they are released in the background, the last one first.
#[derive(Debug)]
pub(crate) struct Lives {
    lives: Vec<Arc<Life>>,
    /// The end of the cooldown; none before all keys were granted, so none for a grant that never was.
    keep_until: Option<Moment>,
}

impl Lives {
    /// Obtains all keys of an order; `None` when one was refused and the limit has passed. What was taken by then
    /// is released.
    pub(crate) async fn obtain(
        keeper: &Arc<Keeper>,
        order: &Order,
        hold: Duration,
        limit: Limit,
    ) -> Result<Option<Self>> {
        let mut lives = Self { lives: Vec::with_capacity(1), keep_until: None };
        let several = order.keys.len() > 1;
        let steps = if several && !keeper.profile.several { order.one_by_one() } else { vec![order.clone()] };
        for step in &steps {
            let Some(life) = obtain(keeper, step, limit).await? else {
                return match lives.release(limit.grace()).await {
                    Err(error) if error.kind() != ErrorKind::Lost => Err(error),
                    // Nothing is held: that is what a refusal says.
                    _ => Ok(None),
                };
            };
            lives.lives.push(life);
        }
        lives.keep_until = (!hold.is_zero()).then(|| Moment::now() + hold);
        Ok(Some(lives))
    }

    /// The greatest of its tokens.
    pub(crate) fn token(&self) -> Token {
        self.iter().map(|life| life.token).max().expect("a guard holds at least one claim")
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Life>> {
        self.lives.iter()
    }

    /// Releases all, the last one first, waiting at most until `until`. That one was lost outranks that it is not
    /// known of another.
    pub(crate) async fn release(&mut self, until: Moment) -> Result<()> {
        let mut outcome = Ok(());
        while let Some(life) = self.lives.last() {
            let released = life.release(self.keep_until, until).await;
            self.lives.pop();
            let lost = released.as_ref().is_err_and(|error| error.kind() == ErrorKind::Lost);
            if outcome.is_ok() || lost {
                outcome = released;
            }
        }
        outcome
    }
}

impl Drop for Lives {
    fn drop(&mut self) {
        for life in self.lives.iter().rev() {
            life.leave(self.keep_until);
        }
    }
}
