//! distributed-lock-redis: `SET NX PX`, renewed in the background.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use distributed_lock_core::prelude::*;
use distributed_lock_redis::provider::RedisLockProvider;
use distributed_lock_redis::{RedisDistributedLock, RedisLockHandle};
use tokio::time::sleep;

use crate::rival::{Client, Contender, Failure, Held, Kind, Rival};

/// Its `acquire` looks once and answers that the time is up, whatever time it is given: who waits has to ask again.
const PAUSE: Duration = Duration::from_millis(5);

pub(crate) struct Distributed(pub(crate) String);

#[async_trait]
impl Rival for Distributed {
    fn name(&self) -> &'static str {
        "distributed-lock-redis"
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn waits(&self) -> &'static str {
        "does not wait; asked again after 5 ms"
    }

    fn commands(&self) -> &'static [&'static str] {
        &["eval", "set"]
    }

    /// Its defaults are what the others have: 30 s, renewed each 10.
    async fn client(&self, _: usize) -> Result<Arc<dyn Client>, Failure> {
        Ok(Arc::new(Provider(RedisLockProvider::new(&*self.0).await?)))
    }
}

struct Provider(RedisLockProvider);

#[async_trait]
impl Client for Provider {
    async fn pair(&self, key: &str) {
        let handle = self.0.create_lock(key).acquire(None).await.expect("a free lock");
        handle.release().await.expect("a release");
    }

    async fn hold(&self, key: &str) -> Box<dyn Held> {
        Box::new(self.0.create_lock(key).acquire(None).await.expect("a free lock"))
    }

    async fn contender(&self, key: &str) -> Box<dyn Contender> {
        Box::new(Polling { lock: self.0.create_lock(key), handle: None })
    }
}

impl Held for RedisLockHandle {
    fn is_held(&self) -> Option<bool> {
        Some(!*self.lost_token().borrow())
    }
}

struct Polling {
    lock: RedisDistributedLock,
    handle: Option<RedisLockHandle>,
}

#[async_trait]
impl Contender for Polling {
    async fn take(&mut self) {
        let handle = loop {
            match self.lock.acquire(None).await {
                Ok(handle) => break handle,
                Err(LockError::Timeout(_)) => sleep(PAUSE).await,
                Err(error) => panic!("{error}"),
            }
        };
        self.handle = Some(handle);
    }

    async fn give(&mut self) {
        self.handle.take().expect("it was taken").release().await.expect("a release");
    }
}
