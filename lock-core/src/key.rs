//! What a resource is called.

use std::fmt;
use std::sync::Arc;

use crate::{Error, ErrorKind, Result};

/// The name of a resource: 1 to 512 bytes of UTF-8 without control characters.
///
/// Keys are compared byte by byte: nothing is folded, trimmed or normalised, so `a`, `A`, `a/b` and `{a}` are
/// four keys, and so are the composed and the decomposed form of `é`. No key is a part of another.
///
/// ```
/// use lock_core::Key;
///
/// let key = Key::new("invoice/42")?;
/// assert_eq!(key.as_str(), "invoice/42");
/// assert!(Key::new("").is_err());
/// # Ok::<(), lock_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// The longest key, in bytes.
    ///
    /// ```
    /// # use lock_core::Key;
    /// assert!(Key::new("k".repeat(Key::MAX_BYTES)).is_ok());
    /// assert!(Key::new("k".repeat(Key::MAX_BYTES + 1)).is_err());
    /// ```
    pub const MAX_BYTES: usize = 512;

    /// Checks a name.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) when it is empty, longer than [`MAX_BYTES`](Self::MAX_BYTES), or has a
    /// control character (U+0000 to U+001F, U+007F to U+009F).
    ///
    /// ```
    /// # use lock_core::Key;
    /// let error = Key::new("two\nlines").unwrap_err();
    /// assert!(error.to_string().contains(r#"control character '\n'"#));
    /// ```
    pub fn new(name: impl AsRef<str>) -> Result<Self> {
        let name = name.as_ref();
        let wrong = if name.is_empty() {
            "the key is empty; it must have 1 to 512 bytes".to_owned()
        } else if name.len() > Self::MAX_BYTES {
            let start: String = name.chars().take(24).collect();
            format!("the key {start:?}… has {} bytes; it must have 1 to 512", name.len())
        } else if let Some(control) = name.chars().find(|c| c.is_control()) {
            format!("the key {name:?} has the control character {control:?}; keys have none")
        } else {
            return Ok(Self(name.into()));
        };
        Err(Error::new(ErrorKind::Invalid, wrong))
    }

    /// The name as it was given.
    ///
    /// ```
    /// # use lock_core::Key;
    /// assert_eq!(Key::new("a")?.as_str(), "a");
    /// # Ok::<(), lock_core::Error>(())
    /// ```
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// One key or several, as a caller likes to write them.
///
/// Implemented for `&str`, `String`, [`Key`], and arrays, slices and vectors of what derefs to `str`.
///
/// ```
/// use lock_core::Keys;
///
/// assert_eq!("bot/4".into_keys()?.len(), 1);
/// assert_eq!(["account/2", "account/1"].into_keys()?.len(), 2);
/// assert_eq!(vec![format!("seat/{}", 7)].into_keys()?[0].as_str(), "seat/7");
/// # Ok::<(), lock_core::Error>(())
/// ```
pub trait Keys {
    /// Checks every name.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid), as [`Key::new`].
    fn into_keys(self) -> Result<Vec<Key>>;
}

/// A single key.
macro_rules! one_key {
    ($($type:ty),*) => {$(
        impl Keys for $type {
            fn into_keys(self) -> Result<Vec<Key>> {
                Ok(vec![Key::new(self)?])
            }
        }
    )*};
}
one_key!(&str, String, &String);

impl Keys for Key {
    fn into_keys(self) -> Result<Vec<Key>> {
        Ok(vec![self])
    }
}

impl Keys for &Key {
    fn into_keys(self) -> Result<Vec<Key>> {
        Ok(vec![self.clone()])
    }
}

impl<T: AsRef<str>> Keys for &[T] {
    fn into_keys(self) -> Result<Vec<Key>> {
        self.iter().map(Key::new).collect()
    }
}

impl<T: AsRef<str>> Keys for Vec<T> {
    fn into_keys(self) -> Result<Vec<Key>> {
        self.as_slice().into_keys()
    }
}

impl<T: AsRef<str>> Keys for &Vec<T> {
    fn into_keys(self) -> Result<Vec<Key>> {
        self.as_slice().into_keys()
    }
}

impl<T: AsRef<str>, const N: usize> Keys for [T; N] {
    fn into_keys(self) -> Result<Vec<Key>> {
        self.as_slice().into_keys()
    }
}
