//! How long to let a store alone that gave no good answer.

use std::time::Duration;

/// Pauses that double from 10 ms to half a second, each cut by a random part so that clients do not march in
/// step.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    pauses: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(10);
    const MOST: Duration = Duration::from_millis(500);

    pub(crate) fn reset(&mut self) {
        self.pauses = 0;
    }

    pub(crate) fn next(&mut self) -> Duration {
        let pause = Self::FIRST.saturating_mul(1 << self.pauses.min(16)).min(Self::MOST);
        self.pauses += 1;
        pause.mul_f64(0.5 + 0.5 * random())
    }

    pub(crate) async fn sleep(&mut self) {
        let pause = self.next();
        sleep(pause).await;
    }
}

/// From 0 up to 1, evenly.
pub(crate) fn random() -> f64 {
    // Without random numbers no claim can be made; that jitter falls away too is the least of it.
    f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / (f64::from(u32::MAX) + 1.0)
}

/// The one sleep of the core, for the wait, the keeper and these pauses.
#[expect(clippy::disallowed_methods, reason = "this is where sleeping is done")]
pub(crate) async fn sleep(pause: Duration) {
    tokio::time::sleep(pause).await;
}
