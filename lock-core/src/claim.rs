//! One request for some keys: the unit in which every store call is idempotent.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::{Error, ErrorKind, Key, Keys, Mode, Result};

/// The secret by which a store knows a claim's maker: 128 fresh bits from the operating system.
///
/// Whoever knows it can renew and release the claim, so it never appears in `Debug`, a log line, an error or a
/// wake-up message. For those there is [`Claim::tag`].
///
/// ```
/// use std::time::Duration;
/// use lock_core::{Claim, Mode};
///
/// let claim = Claim::new("a", Mode::Exclusive, Duration::from_secs(30))?;
/// assert_eq!(format!("{:?}", claim.owner()), "Owner(..)");
/// assert_eq!(claim.owner().to_bytes().len(), 16);
/// # Ok::<(), lock_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner([u8; 16]);

impl Owner {
    /// The 16 bytes, for the store and nobody else.
    ///
    /// ```
    /// # use lock_core::{Claim, Mode};
    /// # let claim = Claim::new("a", Mode::Exclusive, std::time::Duration::from_secs(30))?;
    /// let stored: [u8; 16] = claim.owner().to_bytes();
    /// # Ok::<(), lock_core::Error>(())
    /// ```
    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// The same as 32 lower-case hexadecimal digits, for stores that want text.
    ///
    /// ```
    /// # use lock_core::{Claim, Mode};
    /// # let claim = Claim::new("a", Mode::Exclusive, std::time::Duration::from_secs(30))?;
    /// assert_eq!(claim.owner().to_hex().len(), 32);
    /// # Ok::<(), lock_core::Error>(())
    /// ```
    pub fn to_hex(self) -> String {
        let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
        // Every claim is written so: what a formatter would do costs as much as the claim.
        let mut hex = String::with_capacity(32);
        for byte in self.0 {
            hex.push(digit(byte >> 4));
            hex.push(digit(byte & 15));
        }
        hex
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Owner(..)")
    }
}

/// One request for 1 to 32 distinct keys, made before any I/O.
///
/// A claim is what a store holds or queues. Everything that a store needs to renew or release it is in here or in
/// the store, so that any client can do it.
///
/// ```
/// use std::time::Duration;
/// use lock_core::{Claim, Mode};
///
/// let claim = Claim::new(["b", "a", "b"], Mode::Exclusive, Duration::from_secs(30))?.queued().labelled("worker 3")?;
/// assert_eq!(claim.keys().len(), 2);
/// assert_eq!(claim.keys()[0].as_str(), "a");
/// assert!(claim.waits());
/// # Ok::<(), lock_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Claim {
    keys: Arc<[Key]>,
    mode: Mode,
    owner: Owner,
    tag: u64,
    ttl: Duration,
    waits: bool,
    label: String,
    made: Moment,
}

impl Claim {
    /// The most keys of one claim.
    ///
    /// ```
    /// assert_eq!(lock_core::Claim::MAX_KEYS, 32);
    /// ```
    pub const MAX_KEYS: usize = 32;

    /// The shortest ttl, 10 ms.
    ///
    /// ```
    /// assert_eq!(lock_core::Claim::MIN_TTL.as_millis(), 10);
    /// ```
    pub const MIN_TTL: Duration = Duration::from_millis(10);

