//! The exchange, as far as the example needs one: it confirms what was traded, and takes its time.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::ValueEnum;
use tracing::info;

use crate::trade::orders::Order;

/// What may happen while an order is confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// The exchange answers with an error.
    Error,
    /// The code that calls it panics.
    Panic,
    /// The exchange does not answer.
    Hang,
    /// The code that calls it blocks its thread until there is a certain file.
    Stall,
}

/// The other side of a trade.
#[derive(Debug)]
pub struct Exchange {
    latency: Duration,
    answer: PathBuf,
    /// Happens to the first order, and not again.
    fault: Option<Fault>,
    used: AtomicBool,
}

impl Exchange {
    /// An exchange that takes `latency` to answer, and fails once if there is a fault. One that stalls does so until there is
    /// a file `answer`.
    pub fn new(latency: Duration, fault: Option<Fault>, answer: PathBuf) -> Self {
        Self { latency, answer, fault, used: AtomicBool::new(false) }
    }

    /// Asks whether the order was really filled.
    ///
    /// # Errors
    ///
    /// When it was told to fail.
    pub async fn confirm(&self, order: &Order) -> Result<()> {
        tokio::time::sleep(self.latency).await;
        let Some(fault) = self.fault.filter(|_| !self.used.swap(true, Ordering::Relaxed)) else {
            return Ok(());
        };
        info!(order = order.id, ?fault, "the exchange fails");
        match fault {
            Fault::Error => bail!("the exchange does not know the order {}", order.id),
            Fault::Panic => panic!("the exchange sent nonsense for the order {}", order.id),
            Fault::Hang => std::future::pending().await,
            Fault::Stall => {
                while !self.answer.exists() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(())
            }
        }
    }
}
