//! What the tests of every workflow need: servers, processes that are listened to, and a place for what one test keeps.
#![allow(dead_code, unused_imports, reason = "no workflow's tests need all of it")]

mod process;
mod servers;
mod stage;

pub(crate) use process::{Ended, Ran, Worker, damages, program};
pub(crate) use servers::{Database, Store, apart, run};
pub(crate) use stage::Stage;

use std::time::Duration;

/// How long to wait for what must happen: on a busy machine everything takes its time.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
