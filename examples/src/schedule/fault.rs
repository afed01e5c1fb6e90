//! What may go wrong with a worker, for those who want to see what comes of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, ValueEnum};
use tracing::info;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// A generated block is half written, and it does not go on. That it is so far tells a certain file.
    Hang,
    /// Nothing goes on until there is a certain file: a block that is half planned, a board that is half read, a swap that is
    /// decided, a form that is open. The last two block their thread.
    Stall,
    /// The same where nothing is left but to write: a block that is planned, a board that is read. Both block their thread.
    Late,
}

/// What goes wrong with a worker, if anything does.
#[derive(Args, Clone, Debug, Default)]
pub struct Faults {
    /// What goes wrong
    #[arg(long)]
    fault: Option<Fault>,
    /// The file that a worker that stalls waits for, and one that hangs makes
    #[arg(long, default_value = "answer")]
    answer: PathBuf,
    #[arg(skip)]
    said: Arc<AtomicBool>,
}

impl Faults {
    /// One of them, and its file.
    pub fn of(fault: Fault, answer: PathBuf) -> Self {
        Self { fault: Some(fault), answer, said: Arc::default() }
    }

    /// In the middle of writing a block.
    pub(crate) async fn hang(&self, block: &str) {
        if self.fault == Some(Fault::Hang) {
            info!(block, "half written, and hanging");
            // Whoever waits for it does so in vain if it cannot be made.
            let _ = std::fs::write(&self.answer, "");
            std::future::pending().await
        }
    }

    /// In the middle of planning or reading.
    pub(crate) async fn stall(&self, what: &str) {
        while self.stalls(Fault::Stall, what) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Between a look and the write that follows from it.
    pub(crate) fn block(&self, what: &str) {
        self.block_by(Fault::Stall, what);
    }

    /// The same for what can stall before.
    pub(crate) fn be_late(&self, what: &str) {
        self.block_by(Fault::Late, what);
    }

    fn block_by(&self, fault: Fault, what: &str) {
        while self.stalls(fault, what) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn stalls(&self, fault: Fault, what: &str) -> bool {
        let stalls = self.fault == Some(fault) && !self.answer.exists();
        if stalls && !self.said.swap(true, Ordering::Relaxed) {
            info!("stalling: {what}");
        }
        stalls
    }
}
