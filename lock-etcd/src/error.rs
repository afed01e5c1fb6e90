//! What etcd says, in the words of the core.

use etcd_client::Error as EtcdError;
use lock_core::{Error, ErrorKind};

/// The store's name in errors and metrics.
pub(crate) const NAME: &str = "etcd";

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The lease is gone; nothing was written.
    NoLease,
    /// That revision is not there any more.
    Compacted,
    Other(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Compacted => Self::new(ErrorKind::Backend, "the store was compacted"),
            Trouble::NoLease => Self::new(ErrorKind::Unavailable, "the lease is gone"),
            Trouble::Other(error) => error,
        }
    }
}

/// gRPC's numbers for what went wrong: etcd-client hands them on without exporting their type.
mod code {
    pub(super) const INVALID_ARGUMENT: i32 = 3;
    pub(super) const NOT_FOUND: i32 = 5;
    pub(super) const PERMISSION_DENIED: i32 = 7;
    pub(super) const RESOURCE_EXHAUSTED: i32 = 8;
    pub(super) const FAILED_PRECONDITION: i32 = 9;
    pub(super) const OUT_OF_RANGE: i32 = 11;
    pub(super) const UNIMPLEMENTED: i32 = 12;
    pub(super) const UNAUTHENTICATED: i32 = 16;
}

/// The server's own answer, if it is one.
fn answer(error: &EtcdError) -> Option<(i32, &str)> {
    match error {
        EtcdError::GRpcStatus(status) => Some((i32::from(status.code()), status.message())),
        _ => None,
    }
}

/// Whether the token of the user was refused, and a new one may help.
pub(crate) fn wants_token(error: &EtcdError) -> bool {
    match answer(error) {
        Some((code::UNAUTHENTICATED, _)) => true,
        Some((_, message)) => {
            message.contains("invalid auth token") || message.contains("revision of auth store is old")
        }
        None => false,
    }
}

/// Whether the server did not answer, or cannot: another connection, maybe to another member, may do better.
pub(crate) fn breaks(error: &EtcdError) -> bool {
    use code::*;
    let answered = [
        INVALID_ARGUMENT,
        NOT_FOUND,
        PERMISSION_DENIED,
        RESOURCE_EXHAUSTED,
        FAILED_PRECONDITION,
        OUT_OF_RANGE,
        UNIMPLEMENTED,
        UNAUTHENTICATED,
    ];
    !answer(error).is_some_and(|(code, _)| answered.contains(&code))
}

/// Says what went wrong, and whether asking again may help.
pub(crate) fn explain(error: EtcdError) -> Trouble {
    let Some((code, message)) = answer(&error) else {
        let message = match &error {
            EtcdError::InvalidUri(_) | EtcdError::InvalidArgs(_) => {
                return Trouble::Other(Error::new(ErrorKind::Invalid, crate::address::EXPECTED));
            }
            _ => "the server cannot be reached",
        };
        return Trouble::Other(Error::new(ErrorKind::Unavailable, message).with_source(error));
    };
    let message = message.trim_start_matches("etcdserver: ");
    let (kind, said) = match code {
        code::NOT_FOUND if message.contains("lease") => return Trouble::NoLease,
        code::OUT_OF_RANGE if message.contains("compacted") => return Trouble::Compacted,
        code::RESOURCE_EXHAUSTED if message.contains("space") => {
            (ErrorKind::Unavailable, "the server's space quota is used up".to_owned())
        }
        code::RESOURCE_EXHAUSTED => {
            (ErrorKind::Unavailable, format!("the server has too much to do: {message}"))
        }
        code::PERMISSION_DENIED => {
            (ErrorKind::Backend, "the user may not do this; the README lists what it needs".to_owned())
        }
        code::INVALID_ARGUMENT if message.contains("authentication failed") => {
            (ErrorKind::Backend, "the user or the password is wrong".to_owned())
        }
        code::INVALID_ARGUMENT if message.contains("user name is empty") => {
            (ErrorKind::Backend, "the server wants a user and a password".to_owned())
        }
        code::UNAUTHENTICATED => {
            (ErrorKind::Unavailable, format!("the server refused the user's token: {message}"))
        }
        code::UNIMPLEMENTED => (ErrorKind::Backend, "what answered is no etcd".to_owned()),
        code::INVALID_ARGUMENT | code::FAILED_PRECONDITION | code::OUT_OF_RANGE | code::NOT_FOUND => {
            (ErrorKind::Backend, format!("the server refused: {message}"))
        }
        _ => (ErrorKind::Unavailable, format!("the server did not do it: {message}")),
    };
    Trouble::Other(Error::new(kind, said).with_source(error))
}

/// What is not known because there was no answer in time.
pub(crate) fn late() -> Error {
    Error::new(ErrorKind::Unavailable, "the server did not answer in time")
}

/// Something under a name of the locks that is none.
pub(crate) fn foreign() -> Error {
    let message =
        "something else is stored under a name of the locks (PREFIX/n, PREFIX/q/…): use a prefix of your own";
    Error::new(ErrorKind::Backend, message)
}
