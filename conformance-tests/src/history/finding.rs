//! What a detector answers.

use std::fmt;
use std::time::Duration;

use lock_core::Key;

use super::Operation;

/// Something that may not be, and the operations that it is found in.
///
/// ```
/// use std::time::Duration;
/// use conformance_tests::history::{Fault, History, Operation};
///
/// let twice = Operation::new("trade/7", Duration::ZERO, Duration::ZERO);
/// let history: History = [twice.clone(), twice].into_iter().collect();
/// let found = history.identity();
/// assert_eq!(found[0].fault, Fault::SameId);
/// assert_eq!(found[0].to_string(), "one id twice: trade/7 (from 0ns to 0ns) and trade/7 (from 0ns to 0ns)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What it is.
    pub fault: Fault,
    /// The operations, the earliest first.
    pub operations: Vec<Operation>,
}

/// What may not be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It waited for its keys far longer than its fellows.
    Wait {
        /// So long; if it goes on, at least so long.
        took: Duration,
        /// Half of its fellows took no longer than this.
        usual: Duration,
    },
    /// From its grant to its end it took far longer or shorter than its fellows.
    Work {
        /// As of a wait.
        took: Duration,
        /// As of a wait.
        usual: Duration,
    },
    /// What the first wrote, the second saw under another key, or for another user.
    Crossed {
        /// What it is that was written and seen.
        version: String,
    },
    /// Two operations have one id.
    SameId,
    /// Two operations have one token.
    SameToken,
    /// Two that exclude each other held a key at once: the end of the first is after the start of the second.
    Overlap {
        /// The key.
        key: Key,
    },
    /// More held a key at once than there are permits.
    Crowd {
        /// The key.
        key: Key,
    },
    /// Of two that excluded each other on a key, the later one has the smaller token.
    Tokens {
        /// The key.
        key: Key,
    },
    /// It ended before it began, or began before it was asked for.
    Backwards,
    /// The second began before the first, which made it happen.
    Early,
    /// What made it happen is not in the history.
    Causeless {
        /// The id of what made it happen.
        cause: String,
    },
}

impl Finding {
    pub(super) fn new<'a>(fault: Fault, operations: impl IntoIterator<Item = &'a Operation>) -> Self {
        Self { fault, operations: operations.into_iter().cloned().collect() }
    }

    /// The ids of the operations.
    pub fn ids(&self) -> Vec<&str> {
        self.operations.iter().map(|operation| operation.id.as_str()).collect()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operations: Vec<_> = self.operations.iter().map(Operation::to_string).collect();
        write!(f, "{}: {}", self.fault, operations.join(" and "))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wait { took, usual } => write!(f, "waited {took:?} where {usual:?} is usual"),
            Self::Work { took, usual } => write!(f, "took {took:?} where {usual:?} is usual"),
            Self::Crossed { version } => write!(f, "crossed over, {version}"),
            Self::SameId => f.write_str("one id twice"),
            Self::SameToken => f.write_str("one token twice"),
            Self::Overlap { key } => write!(f, "overlap on {:?}", key.as_str()),
            Self::Crowd { key } => write!(f, "too many permits on {:?}", key.as_str()),
            Self::Tokens { key } => write!(f, "tokens that do not grow on {:?}", key.as_str()),
            Self::Backwards => f.write_str("backwards in time"),
            Self::Early => f.write_str("cause and effect the wrong way round"),
            Self::Causeless { cause } => write!(f, "caused by {cause}, which is not there"),
        }
    }
}
