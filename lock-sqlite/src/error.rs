//! What SQLite says, in the words of the core.

use std::path::Path;

use lock_core::{Error, ErrorKind};
use rusqlite::ErrorCode;

/// The store's name in errors and metrics.
pub(crate) const NAME: &str = "sqlite";

/// Says what is wrong with a file, and whether asking again may help.
pub(crate) fn explain(error: rusqlite::Error, path: &Path) -> Error {
    let file = path.display();
    let (kind, message) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => (
            ErrorKind::Unavailable,
            format!(
                "{file} is busy: somebody has held its write lock for seconds; keep transactions on it short"
            ),
        ),
        Some(ErrorCode::DiskFull) => {
            (ErrorKind::Unavailable, format!("the disk of {file} is full: make room"))
        }
        Some(ErrorCode::SystemIoFailure) => {
            (ErrorKind::Unavailable, format!("reading or writing {file} failed: {error}"))
        }
        Some(
            ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied,
        ) => (
            ErrorKind::Backend,
            format!("{file} cannot be written: the file and its directory must be writable"),
        ),
        Some(ErrorCode::CannotOpen) => {
            (ErrorKind::Backend, format!("{file} cannot be opened: its directory must exist and be writable"))
        }
        Some(ErrorCode::NotADatabase) => {
            (ErrorKind::Backend, format!("{file} is not a SQLite database: give it another path"))
        }
        Some(ErrorCode::DatabaseCorrupt) => (
            ErrorKind::Backend,
            format!("{file} is damaged: remove it, or restore it, while no process has it open ({error})"),
        ),
        _ => (ErrorKind::Backend, format!("{file}: {error}")),
    };
    Error::new(kind, message).with_source(error)
}
