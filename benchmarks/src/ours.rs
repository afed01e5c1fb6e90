//! This project, on whichever backend.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use lock_core::{Backend, Guard, Locker};

use crate::rival::{Client, Contender, Failure, Held, Kind, Rival, TTL};

type Connect = dyn Fn() -> BoxFuture<'static, lock_core::Result<Locker>> + Send + Sync;

pub(crate) struct Ours {
    name: &'static str,
    waits: &'static str,
    commands: &'static [&'static str],
    connect: Box<Connect>,
}

impl Ours {
    pub(crate) fn new<B: Backend, F>(
        name: &'static str,
        waits: &'static str,
        commands: &'static [&'static str],
        connect: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = lock_core::Result<B>> + Send + 'static,
    {
        let connect = move || -> BoxFuture<'static, _> {
            let connecting = connect();
            Box::pin(async move { Ok(Locker::new(connecting.await?)) })
        };
        Self { name, waits, commands, connect: Box::new(connect) }
    }
}

#[async_trait]
impl Rival for Ours {
    fn name(&self) -> &'static str {
        self.name
    }

    fn kind(&self) -> Kind {
        Kind::Ours
    }

    fn waits(&self) -> &'static str {
        self.waits
    }

    fn commands(&self) -> &'static [&'static str] {
        self.commands
    }

    async fn client(&self, _: usize) -> Result<Arc<dyn Client>, Failure> {
        let locker = (self.connect)().await?.with_ttl(TTL);
        Ok(Arc::new(Locks(locker)))
    }
}

struct Locks(Locker);

#[async_trait]
impl Client for Locks {
    async fn pair(&self, key: &str) {
        let guard = self.0.lock(key).acquire().await.expect("a free lock");
        guard.release().await.expect("a release");
    }

    async fn hold(&self, key: &str) -> Box<dyn Held> {
        Box::new(self.0.lock(key).acquire().await.expect("a free lock"))
    }

    async fn contender(&self, key: &str) -> Box<dyn Contender> {
        Box::new(Waiting { locker: self.0.clone(), key: key.to_owned(), guard: None })
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

impl Held for Guard {
    fn is_held(&self) -> Option<bool> {
        Some(Guard::is_held(self))
    }
}

struct Waiting {
    locker: Locker,
    key: String,
    guard: Option<Guard>,
}

#[async_trait]
impl Contender for Waiting {
    async fn take(&mut self) {
        let guard = self.locker.lock(&*self.key).acquire().await.expect("it comes to everybody");
        self.guard = Some(guard);
    }

    async fn give(&mut self) {
        let guard = self.guard.take().expect("it was taken");
        guard.release().await.expect("a release");
    }
}
