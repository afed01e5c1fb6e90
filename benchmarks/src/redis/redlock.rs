//! rslock: Redlock, here on one server. Who waits asks again and again.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rslock::{LockGuard, LockManager};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::measure::Measure;
use crate::rival::{Client, Contender, Failure, Held, Kind, Rival, TTL};

pub(crate) struct Rslock {
    pub(crate) url: String,
    /// The longest pause between two looks, if it is not the library's own.
    pub(crate) delay: Option<Duration>,
}

#[async_trait]
impl Rival for Rslock {
    fn name(&self) -> &'static str {
        if self.delay.is_some() { "rslock, set_retry" } else { "rslock" }
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn waits(&self) -> &'static str {
        if self.delay.is_some() { "looks after 0 to 10 ms" } else { "looks after 0 to 200 ms, its default" }
    }

    fn unable(&self, measure: Measure, _: usize) -> Option<String> {
        let waiting = measure.is_waiting() || measure == Measure::Keys;
        (self.delay.is_some() && !waiting)
            .then(|| "is measured where somebody waits; else it is as rslock".into())
    }

    fn commands(&self) -> &'static [&'static str] {
        &["eval", "evalsha", "set"]
    }

    async fn client(&self, _: usize) -> Result<Arc<dyn Client>, Failure> {
        let mut manager = LockManager::new(vec![&*self.url]);
        if let Some(delay) = self.delay {
            manager.set_retry(u32::MAX, delay);
        }
        Ok(Arc::new(Manager(manager)))
    }
}

struct Manager(LockManager);

#[async_trait]
impl Client for Manager {
    async fn pair(&self, key: &str) {
        self.0.acquire(key, TTL).await.expect("a free lock").release().await;
    }

    /// `using` renews for as long as what it is given runs.
    async fn hold(&self, key: &str) -> Box<dyn Held> {
        let (manager, key) = (self.0.clone(), key.to_owned());
        let (taken, is_taken) = oneshot::channel();
        let using = tokio::spawn(async move {
            let routine = async move || {
                let _ = taken.send(());
                std::future::pending::<()>().await;
            };
            let _ = manager.using(key.as_bytes(), TTL, routine).await;
        });
        is_taken.await.expect("a free lock");
        Box::new(Using(using))
    }

    async fn contender(&self, key: &str) -> Box<dyn Contender> {
        Box::new(Polling { manager: self.0.clone(), key: key.to_owned(), guard: None })
    }
}

struct Using(JoinHandle<()>);

impl Held for Using {
    fn is_held(&self) -> Option<bool> {
        Some(!self.0.is_finished())
    }
}

impl Drop for Using {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Polling {
    manager: LockManager,
    key: String,
    guard: Option<LockGuard>,
}

#[async_trait]
impl Contender for Polling {
    async fn take(&mut self) {
        self.guard = Some(self.manager.acquire(&*self.key, TTL).await.expect("it loops until it has it"));
    }

    async fn give(&mut self) {
        self.guard.take().expect("it was taken").release().await;
    }
}
