//! The conformance run of the store in memory.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use conformance_tests::Subject;
use lock_core::{Backend, Memory, Result};

struct InMemory(Memory);

#[async_trait]
impl Subject for InMemory {
    fn name(&self) -> &str {
        "memory"
    }

    fn ttl(&self) -> Duration {
        Duration::from_millis(500)
    }

    async fn client(&self) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(self.0.clone()))
    }
}

fn main() -> ExitCode {
    conformance_tests::main(|_| InMemory(Memory::new()))
}
