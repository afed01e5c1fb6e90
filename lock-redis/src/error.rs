//! What Redis says, in the words of the core.

use lock_core::{Error, ErrorKind};
use redis::{ErrorKind as Kind, RedisError, ServerErrorKind};

/// The store's name in errors and metrics.
pub(crate) const NAME: &str = "redis";

/// Says what went wrong, and whether asking again may help.
pub(crate) fn explain(error: RedisError) -> Error {
    let code = error.code().unwrap_or_default().to_owned();
    let detail = error.detail().unwrap_or_default();
    let (kind, message) = match (error.kind(), code.as_str()) {
        (Kind::AuthenticationFailed, _) | (_, "WRONGPASS" | "NOAUTH") => {
            (ErrorKind::Backend, "the user or the password is wrong".to_owned())
        }
        (Kind::Server(ServerErrorKind::NoPerm), _) => (ErrorKind::Backend, may_not(detail)),
        (Kind::Server(ServerErrorKind::ResponseError), _) if denied(detail) => {
            (ErrorKind::Backend, may_not(detail))
        }
        (_, "WRONGTYPE") => (ErrorKind::Backend, FOREIGN.to_owned()),
        (Kind::Server(ServerErrorKind::ResponseError), _) if detail.contains("WRONGTYPE") => {
            (ErrorKind::Backend, FOREIGN.to_owned())
        }
        (_, "OOM") => (ErrorKind::Unavailable, "the server is out of memory (maxmemory)".to_owned()),
        _ if is_replica(&error) => {
            (ErrorKind::Unavailable, "the server is a replica and cannot write".to_owned())
        }
        (Kind::Server(ServerErrorKind::ResponseError), _) => {
            (ErrorKind::Backend, format!("the server refused: {error}"))
        }
        (Kind::Parse | Kind::UnexpectedReturnType, _) => {
            (ErrorKind::Unavailable, "what answered is no Redis, or its answer was cut short".to_owned())
        }
        _ if error.is_timeout() => (ErrorKind::Unavailable, "the server did not answer in time".to_owned()),
        _ => (ErrorKind::Unavailable, error.to_string()),
    };
    Error::new(kind, message).with_source(error)
}

/// Whether the server was asked what only a master does: to write, or to wait for its replicas.
pub(crate) fn is_replica(error: &RedisError) -> bool {
    let detail = error.detail().unwrap_or_default();
    error.kind() == Kind::Server(ServerErrorKind::ReadOnly) || detail.contains("used with replica instances")
}

const FOREIGN: &str = "something else is stored under a name of the locks (PREFIX:n, PREFIX:q:…, PREFIX:c:…): use a prefix of your own";

fn may_not(detail: &str) -> String {
    format!("the user may not do this; the README lists what it needs: {detail}")
}

/// Whether what a script wanted to do was refused, by Redis 7.0 or a newer one, or what the driver did to connect.
fn denied(detail: &str) -> bool {
    ["executing the script can't", "ACL failure in script", "has no permissions"]
        .iter()
        .any(|part| detail.contains(part))
}
