//! Work that is part of whoever began it, until somebody else depends on it.
#![allow(
    clippy::disallowed_methods,
    reason = "what goes on without whoever began it is a task, which ends with the work"
)]

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

use tokio::runtime::Handle;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Work of a backend that whoever began it drives, for as long as nobody else depends on it.
///
/// Requests that go to the store together are nobody's own. But a lone one need not cost a task: it is part of the
/// caller's future. Once somebody else waits for it to end, it is [let go](Driven::let_go) and becomes a task, so that
/// nobody waits for somebody else's future to be polled.
///
/// # Cancel safety
///
/// Dropped, it leaves what is undone to a task.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use lock_core::Drive;
///
/// let (reply, answer) = tokio::sync::oneshot::channel();
/// let drive = Drive::new(async move { reply.send(7).unwrap() });
/// let seen_by_others = drive.driven();
///
/// // Somebody else depends on it, and it goes on without being driven.
/// seen_by_others.let_go();
/// assert_eq!(answer.await, Ok(7));
/// drop(drive);
/// # }
/// ```
pub struct Drive {
    work: Arc<Mutex<Option<Work>>>,
    runtime: Handle,
}

/// Where somebody else finds work that is [driven](Drive).
#[derive(Clone)]
pub struct Driven(Arc<Mutex<Option<Work>>>);

impl Drive {
    /// Work that has not begun.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let drive = lock_core::Drive::new(async {});
    /// # }
    /// ```
    pub fn new(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { work: Arc::new(Mutex::new(Some(Box::pin(work)))), runtime: Handle::current() }
    }

    /// Where others find it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let seen_by_others = lock_core::Drive::new(async {}).driven();
    /// # }
    /// ```
    pub fn driven(&self) -> Driven {
        Driven(self.work.clone())
    }

    /// Drives it until there is an answer, which the work gives or whoever has taken it over.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves the work to a task.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let (reply, answer) = tokio::sync::oneshot::channel();
    /// let drive = lock_core::Drive::new(async move { reply.send(7).unwrap() });
    /// assert_eq!(drive.until(answer).await, Ok(7));
    /// # }
    /// ```
    pub async fn until<T>(self, answer: impl Future<Output = T>) -> T {
        let mut answer = pin!(answer);
        poll_fn(|context| {
            self.poll(context);
            answer.as_mut().poll(context)
        })
        .await
    }

    /// Goes on with it, unless it is done or somebody else's.
    fn poll(&self, context: &mut Context<'_>) {
        let mut work = locked(&self.work);
        // What has panicked is not polled again.
        if let Some(mut its) = work.take()
            && its.as_mut().poll(context).is_pending()
        {
            *work = Some(its);
        }
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        go_on(&self.work, &self.runtime);
    }
}

impl Driven {
    /// Has it go on as a task of the calling runtime, whatever becomes of whoever began it.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let drive = lock_core::Drive::new(async {});
    /// drive.driven().let_go();
    /// # }
    /// ```
    pub fn let_go(&self) {
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

impl fmt::Debug for Drive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drive").finish_non_exhaustive()
    }
}

impl fmt::Debug for Driven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driven").finish_non_exhaustive()
    }
}
