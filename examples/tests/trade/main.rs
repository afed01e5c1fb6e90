//! The rows of the scenarios, run by real processes and checked from what they stored.
#![allow(clippy::disallowed_methods, reason = "a test waits for other processes")]

mod bots;
mod fills;
mod input;
mod support;
mod whole;
