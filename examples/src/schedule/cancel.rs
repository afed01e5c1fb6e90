//! Somebody's wish that work ends early.

use std::sync::Arc;

use tokio::sync::watch;

/// What work listens to that can be cancelled.
#[derive(Clone, Debug)]
pub struct Cancel(watch::Receiver<bool>);

/// Who can cancel it. Dropped, nobody can any more.
#[derive(Clone, Debug)]
pub struct Canceller(Arc<watch::Sender<bool>>);

impl Cancel {
    /// Two ends.
    pub fn new() -> (Canceller, Self) {
        let (tell, hear) = watch::channel(false);
        (Canceller(Arc::new(tell)), Self(hear))
    }

    /// Does something; `None` if it was cancelled before that was done, or before it began.
    pub async fn unless<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut hear = self.0.clone();
        let cancelled = async {
            if hear.wait_for(|cancelled| *cancelled).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = cancelled => None,
            done = work => Some(done),
        }
    }
}

impl Canceller {
    /// Cancels it.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// Cancels it when something completes.
    pub fn cancel_after(self, signal: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(async move {
            signal.await;
            self.cancel();
        });
    }
}
