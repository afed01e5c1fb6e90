//! The number that proves a grant's place in time.

use std::fmt;

/// A fencing token: greater than that of every earlier grant of the key that conflicts with it.
///
/// Hand it to whatever the lock protects, and let that refuse a token lower than one it has seen: then a
/// holder that was paused beyond its lease can do no harm. Tokens of one key are ordered; those of different
/// keys, or of two shared holders, need not mean anything to each other.
///
/// ```
/// use lock_core::Token;
///
/// assert!(Token::new(8) > Token::new(7));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(u64);

impl Token {
    /// No token reaches this: 2^53, up to which every store and JSON reader counts exactly.
    ///
    /// ```
    /// # use lock_core::Token;
    /// assert_eq!(Token::LIMIT, 9_007_199_254_740_992);
    /// ```
    pub const LIMIT: u64 = 1 << 53;

    /// Wraps a number that a store issued.
    ///
    /// ```
    /// # use lock_core::Token;
    /// assert_eq!(Token::new(7).get(), 7);
    /// ```
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number, to store or to send.
    ///
    /// ```
    /// # use lock_core::Token;
    /// assert_eq!(Token::new(7).get(), 7);
    /// ```
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
