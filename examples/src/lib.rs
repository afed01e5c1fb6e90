//! Workflows that race each other, and come out right.
//!
//! Each is a program under `src/bin`. What a workflow calculates and stores is in modules of its own; how it is
//! locked is one short file: [`trade::guarded`], [`schedule::guarded`]. The rest is shared: [`backend`] finds the store
//! behind a URL, [`sheet`] reads the input, [`data`] keeps what a workflow stores in SQLite or in PostgreSQL, [`workers`] starts
//! real processes, [`tally`] listens to them, [`table`] prints what came of it.
#![allow(clippy::disallowed_methods, reason = "a program owns its tasks, its pauses and its clock")]

pub mod backend;
pub mod claim;
pub mod data;
pub mod decimal;
pub mod logging;
pub mod options;
pub mod picture;
pub mod place;
pub mod program;
pub mod schedule;
pub mod sheet;
pub mod table;
pub mod tally;
pub mod trade;
pub mod workers;

/// The program in the README of the repository compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
