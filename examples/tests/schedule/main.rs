//! What has to come out right, run by real concurrent workers and checked from what they stored: `s1` to `s9`. The README
//! has a line for each.
#![allow(clippy::disallowed_methods, reason = "a test waits for other processes")]

mod edits;
mod generation;
mod input;
mod scene;
mod stopped;
#[path = "../support/mod.rs"]
mod support;
mod swaps;
mod whole;
