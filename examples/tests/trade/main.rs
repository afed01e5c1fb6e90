//! What has to come out right, run by real processes and checked from what they stored: `t1` to `t6` about fills, `b1`
//! to `b5` about bots. The README has a line for each.
#![allow(clippy::disallowed_methods, reason = "a test waits for other processes")]

mod bots;
mod fills;
mod input;
mod scene;
mod stopped;
#[path = "../support/mod.rs"]
mod support;
mod whole;
