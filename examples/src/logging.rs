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

/// Whether somebody asked for log lines, between which a progress bar would be in the way.
pub fn asked_for() -> bool {
    std::env::var_os(EnvFilter::DEFAULT_ENV).is_some_and(|filter| !filter.is_empty())
}
