//! What PostgreSQL says, in the words of the core.

use lock_core::{Error, ErrorKind};
use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// The store's name in errors and metrics.
pub(crate) const NAME: &str = "postgres";

/// Says what went wrong, and whether asking again may help.
pub(crate) fn explain(error: sqlx::Error) -> Error {
    let (kind, message) = match &error {
        sqlx::Error::Database(database) => judge(&database.code().unwrap_or_default(), database.message()),
        sqlx::Error::Configuration(_) | sqlx::Error::InvalidArgument(_) => {
            (ErrorKind::Invalid, "the settings of the connection cannot be used".to_owned())
        }
        sqlx::Error::Tls(cause) => (
            ErrorKind::Unavailable,
            format!("no encrypted connection: {cause}; sslmode=disable in the address does without"),
        ),
        sqlx::Error::PoolTimedOut => {
            (ErrorKind::Unavailable, "the pool had no connection to give in time".to_owned())
        }
        sqlx::Error::PoolClosed => (ErrorKind::Backend, "the pool is closed".to_owned()),
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::RowNotFound => {
            (ErrorKind::Backend, STRANGE.to_owned())
        }
        _ => (ErrorKind::Unavailable, error.to_string()),
    };
    Error::new(kind, message).with_source(error)
}

/// By the server's code of five characters.
fn judge(code: &str, message: &str) -> (ErrorKind, String) {
    match code {
        "28000" | "28P01" => (ErrorKind::Backend, format!("the server refuses this user: {message}")),
        "3D000" => (ErrorKind::Backend, format!("the server has no such database: {message}")),
        "42501" => (
            ErrorKind::Backend,
            format!("the user may not do this; the README lists what it needs: {message}"),
        ),
        "3F000" | "42P01" | "42883" => (
            ErrorKind::Backend,
            format!(
                "something that locks are kept in is missing; connecting anew makes it, or says what is: {message}"
            ),
        ),
        "25006" => (ErrorKind::Unavailable, format!("the server is a standby, or cannot write: {message}")),
        "57014" | "55P03" => {
            (ErrorKind::Unavailable, format!("the server did not get to it in time: {message}"))
        }
        // The server has closed a connection of ours that stood still.
        "25P03" | "25P04" => (ErrorKind::Unavailable, message.to_owned()),
        // Connections, resources, the operator's doing, transactions that failed, and the system's errors.
        _ if ["08", "53", "57", "40", "58"].contains(&code.get(..2).unwrap_or_default()) => {
            (ErrorKind::Unavailable, message.to_owned())
        }
        _ => (ErrorKind::Backend, format!("the server refused: {message} ({code})")),
    }
}

const STRANGE: &str = "the server answered what no function of this library does";

/// An answer that cannot be.
pub(crate) fn strange() -> Error {
    Error::new(ErrorKind::Backend, STRANGE)
}

/// No answer, and so nothing is known.
pub(crate) fn silent() -> Error {
    Error::new(ErrorKind::Unavailable, "the server did not answer in time")
}

/// Whether the connection is of no use any more. What a server says and goes on after leaves it as it was.
pub(crate) fn broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => database
            .try_downcast_ref::<PgDatabaseError>()
            .is_none_or(|database| matches!(database.severity(), PgSeverity::Fatal | PgSeverity::Panic)),
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => false,
        _ => true,
    }
}

/// The server's code of an error.
pub(crate) fn code(error: &sqlx::Error) -> String {
    error.as_database_error().and_then(|error| error.code()).unwrap_or_default().into_owned()
}

#[cfg(test)]
mod tests {
    use lock_core::ErrorKind;
    use rstest::rstest;

    #[rstest]
    #[case::the_client_was_stalled_in_its_transaction("25P03", ErrorKind::Unavailable)]
    #[case::its_transaction_took_too_long("25P04", ErrorKind::Unavailable)]
    #[case::a_standby("25006", ErrorKind::Unavailable)]
    #[case::an_operator("57P01", ErrorKind::Unavailable)]
    #[case::a_password("28P01", ErrorKind::Backend)]
    #[case::a_bug("42601", ErrorKind::Backend)]
    fn what_may_help_to_ask_again_is_told_by_the_code(#[case] code: &str, #[case] kind: ErrorKind) {
        assert_eq!(super::judge(code, "").0, kind);
    }
}
