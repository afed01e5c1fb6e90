//! What one process does: a cell of the tables, or its part in one.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::time::timeout;

use crate::measure::{Bench, Half, Measure, Scale, Values, contend};
use crate::rival::{Failure, Rival};
use crate::store::Store;

/// The longest that a cell may take.
const LIMIT: Duration = Duration::from_secs(120);

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Job {
    Cell(Cell),
    Half(Half),
}

/// One rival in one measure.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) store: String,
    pub(crate) measure: Measure,
    pub(crate) size: usize,
    pub(crate) rival: String,
}

/// What became of a cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    Measured(Values),
    /// It cannot do that, and why.
    Unable(String),
    /// It was tried.
    Failed(String),
}

impl Job {
    /// A process that does it.
    pub(crate) fn command(&self, url: &str, quick: bool) -> Result<Command, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--backend", url, "--job", &serde_json::to_string(self)?]).kill_on_drop(true);
        if quick {
            command.arg("--quick");
        }
        Ok(command)
    }

    /// Does it in this process.
    pub(crate) async fn run(&self, stores: &[Box<dyn Store>], quick: bool) -> Result<(), Failure> {
        let (store, rival) = match self {
            Self::Cell(Cell { store, rival, .. }) | Self::Half(Half { store, rival, .. }) => (store, rival),
        };
        let store = stores.iter().find(|one| one.name() == store).ok_or("no such store")?;
        let rivals = store.rivals();
        let rival = rivals.iter().find(|one| one.name() == rival).ok_or("no such rival")?;
        let bench = Bench { store: &**store, rival: &**rival, scale: Scale::new(quick) };
        match self {
            Self::Cell(cell) => {
                let values = bench.run(cell.measure, cell.size).await?;
                println!("{}", serde_json::to_string(&values)?);
                Ok(())
            }
            Self::Half(half) => contend(&bench, half).await,
        }
    }
}

impl Cell {
    /// Measures it in a process of its own, whose memory and connections are nobody else's.
    pub(crate) async fn measure(&self, url: &str, rival: &dyn Rival, quick: bool) -> Outcome {
        if let Some(reason) = rival.unable(self.measure, self.size) {
            return Outcome::Unable(reason);
        }
        self.run(url, quick).await.map_or_else(|error| Outcome::Failed(error.to_string()), Outcome::Measured)
    }

    async fn run(&self, url: &str, quick: bool) -> Result<Values, Failure> {
        let mut command = Job::Cell(self.clone()).command(url, quick)?;
        let ended = timeout(LIMIT, command.output()).await;
        let output = ended.map_err(|_| format!("it was not done in {LIMIT:?}"))??;
        if output.status.success() {
            return Ok(serde_json::from_slice(&output.stdout)?);
        }
        let errors = String::from_utf8_lossy(&output.stderr);
        // Of a panic the first line says where, the next one what.
        let says = |line: &&str| !line.trim().is_empty() && !line.contains(" panicked at ");
        Err(errors.lines().find(says).unwrap_or("it ended without a word").into())
    }
}
