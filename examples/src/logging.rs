//! Log lines on standard error, as `RUST_LOG` says.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Begins to log: what `RUST_LOG` asks for, else what `otherwise` does.
pub fn start(otherwise: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(otherwise));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
}

/// An error in one line, with what led to it. What a lock's error says is complete: its cause is there for programs.
pub fn line(error: &anyhow::Error) -> String {
    let mut words = Vec::new();
    for cause in error.chain() {
        words.push(cause.to_string());
        if cause.is::<lock_core::Error>() {
            break;
        }
    }
    words.join(": ")
}

/// Whether somebody asked for log lines, between which a progress bar would be in the way.
pub fn asked_for() -> bool {
    std::env::var_os(EnvFilter::DEFAULT_ENV).is_some_and(|filter| !filter.is_empty())
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use lock_core::{Error, ErrorKind};

    #[test]
    fn the_cause_of_a_locks_error_is_not_said_twice() {
        let refused = std::io::Error::other("refused");
        let lock = Error::new(ErrorKind::Unavailable, "no answer: refused").with_source(refused);
        let error = Err::<(), _>(lock).context("worker 3").expect_err("it failed");
        assert_eq!(super::line(&error), "worker 3: no answer: refused");
        let error = anyhow::anyhow!("disk full").context("the books");
        assert_eq!(super::line(&error), "the books: disk full");
    }
}
