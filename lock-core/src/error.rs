//! The one error type.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::Key;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong.
///
/// Contention is not among them: a busy key is an answer, not an error.
///
/// ```
/// use lock_core::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::Unavailable, "connection refused");
/// assert_eq!(error.kind(), ErrorKind::Unavailable);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The limit passed and the lock is definitely not held, nor queued for. Made by the core alone.
    Timeout,
    /// The grant lapsed or was taken away; what it protected may have been touched by somebody else.
    Lost,
    /// The request makes no sense: a bad key, duration or mode. Nothing was sent.
    Invalid,
    /// The store cannot do this. Nothing was sent.
    Unsupported,
    /// The outcome is unknown, or the store cannot be reached. Asking again may help.
    Unavailable,
    /// The store answered, and asking again will not help until somebody mends it.
    Backend,
}

/// What went wrong, doing what, to which keys, on which store.
///
/// `Display` is one line: `acquire "invoice/42" on redis: timed out after 5s`. The message is complete in
/// itself; [`source`](StdError::source) is there for programs. Neither contains a password or an owner.
///
/// ```
/// use lock_core::{Error, ErrorKind, Key};
///
/// let keys = [Key::new("invoice/42")?];
/// let error = Error::new(ErrorKind::Timeout, "timed out after 5s").in_operation("acquire", &keys, "redis");
/// assert_eq!(error.to_string(), r#"acquire "invoice/42" on redis: timed out after 5s"#);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    context: Option<Context>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

#[derive(Clone)]
struct Context {
    operation: &'static str,
    keys: Vec<Key>,
    backend: &'static str,
}

impl Error {
    /// Makes an error. The message is in lower case, complete in itself and free of secrets.
    ///
    /// ```
    /// # use lock_core::{Error, ErrorKind};
    /// let error = Error::new(ErrorKind::Invalid, "ttl is 1ms; it must be 10ms to 24h");
    /// assert_eq!(error.to_string(), "ttl is 1ms; it must be 10ms to 24h");
    /// ```
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), context: None, source: None }))
    }

    /// Adds what caused it. The caller vouches that it prints no secret.
    ///
    /// ```
    /// # use lock_core::{Error, ErrorKind};
    /// use std::error::Error as _;
    ///
    /// let error = Error::new(ErrorKind::Unavailable, "no answer").with_source(std::io::Error::other("reset"));
    /// assert_eq!(error.source().unwrap().to_string(), "reset");
    /// ```
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// Says which operation failed, on which keys and store, unless that is known already.
    ///
    /// The core does this for everything that a [`Backend`](crate::Backend) returns; a backend does it in its
    /// own constructors.
    ///
    /// ```
    /// # use lock_core::{Error, ErrorKind};
    /// let error = Error::new(ErrorKind::Backend, "disk full").in_operation("open", &[], "sqlite");
    /// assert_eq!(error.to_string(), "open on sqlite: disk full");
    /// ```
    #[must_use]
    pub fn in_operation(mut self, operation: &'static str, keys: &[Key], backend: &'static str) -> Self {
        self.0.context.get_or_insert_with(|| Context { operation, keys: keys.to_vec(), backend });
        self
    }

    /// The kind of error.
    ///
    /// ```
    /// # use lock_core::{Error, ErrorKind};
    /// assert_eq!(Error::new(ErrorKind::Lost, "lapsed").kind(), ErrorKind::Lost);
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was being done, as `acquire` or `open`; `None` if that is not known.
    ///
    /// ```
    /// # use lock_core::{Error, ErrorKind};
    /// let error = Error::new(ErrorKind::Backend, "disk full").in_operation("open", &[], "sqlite");
    /// assert_eq!(error.operation(), Some("open"));
    /// ```
    pub fn operation(&self) -> Option<&'static str> {
        self.0.context.as_ref().map(|context| context.operation)
    }

    /// The store's name; `None` if that is not known.
    ///
    /// ```
    /// # use lock_core::{Error, ErrorKind};
    /// let error = Error::new(ErrorKind::Backend, "disk full").in_operation("open", &[], "sqlite");
    /// assert_eq!(error.backend(), Some("sqlite"));
    /// ```
    pub fn backend(&self) -> Option<&'static str> {
        self.0.context.as_ref().map(|context| context.backend)
    }

    /// The keys it is about; empty if it is about none.
    ///
    /// ```
    /// # use lock_core::{Error, ErrorKind};
    /// assert!(Error::new(ErrorKind::Lost, "lapsed").keys().is_empty());
    /// ```
    pub fn keys(&self) -> &[Key] {
        self.0.context.as_ref().map_or(&[], |context| &context.keys)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4;
        let Some(context) = &self.0.context else { return f.write_str(&self.0.message) };
        f.write_str(context.operation)?;
        for (n, key) in context.keys.iter().take(SHOWN).enumerate() {
            write!(f, "{} {key:?}", if n == 0 { "" } else { "," })?;
        }
        if context.keys.len() > SHOWN {
            write!(f, " and {} more", context.keys.len() - SHOWN)?;
        }
        write!(f, " on {}: {}", context.backend, self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        if let Some(source) = &self.0.source {
            write!(f, " (caused by: {source})")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
