#![doc = include_str!("../README.md")]

mod acquire;
mod backend;
mod backoff;
mod claim;
mod clock;
mod drive;
mod error;
mod guard;
mod keeper;
mod key;
mod life;
mod lock;
mod locker;
mod memory;
mod mode;
mod observe;
mod ordered;
mod parting;
mod profile;
mod token;
mod turns;
mod wakeups;

#[cfg(test)]
mod tests;

pub use backend::{Attempt, Backend, Busy, Grant, Ownership};
pub use claim::{Claim, Owner};
pub use drive::{Drive, Driven};
pub use error::{Error, ErrorKind, Result};
pub use guard::Guard;
pub use key::{Key, Keys};
pub use lock::Lock;
pub use locker::Locker;
pub use memory::Memory;
pub use mode::{Mode, Room};
pub use profile::Profile;
pub use token::Token;
pub use turns::Turns;
pub use wakeups::{Bells, Ring, Wakeups};
