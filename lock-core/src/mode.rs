//! How a claim shares its keys, and the one rule that says who holds.

use std::fmt;
use std::num::NonZeroU32;

/// How a claim shares its keys with others.
///
/// ```
/// use lock_core::Mode;
///
/// assert_eq!(Mode::permit_of(4).unwrap().to_string(), "permit of 4");
/// assert!(Mode::permit_of(0).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// Alone.
    Exclusive,
    /// Beside other shared claims.
    Shared,
    /// One of at most `of` permits.
    Permit {
        /// How many there are, by this claim's account; where claims differ, the smallest of them counts.
        of: NonZeroU32,
    },
}

impl Mode {
    /// One of `of` permits.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid) when `of` is zero.
    ///
    /// ```
    /// # use lock_core::Mode;
    /// assert!(matches!(Mode::permit_of(2)?, Mode::Permit { .. }));
    /// # Ok::<(), lock_core::Error>(())
    /// ```
    pub fn permit_of(of: u32) -> crate::Result<Self> {
        let none = || crate::Error::new(crate::ErrorKind::Invalid, "permit of 0: there must be at least one");
        Ok(Self::Permit { of: NonZeroU32::new(of).ok_or_else(none)? })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exclusive => f.write_str("exclusive"),
            Self::Shared => f.write_str("shared"),
            Self::Permit { of } => write!(f, "permit of {of}"),
        }
    }
}

/// The rule of [the model](crate::Backend#the-model), for one key: who has room behind whom.
///
/// Walk a key's unlapsed claims, oldest first: ask [`fits`](Self::fits) for each, then [`add`](Self::add) it.
/// Once a claim does not fit, no claim behind it does, so a walk may stop there. For stores that look in Rust;
/// others say the same in their own language, and the conformance suite compares.
///
/// ```
/// use lock_core::{Mode, Room};
///
/// let mut room = Room::default();
/// for mode in [Mode::Shared, Mode::Shared] {
///     assert!(room.fits(mode));
///     room.add(mode);
/// }
/// assert!(!room.fits(Mode::Exclusive));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Room {
    exclusive: bool,
    shared: bool,
    permits: u32,
    /// The smallest `of` among the permits; none yet is `None`.
    of: Option<NonZeroU32>,
}

impl Room {
    /// Whether a claim of this mode has room behind those added.
    ///
    /// ```
    /// # use lock_core::{Mode, Room};
    /// assert!(Room::default().fits(Mode::Exclusive));
    /// ```
    pub fn fits(&self, mode: Mode) -> bool {
        match mode {
            Mode::Exclusive => !self.exclusive && !self.shared && self.permits == 0,
            Mode::Shared => !self.exclusive && self.permits == 0,
            Mode::Permit { of } => {
                let of = self.of.map_or(of, |ahead| ahead.min(of));
                !self.exclusive && !self.shared && self.permits < of.get()
            }
        }
    }

    /// Adds the next claim in the queue, whether it fits or not.
    ///
    /// ```
    /// # use lock_core::{Mode, Room};
    /// let mut room = Room::default();
    /// room.add(Mode::Exclusive);
    /// assert!(!room.fits(Mode::Shared));
    /// ```
    pub fn add(&mut self, mode: Mode) {
        match mode {
            Mode::Exclusive => self.exclusive = true,
            Mode::Shared => self.shared = true,
            Mode::Permit { of } => {
                self.permits += 1;
                self.of = Some(self.of.map_or(of, |ahead| ahead.min(of)));
            }
        }
    }
}
