//! What is compared: somebody's way to lock on a store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::measure::Measure;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How long a lock outlives its holder, where that can be chosen.
pub(crate) const TTL: Duration = Duration::from_secs(30);

/// Whose way it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// This project's.
    Ours,
    /// That of somebody who knows the store well and has its driver alone: the floor.
    Bare,
    /// That of a library one would take instead.
    Peer,
}

/// A way to lock. Another one is a file with this trait, and a line in its store's `rivals`.
#[async_trait]
pub(crate) trait Rival: Send + Sync {
    fn name(&self) -> &'static str;

    fn kind(&self) -> Kind;

    /// How whoever wants a taken lock learns that it is free.
    fn waits(&self) -> &'static str;

    /// Why it is not measured in this, at this size.
    fn unable(&self, _measure: Measure, _size: usize) -> Option<String> {
        None
    }

    /// What it asks of a server, where the server counts by name.
    fn commands(&self) -> &'static [&'static str] {
        &[]
    }

    /// An independent client, which at most so many use at the same time.
    async fn client(&self, users: usize) -> Result<Arc<dyn Client>, Failure>;

    /// Makes a lock that is to be contended for, where it has to be made.
    async fn make(&self, _key: &str) -> Result<(), Failure> {
        Ok(())
    }
}

/// A client of a store. What goes wrong is a panic, which is the end of this measurement and no other.
#[async_trait]
pub(crate) trait Client: Send + Sync {
    /// Takes and gives back a lock that nobody else wants.
    async fn pair(&self, key: &str);

    /// Takes a lock that nobody else wants, and keeps it while the answer lives.
    async fn hold(&self, key: &str) -> Box<dyn Held>;

    /// Somebody who wants a lock that others want, too.
    async fn contender(&self, key: &str) -> Box<dyn Contender>;

    /// Leaves nothing behind, if that takes time.
    async fn close(&self) {}
}

/// A lock that is held, and renewed if that is needed.
pub(crate) trait Held: Send + Sync {
    /// Whether it still is, if one is told.
    fn is_held(&self) -> Option<bool>;
}

/// A lock of which nobody tells whether it is still held.
pub(crate) struct Untold<T>(pub(crate) T);

impl<T: Send + Sync> Held for Untold<T> {
    fn is_held(&self) -> Option<bool> {
        None
    }
}

/// Somebody who takes a lock again and again.
#[async_trait]
pub(crate) trait Contender: Send {
    /// Waits for it.
    async fn take(&mut self);

    /// Gives it to whoever is next.
    async fn give(&mut self);
}
