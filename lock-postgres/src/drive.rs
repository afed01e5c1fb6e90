//! Work that is part of whoever began it, until somebody else depends on it.
//!
//! So a lone request is answered without a task, and nobody waits for somebody else's future to be polled.
#![allow(
    clippy::disallowed_methods,
    reason = "what goes on without whoever began it is a task, which ends with the work"
)]

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

use tokio::runtime::Handle;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Work, to be polled by whoever began it. Dropped, it leaves what is undone to a task.
pub(crate) struct Drive {
    work: Arc<Mutex<Option<Work>>>,
    runtime: Handle,
}

/// Where somebody else finds it.
#[derive(Clone)]
pub(crate) struct Driven(Arc<Mutex<Option<Work>>>);

impl Drive {
    pub(crate) fn new(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { work: Arc::new(Mutex::new(Some(Box::pin(work)))), runtime: Handle::current() }
    }

    pub(crate) fn driven(&self) -> Driven {
        Driven(self.work.clone())
    }

    /// Goes on with it, unless it is done or somebody else's.
    pub(crate) fn poll(&self, context: &mut Context<'_>) {
        let mut work = locked(&self.work);
        if work.as_mut().is_some_and(|work| work.as_mut().poll(context).is_ready()) {
            *work = None;
        }
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        go_on(&self.work, &self.runtime);
    }
}

impl Driven {
    /// Has it go on, whatever becomes of whoever began it.
    pub(crate) fn let_go(&self) {
        go_on(&self.0, &Handle::current());
    }
}

fn go_on(work: &Mutex<Option<Work>>, runtime: &Handle) {
    let work = locked(work).take();
    if let Some(work) = work {
        drop(runtime.spawn(work));
    }
}

fn locked(work: &Mutex<Option<Work>>) -> MutexGuard<'_, Option<Work>> {
    work.lock().unwrap_or_else(PoisonError::into_inner)
}
