//! One who waits: where it stands, as far as that is known, and what it has been told.

use std::collections::HashMap;
use std::sync::Arc;

use lock_core::{Mode, Owner, Ring};
use tokio::sync::mpsc;

use crate::Shared;
use crate::clock::Moment;
use crate::names::{Form, Place};
use crate::queue::{Mine, Turn, View};

/// Somebody who waits.
#[derive(Debug)]
pub(crate) struct Wait {
    pub(crate) owner: Owner,
    /// Its own names on its first key, as far as they are known.
    pub(crate) own: Vec<Vec<u8>>,
    pub(crate) places: Arc<[Place]>,
    pub(crate) mode: Mode,
    /// Its number, if that is known.
    pub(crate) number: Option<i64>,
    /// Where it is told that its turn has come.
    pub(crate) shared: Arc<Shared>,
    pub(crate) rings: mpsc::Sender<Ring>,
}

/// What a waiter watches, and what it has been told.
pub(crate) struct Waiter {
    pub(crate) wait: Wait,
    /// What it watches, and whether the watch is there.
    pub(crate) watched: HashMap<Vec<u8>, (i64, bool)>,
    /// A look is under way, and was sent then.
    pub(crate) looking: Option<Moment>,
    /// Something happened since it began.
    pub(crate) again: bool,
    /// The revision of the last look, or zero.
    pub(crate) seen: i64,
    /// A watch began at another revision than that look.
    pub(crate) missed: bool,
    /// What it has been told, at least.
    told: Turn,
}

impl Waiter {
    pub(crate) fn new(wait: Wait, seen: i64) -> Self {
        let (watched, told) = (HashMap::new(), Turn::Others);
        Self { wait, watched, looking: None, again: false, seen, missed: false, told }
    }

    /// Hears what a look saw that was sent at `sent`. Answers whom it waits for.
    pub(crate) fn saw(&mut self, view: &View, sent: Moment) -> Vec<Vec<u8>> {
        self.seen = view.seen;
        let Mine::Here(own) = view.mine(self.wait.owner) else {
            // It is not in the queue, or not any more; when it comes, a watch on its own names tells.
            self.gone();
            self.ring();
            self.wait.own = own_names(&self.wait.places, [Form::Short, Form::Long]);
            return Vec::new();
        };
        self.wait.number = Some(own.number);
        self.wait.own = own_names(&self.wait.places, [own.form]);
        let wait = view.wait(self.wait.mode, own.number);
        if wait.turn == Turn::Now {
            self.wait.shared.leases.come(self.wait.owner, &own, sent);
        }
        if wait.turn > self.told {
            self.ring();
        }
        self.told = wait.turn;
        wait.behind
    }

    /// It is not where it was.
    pub(crate) fn gone(&mut self) {
        self.wait.shared.leases.gone(self.wait.owner);
        (self.wait.number, self.told) = (None, Turn::Others);
    }

    pub(crate) fn ring(&self) {
        // Full, there is a ring that was not heard yet; closed, nobody hears.
        let _ = self.wait.rings.try_send(Ring::new());
    }
}

/// The names of a claim on its first key.
pub(crate) fn own_names(places: &[Place], forms: impl IntoIterator<Item = Form>) -> Vec<Vec<u8>> {
    let first = places.first();
    forms.into_iter().filter_map(|form| Some(first?.own(form).into())).collect()
}

#[cfg(test)]
mod tests;
