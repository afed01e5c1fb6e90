//! Mutants as subjects of the suite.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use conformance_tests::{Line, Subject, Users};
use lock_core::{Backend, Result};
use lock_sqlite::Sqlite;
use tempfile::TempDir;

use crate::fault::Fault;
use crate::mutant::Mutant;
use crate::table;
use crate::veneer::Veneer;
use crate::wired::Wired;

/// Makes clients of a store in this process, and lines to them that have a fault.
#[derive(Clone)]
pub(crate) struct InMemory {
    client: Arc<dyn Fn() -> Arc<dyn Backend> + Send + Sync>,
    fault: Option<Fault>,
    /// Shared by every connection.
    server: Arc<()>,
}

impl InMemory {
    pub(crate) fn new(
        client: impl Fn() -> Arc<dyn Backend> + Send + Sync + 'static,
        fault: Option<Fault>,
    ) -> Self {
        Self { client: Arc::new(client), fault, server: Arc::default() }
    }
}

#[async_trait]
impl Subject for InMemory {
    fn name(&self) -> &str {
        "mutant"
    }

    fn ttl(&self) -> Duration {
        Duration::from_millis(300)
    }

    async fn client(&self) -> Result<Arc<dyn Backend>> {
        Ok((self.client)())
    }

    async fn cuttable(&self) -> Result<Option<(Arc<dyn Backend>, Arc<dyn Line>)>> {
        let (client, line) = Wired::new(self.fault, (self.client)(), &self.server);
        Ok(Some((Arc::new(client), Arc::new(line))))
    }

    async fn alone(&self) -> Result<Option<Arc<dyn Subject>>> {
        Ok(Some(Arc::new(self.clone())))
    }

    async fn connections(&self) -> Result<Option<usize>> {
        Ok(Some(Arc::strong_count(&self.server)))
    }
}

/// A veneer over a file, for cases that need other processes.
pub(crate) struct InFile {
    fault: Fault,
    veneer: Veneer,
    path: String,
    /// Owned by the process that made it.
    _directory: Option<TempDir>,
}

impl InFile {
    pub(crate) fn new(fault: Fault) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("locks.db").to_str().expect("a path in UTF-8").to_owned();
        Self { fault, veneer: Veneer::new(fault), path, _directory: Some(directory) }
    }

    /// The same store in a helper process.
    pub(crate) fn at(address: &str) -> Self {
        let (name, path) = address.split_once(' ').expect("a fault and a path");
        let fault = table::MUTANTS.iter().find_map(|(mutant, _)| match mutant {
            Mutant::Veneer(fault) if mutant.to_string() == name => Some(*fault),
            _ => None,
        });
        let fault = fault.expect("a fault of the table");
        Self { fault, veneer: Veneer::new(fault), path: path.to_owned(), _directory: None }
    }
}

#[async_trait]
impl Subject for InFile {
    fn name(&self) -> &str {
        "mutant in a file"
    }

    fn ttl(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn client(&self) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(self.veneer.client_over(Arc::new(Sqlite::open(&self.path).await?))))
    }

    fn users(&self) -> Option<Box<dyn Users>> {
        Some(Box::new(Everybody(self.address()?)))
    }

    fn address(&self) -> Option<String> {
        Some(format!("{:?} {}", self.fault, self.path))
    }
}

/// Users who are all the same to the store.
struct Everybody(String);

#[async_trait]
impl Users for Everybody {
    async fn address(&self, _: &str) -> String {
        self.0.clone()
    }
}