    /// The longest ttl, and the longest cooldown, 24 h.
    ///
    /// ```
    /// assert_eq!(lock_core::Claim::MAX_TTL.as_secs(), 24 * 60 * 60);
    /// ```
    pub const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);

    /// The longest label, in bytes.
    ///
    /// ```
    /// assert_eq!(lock_core::Claim::MAX_LABEL_BYTES, 128);
    /// ```
    pub const MAX_LABEL_BYTES: usize = 128;

    /// Makes a claim that skips when refused, with a fresh owner and no label.
    ///
    /// Keys are sorted, and a key given twice counts once. The ttl is rounded up to a whole millisecond.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for a bad key, none or more than [`MAX_KEYS`](Self::MAX_KEYS), or a ttl
    /// outside 10 ms to 24 h. [`Unavailable`](ErrorKind::Unavailable) when the system has no random numbers.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use lock_core::{Claim, ErrorKind, Mode};
    /// let error = Claim::new("a", Mode::Exclusive, Duration::ZERO).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Invalid);
    /// assert_eq!(error.to_string(), "ttl is 0ns; it must be 10ms to 24h");
    /// ```
    pub fn new(keys: impl Keys, mode: Mode, ttl: Duration) -> Result<Self> {
        Self::of(distinct(keys.into_keys()?)?, mode, ttl)
    }

    /// The same, of keys that are sorted and distinct.
    pub(crate) fn of(keys: Arc<[Key]>, mode: Mode, ttl: Duration) -> Result<Self> {
        if !(Self::MIN_TTL..=Self::MAX_TTL).contains(&ttl) {
            return Err(Error::new(ErrorKind::Invalid, format!("ttl is {ttl:?}; it must be 10ms to 24h")));
        }
        let mut random = [0; 24];
        getrandom::fill(&mut random)
            .map_err(|e| Error::new(ErrorKind::Unavailable, "no random numbers to be had").with_source(e))?;
        let (owner, tag) = random.split_at(16);
        Ok(Self {
            keys,
            mode,
            owner: Owner(owner.try_into().expect("split at 16")),
            tag: u64::from_be_bytes(tag.try_into().expect("the other 8 of 24")) >> 1,
            ttl: whole_millis(ttl),
            waits: false,
            label: String::new(),
            made: Moment::now(),
        })
    }

    /// The same claim, which queues when it is refused.
    ///
    /// ```
    /// # use lock_core::{Claim, Mode};
    /// let claim = Claim::new("a", Mode::Exclusive, std::time::Duration::from_secs(30))?;
    /// assert!(!claim.waits());
    /// assert!(claim.queued().waits());
    /// # Ok::<(), lock_core::Error>(())
    /// ```
    #[must_use]
    pub fn queued(mut self) -> Self {
        self.waits = true;
        self
    }

    /// The same claim with a label, for people who look into the store.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) for more than 128 bytes or a control character.
    ///
    /// ```
    /// # use lock_core::{Claim, Mode};
    /// let claim = Claim::new("a", Mode::Exclusive, std::time::Duration::from_secs(30))?.labelled("worker 3")?;
    /// assert_eq!(claim.label(), "worker 3");
    /// # Ok::<(), lock_core::Error>(())
    /// ```
    pub fn labelled(mut self, label: impl Into<String>) -> Result<Self> {
        self.label = label.into();
        if self.label.len() > Self::MAX_LABEL_BYTES {
            let message = format!("the label has {} bytes; it may have 128", self.label.len());
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        if let Some(control) = self.label.chars().find(|c| c.is_control()) {
            let message = format!("the label {:?} has the control character {control:?}", self.label);
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        Ok(self)
    }

    /// The keys: sorted, distinct, at least one.
    ///
    /// ```
    /// # use lock_core::{Claim, Mode};
    /// let claim = Claim::new(["b", "a"], Mode::Exclusive, std::time::Duration::from_secs(30))?;
    /// assert_eq!(claim.keys()[0].as_str(), "a");
    /// # Ok::<(), lock_core::Error>(())
    /// ```
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// How it shares its keys.
    ///
    /// ```
    /// # use lock_core::{Claim, Mode};
    /// # let claim = Claim::new("a", Mode::Shared, std::time::Duration::from_secs(30))?;
    /// assert_eq!(claim.mode(), Mode::Shared);
    /// # Ok::<(), lock_core::Error>(())
    /// ```
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The secret that the store knows it by.
    ///
    /// ```
    /// # use lock_core::{Claim, Mode};
    /// # let ttl = std::time::Duration::from_secs(30);
    /// let (one, two) = (Claim::new("a", Mode::Exclusive, ttl)?, Claim::new("a", Mode::Exclusive, ttl)?);
    /// assert_ne!(one.owner(), two.owner());
    /// # Ok::<(), lock_core::Error>(())
    /// ```
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// A public random number that stands for the claim where the owner must not: in a wake-up, in a log.
    ///
    /// Two claims share one about once in 2^63; then each hears the other's rings, which does no harm. It has 63 bits,
    /// for stores with signed integers; Lua and JSON round numbers above 2^53, so give it to them as text.
    ///
    /// ```
    /// # use lock_core::{Claim, Mode};
    /// # let claim = Claim::new("a", Mode::Exclusive, std::time::Duration::from_secs(30))?;
    /// assert_eq!(claim.tag(), claim.clone().tag());
    /// # Ok::<(), lock_core::Error>(())
    /// ```
    pub fn tag(&self) -> u64 {
        self.tag
    }

    /// How long a grant or a place lasts after it was taken, renewed or looked at: whole milliseconds, 10 ms to
    /// 24 h.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use lock_core::{Claim, Mode};
    /// let claim = Claim::new("a", Mode::Exclusive, Duration::from_micros(10_001))?;
    /// assert_eq!(claim.ttl(), Duration::from_millis(11));
    /// # Ok::<(), lock_core::Error>(())
    /// ```
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Whether it queues when it is refused, or skips and leaves nothing.
    ///
    /// ```
    /// # use lock_core::{Claim, Mode};
    /// assert!(!Claim::new("a", Mode::Exclusive, std::time::Duration::from_secs(30))?.waits());
    /// # Ok::<(), lock_core::Error>(())
    /// ```
    pub fn waits(&self) -> bool {
        self.waits
    }

    /// What a person who looks into the store reads; empty if none was given.
    ///
    /// ```
    /// # use lock_core::{Claim, Mode};
    /// assert_eq!(Claim::new("a", Mode::Exclusive, std::time::Duration::from_secs(30))?.label(), "");
    /// # Ok::<(), lock_core::Error>(())
    /// ```
    pub fn label(&self) -> &str {
        &self.label
    }

    /// How long ago it was made, by a clock that counts suspend. What the store has of it was written since.
    ///
    /// ```
    /// # use lock_core::{Claim, Mode};
    /// let claim = Claim::new("a", Mode::Exclusive, std::time::Duration::from_secs(30))?;
    /// assert!(claim.age() < claim.ttl());
    /// # Ok::<(), lock_core::Error>(())
    /// ```
    pub fn age(&self) -> Duration {
        self.made.elapsed()
    }

    /// When it was made, by this process's clock.
    pub(crate) fn made(&self) -> Moment {
        self.made
    }
}

/// Sorts keys and drops those given twice.
pub(crate) fn distinct(mut keys: Vec<Key>) -> Result<Arc<[Key]>> {
    keys.sort_unstable();
    keys.dedup();
    if keys.is_empty() || keys.len() > Claim::MAX_KEYS {
        let message = format!("{} keys; a claim has 1 to {}", keys.len(), Claim::MAX_KEYS);
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    Ok(keys.into())
}

/// Rounds up, so that no duration is cut short, or to nothing, by a store that counts milliseconds.
pub(crate) fn whole_millis(duration: Duration) -> Duration {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}
