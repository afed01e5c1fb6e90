//! What somebody with a new backend writes, to have it tested.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{Backend, Result};

/// A store under test: how to reach it, and nothing about what it can do (its profile says that).
#[async_trait]
pub trait Subject: Send + Sync + 'static {
    /// What the run is called.
    fn name(&self) -> &str;

    /// A ttl that no working client misses: long beside the store's round trip and the scheduling delays of a busy
    /// machine, short enough to wait for. Cases wait for it to lapse.
    fn ttl(&self) -> Duration;

    /// A new client of the store, independent of every other: its own connection, its own memory.
    async fn client(&self) -> Result<Arc<dyn Backend>>;

    /// What another process passes to the target's `start` to reach the same store; `None` if no other process
    /// can.
    fn address(&self) -> Option<String> {
        None
    }

    /// Cuts a client's connections as a network or an administrator would; false if there is none to cut.
    async fn cut(&self, client: &Arc<dyn Backend>) -> bool {
        let _ = client;
        false
    }
}
