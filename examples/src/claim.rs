//! Parametric insurance: what a policy pays for a day is calculated by many, and must be paid once.
//!
//! - [`guarded`] is how it is locked. Start there.
//! - [`input`] reads policies and events, [`calculation`] is the arithmetic, [`ledger`] what is stored.
//! - [`model`] stands for what takes time and fails, [`duty`] is what a worker process does.
//! - [`run`] starts the workers and sums up, [`check`] looks for damage in what was stored.

pub mod calculation;
pub mod check;
pub mod duty;
pub mod guarded;
pub mod input;
pub mod ledger;
pub mod model;
pub mod run;
