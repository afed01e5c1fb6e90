//! A schedule of shifts is edited while its next block is generated: nothing is lost, and nobody booked twice.
//!
//! - [`guarded`] is how it is locked. Start there. `inside` is what is done meanwhile.
//! - [`shifts`] reads the input, [`plan`] is who gets which shift, [`rota`] what is stored.
//! - [`generation`], [`swap`], [`edit`] and [`board`] are what is looked at and written, and what follows from what.
//! - [`duty`] is what a worker process does, [`cancel`] ends it early, [`fault`] makes it go wrong.
//! - [`run`] starts the workers and sums up, [`check`] looks for damage in what was stored.

pub mod board;
pub mod cancel;
pub mod check;
pub mod duty;
pub mod edit;
pub mod fault;
pub mod generation;
pub mod guarded;
mod inside;
pub mod plan;
pub mod rota;
pub mod run;
pub mod shifts;
pub mod swap;
