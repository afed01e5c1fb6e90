//! How every workflow begins and ends.

use std::fmt::Display;
use std::mem::discriminant;
use std::process::ExitCode;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

use crate::logging;
use crate::table::grouped;
use crate::workers::say;

/// How many offences of a kind a run shows; a check shows all.
const SHOWN: usize = 3;

/// The exit code of a program, and what is to be said of an error.
pub fn end(outcome: Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {}", logging::line(&error));
        ExitCode::from(2)
    })
}

/// Says that a run was interrupted.
pub fn interrupted() -> ExitCode {
    eprintln!("interrupted: the workers have been stopped");
    ExitCode::from(130)
}

/// Says what was found at the end of a run: a few offences of each kind. They come in the order of their kinds.
pub fn show_some(offences: &[impl Display]) {
    for alike in offences.chunk_by(|one, next| discriminant(one) == discriminant(next)) {
        alike.iter().take(SHOWN).for_each(|offence| say(&offence.to_string()));
        if alike.len() > SHOWN {
            say(&format!("… and {} more like it", grouped(alike.len() - SHOWN)));
        }
    }
}

/// Says whether all is well, in the words of the workflow; else how many offences there are in what it calls its data, and
/// how many workers were lost.
pub fn verdict(offences: usize, lost: usize, clean: &str, data: &str) -> ExitCode {
    match (offences, lost) {
        (0, 0) => {
            say(&format!("clean: {clean}"));
            return ExitCode::SUCCESS;
        }
        (offences, 0) => say(&format!("BROKEN: {} offences in {data}", grouped(offences))),
        (offences, lost) => say(&format!("BROKEN: {} offences, {lost} workers lost", grouped(offences))),
    }
    ExitCode::FAILURE
}

/// Completes when somebody wants this to end. Listens from now on, not only once it is awaited.
///
/// # Errors
///
/// The system's.
pub fn interruption() -> Result<impl Future<Output = ()>> {
    let mut pressed = signal(SignalKind::interrupt())?;
    let mut ended = signal(SignalKind::terminate())?;
    let mut closed = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = pressed.recv() => {}
            _ = ended.recv() => {}
            _ = closed.recv() => {}
        }
    })
}
