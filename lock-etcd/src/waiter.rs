//! One who waits: where it stands, as far as that is known, and what it has been told.

use std::collections::HashMap;
use std::sync::Arc;

use lock_core::{Mode, Owner, Ring};
use tokio::sync::mpsc;

use crate::Shared;
use crate::clock::Moment;
use crate::leases::Came;
use crate::names::{Form, Place};
use crate::queue::{self, Id, Mine, Turn, View};

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
    /// A look is under way.
    pub(crate) looking: bool,
    /// Something happened since it began.
    pub(crate) again: bool,
    /// The revision of the last look, or zero.
    pub(crate) seen: i64,
    /// Something may have happened since that look of which no watch told.
    pub(crate) missed: bool,
    /// All who are in its way, if they are known and watched.
    ahead: Option<Ahead>,
    /// What it has been told, at least.
    told: Turn,
}

/// All who are in the way of a claim, as a look that was sent at `sent` found, without those who have gone since.
struct Ahead {
    names: Vec<Vec<u8>>,
    /// Which claim that look found in its place.
    own: Id,
    sent: Moment,
}

impl Ahead {
    fn of(own: Id, wait: &queue::Wait) -> Option<Self> {
        wait.complete.then(|| Self { names: wait.behind.clone(), own, sent: wait.sent })
    }
}

impl Waiter {
    /// `refused` is which claim it is, and what was in its way at its last look.
    pub(crate) fn new(wait: Wait, refused: Option<(Id, &queue::Wait)>) -> Self {
        let (watched, told) = (HashMap::new(), Turn::Others);
        let ahead = refused.and_then(|(own, refusal)| Ahead::of(own, refusal));
        let seen = refused.map_or(0, |(_, refusal)| refusal.seen);
        Self { wait, watched, looking: false, again: false, seen, missed: false, ahead, told }
    }

    /// Whether all its watches are there.
    fn watches(&self) -> bool {
        self.watched.values().all(|(_, there)| *there)
    }

    /// A watch is there, and tells of everything after this revision. Answers whether something was missed: then it is to
    /// look.
    pub(crate) fn began(&mut self, name: &[u8], since: i64) -> bool {
        if let Some((_, there)) = self.watched.get_mut(name) {
            *there = true;
        }
        self.missed |= since != self.seen;
        // If it is less the store went back, and what was seen of it counts no more.
        self.seen = self.seen.min(since);
        self.must_look()
    }

    /// Whether something was missed, and there is every watch that tells of what happens next.
    pub(crate) fn must_look(&self) -> bool {
        self.missed && self.watches()
    }

    /// It looks. Answers when.
    pub(crate) fn looks(&mut self) -> Moment {
        if std::mem::take(&mut self.missed) {
            self.ahead = None;
        }
        self.looking = true;
        Moment::now()
    }

    /// One of those it waits for went at this revision. Answers whether its turn has come: that is so if it was the last of
    /// all that a look before had found, and nothing was missed since.
    pub(crate) fn went(&mut self, name: &[u8], revision: i64) -> bool {
        let heard = !self.missed && self.watches() && revision > self.seen;
        let Some(ahead) = self.ahead.as_mut().filter(|_| heard) else { return false };
        ahead.names.retain(|other| other != name);
        if !ahead.names.is_empty() {
            return false;
        }
        self.wait.shared.leases.come(self.wait.owner, ahead.own, ahead.sent, Came::Heard);
        // A look that is under way may have been before.
        (self.ahead, self.seen, self.told) = (None, revision, Turn::Now);
        self.ring();
        true
    }

    /// A watch ended, which fell behind: what it did not tell of is not known.
    pub(crate) fn cut(&mut self, name: &[u8]) {
        self.watched.remove(name);
        self.missed = true;
    }

    /// Hears what a look saw. Answers whom it waits for, unless what it heard since tells more.
    pub(crate) fn saw(&mut self, view: &View) -> Option<Vec<Vec<u8>>> {
        if view.seen < self.seen {
            return None;
        }
        (self.seen, self.ahead) = (view.seen, None);
        let Mine::Here(own) = view.mine(self.wait.owner) else {
            // It is not in the queue, or not any more; when it comes, a watch on its own names tells.
            self.gone();
            self.ring();
            self.wait.own = own_names(&self.wait.places, [Form::Short, Form::Long]);
            return Some(Vec::new());
        };
        self.wait.number = Some(own.number);
        self.wait.own = own_names(&self.wait.places, [own.form]);
        let wait = view.wait(self.wait.mode, own.number);
        if wait.turn == Turn::Now {
            self.wait.shared.leases.come(self.wait.owner, own.id(), view.sent, Came::Seen);
        }
        if wait.turn > self.told {
            self.ring();
        }
        self.told = wait.turn;
        self.ahead = Ahead::of(own.id(), &wait);
        Some(wait.behind)
    }

    /// It is not where it was.
    pub(crate) fn gone(&mut self) {
        self.wait.shared.leases.gone(self.wait.owner);
        (self.wait.number, self.ahead, self.told) = (None, None, Turn::Others);
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
