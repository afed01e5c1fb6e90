//! What somebody with a new backend writes, to have it tested.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{Backend, Result};

use crate::Line;

/// A store under test: how to reach it, and nothing about what it can do (its profile says that).
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use async_trait::async_trait;
/// use conformance_tests::Subject;
/// use lock_core::{Backend, Memory, Result};
///
/// struct InMemory(Memory);
///
/// #[async_trait]
/// impl Subject for InMemory {
///     fn name(&self) -> &str {
///         "memory"
///     }
///     fn ttl(&self) -> Duration {
///         Duration::from_secs(1)
///     }
///     async fn client(&self) -> Result<Arc<dyn Backend>> {
///         Ok(Arc::new(self.0.clone()))
///     }
/// }
/// # assert_eq!(InMemory(Memory::new()).address(), None);
/// ```
#[async_trait]
pub trait Subject: Send + Sync + 'static {
    /// What the run is called.
    fn name(&self) -> &str;

    /// A ttl that no working client misses: long beside the store's round trip and the scheduling delays of a busy
    /// machine, short enough to wait for. Cases wait for it to lapse.
    fn ttl(&self) -> Duration;

    /// A new client of the store, independent of every other: its own connection, its own memory.
    ///
    /// # Errors
    ///
    /// Any; the case that asked for it fails.
    ///
    /// # Cancel safety
    ///
    /// A case that ends early may drop it at any await: leave nothing behind that is in another client's way.
    async fn client(&self) -> Result<Arc<dyn Backend>>;

    /// What another process passes to the target's `start` to reach the same store; `None` if no other process
    /// can.
    fn address(&self) -> Option<String> {
        None
    }

    /// A client as [`client`](Self::client) makes them, and what cuts its connections and no other client's; `None` if
    /// the store has none to cut. Over TCP that is two lines, with [`Proxy`](crate::Proxy):
    ///
    /// ```no_run
    /// # use std::sync::Arc;
    /// # use conformance_tests::{Line, Proxy};
    /// # use lock_core::{Backend, Result};
    /// # use lock_redis::Redis;
    /// # struct Store { url: String }
    /// # impl Store {
    /// async fn cuttable(&self) -> Result<Option<(Arc<dyn Backend>, Arc<dyn Line>)>> {
    ///     let proxy = Proxy::to(&self.url).await;
    ///     Ok(Some((Arc::new(Redis::connect(proxy.url()).await?), Arc::new(proxy))))
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Any; the case that asked for it fails.
    ///
    /// # Cancel safety
    ///
    /// As of [`client`](Self::client).
    async fn cuttable(&self) -> Result<Option<(Arc<dyn Backend>, Arc<dyn Line>)>> {
        Ok(None)
    }

    /// The same kind of store once more, for one case that has it alone; `None` if there is no such thing.
    ///
    /// # Errors
    ///
    /// Any; the case that asked for it fails.
    ///
    /// # Cancel safety
    ///
    /// As of [`client`](Self::client).
    async fn alone(&self) -> Result<Option<Arc<dyn Subject>>> {
        Ok(None)
    }

    /// How many connections the store's server has, without one on which it is asked; `None` if that cannot be told.
    ///
    /// A subject that answers it has [`cuttable`](Self::cuttable) clients, and can be had [`alone`](Self::alone).
    ///
    /// # Errors
    ///
    /// Any; the case that asked for it fails.
    ///
    /// # Cancel safety
    ///
    /// As of [`client`](Self::client).
    async fn connections(&self) -> Result<Option<usize>> {
        Ok(None)
    }

    /// Users who log in to a store of this kind, for one case; `None` if it knows none. Whatever that takes may wait until the
    /// first of them is wanted.
    fn users(&self) -> Option<Box<dyn Users>> {
        None
    }
}

/// Users of a store, each of whom may do what the store's documentation says that locks need, and nothing else.
///
/// They all reach one store, which need not be that of [`Subject::client`]: a server that asks who comes in is none for those
/// who do not say it. It is gone when this is dropped, or the users are.
///
/// ```
/// use conformance_tests::Users;
///
/// struct Server(&'static str);
///
/// #[async_trait::async_trait]
/// impl Users for Server {
///     async fn address(&self, name: &str) -> String {
///         // Here the user is made.
///         format!("redis://{name}:secret@{}", self.0)
///     }
/// }
/// ```
#[async_trait]
pub trait Users: Send + Sync + 'static {
    /// What a process passes to the target's `start` to reach the store as a user of this name, who is made by this call. The names
    /// of a case are all different.
    ///
    /// # Panics
    ///
    /// When there is no such user to be had; the case fails.
    async fn address(&self, name: &str) -> String;
}
