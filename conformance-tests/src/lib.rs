#![doc = include_str!("../README.md")]
#![allow(clippy::disallowed_methods, reason = "tests wait, spawn and read the clock on purpose")]

mod asking;
mod cases;
mod everything;
mod flaky;
mod helper;
pub mod history;
mod line;
mod patience;
mod queue;
mod recorded;
mod run;
mod servers;
mod subject;
mod world;

pub use cases::{Case, Means, Needs, all};
pub use everything::everything;
pub use flaky::{Call, Fate, Flaky};
pub use line::{Line, Proxy};
pub use run::main;
pub use servers::{Certificate, Server, Software, Way, etcd_metric};
pub use subject::{Subject, Users};
pub use world::World;
