//! A fill arrives twice, and a bot is evaluated by everybody: each trade must happen once.
//!
//! - [`guarded`] is how it is locked. Start there.
//! - [`orders`] reads the input, [`position`] is the arithmetic, [`books`] and [`entry`] what is stored.
//! - [`exchange`] stands for the other side, [`duty`] is what a worker process does.
//! - [`run`] starts the workers and sums up, [`check`] looks for damage in what was stored.

pub mod books;
pub mod check;
pub mod duty;
pub mod entry;
pub mod exchange;
pub mod guarded;
pub mod orders;
pub mod position;
pub mod run;
