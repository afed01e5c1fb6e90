//! Locks inside the caller's own transaction: what a lease cannot promise, the database can.

mod advisory;
mod confirm;
mod fence;
mod rows;

pub use advisory::{lock_in, try_lock_in};
pub use fence::{FENCES, create_fences, fence};
pub use rows::{RowWait, Rows, lock_rows};
