//! What a guard holds: one claim, or, on a store that takes one key at a time, one for each key in key order,
//! so that two who want the same keys cannot deadlock.

use std::borrow::Cow;
use std::future::poll_fn;
use std::slice;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::acquire::{Limit, Order, obtain};
use crate::clock::Moment;
use crate::keeper::Keeper;
use crate::life::Life;
use crate::{Error, ErrorKind, Profile, Result, Token};

/// The lives of one grant. Dropped, they are released in the background, the last one first.
#[derive(Debug)]
pub(crate) struct Lives {
    lives: Vec<Arc<Life>>,
    /// The end of the cooldown; none before all keys were granted, so none for a grant that never was.
    keep_until: Option<Moment>,
}

impl Lives {
    /// Obtains all keys of an order; `None` when one was refused and the limit has passed. What was taken by then
    /// is released. One that is lost while another is waited for is no grant: all are asked for again.
    pub(crate) async fn obtain(
        keeper: &Arc<Keeper>,
        order: &Order,
        hold: Duration,
        mut limit: Limit,
    ) -> Result<Option<Self>> {
        loop {
            let mut lives = Self { lives: Vec::with_capacity(1), keep_until: None };
            let taken = lives.take(keeper, order, &mut limit).await?;
            if taken && lives.iter().all(|life| life.is_held()) {
                lives.keep_until = (!hold.is_zero()).then(|| Moment::now() + hold);
                return Ok(Some(lives));
            }
            match lives.release(limit.grace()).await {
                Err(error) if error.kind() != ErrorKind::Lost => return Err(error),
                // Nothing is held: that is what a refusal says.
                _ if !taken => return Ok(None),
                // What is left of it, and of the one that was waited for, is removed in the background.
                _ if limit.passed() => {
                    let message = "a key was lost before the others were taken";
                    return Err(Error::new(ErrorKind::Unavailable, message));
                }
                _ => {}
            }
        }
    }

    /// Takes all keys, in one step if the store can; false when one was refused. Stops when one is lost.
    async fn take(&mut self, keeper: &Arc<Keeper>, order: &Order, limit: &mut Limit) -> Result<bool> {
        let several = order.keys.len() > 1;
        let steps = match several && !keeper.profile.several {
            true => Cow::Owned(order.one_by_one()),
            false => Cow::Borrowed(slice::from_ref(order)),
        };
        for step in &*steps {
            let life = tokio::select! {
                biased;
                life = obtain(keeper, step, limit) => life?,
                () = self.lost() => return Ok(true),
            };
            let Some(life) = life else { return Ok(false) };
            self.lives.push(life);
        }
        Ok(true)
    }

    /// Completes when one of them is lost.
    pub(crate) async fn lost(&self) {
        let mut waits: Vec<_> = self.iter().map(|life| Box::pin(life.lost())).collect();
        poll_fn(|cx| {
            let lost = waits.iter_mut().any(|wait| wait.as_mut().poll(cx).is_ready());
            if lost { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// The greatest of its tokens.
    pub(crate) fn token(&self) -> Token {
        self.iter().map(|life| life.token).max().expect("a guard holds at least one claim")
    }

    /// That of the one store they are all on.
    pub(crate) fn profile(&self) -> Profile {
        self.lives.first().expect("a guard holds at least one claim").profile()
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
