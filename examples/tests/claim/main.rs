//! What has to come out right, run by real processes and checked from what they stored: `c1` to `c12`. The README has a line
//! for each.
#![allow(clippy::disallowed_methods, reason = "a test waits for other processes")]

mod faults;
mod input;
mod once;
mod outages;
mod rows;
mod scene;
mod stopped;
#[path = "../support/mod.rs"]
mod support;
mod whole;
