//! Locks inside the caller's own transaction, on a PostgreSQL of the tests' own.
#![allow(
    clippy::disallowed_methods,
    reason = "tasks of a test end with it; looks again until something is there"
)]

mod advisory;
mod confirm;
mod fence;
mod help;
mod rows;
