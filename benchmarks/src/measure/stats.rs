//! Percentiles, medians, and the clock that processes share.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of a clock that reads the same in every process.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

/// What share of sorted values lies at or below the answer.
pub(crate) fn percentile(values: &mut [u64], share: f64) -> Duration {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    Duration::from_nanos(values.get((last as f64 * share).round() as usize).copied().unwrap_or(0))
}

/// The middle one of a few rounds.
pub(crate) fn median(mut rounds: Vec<f64>) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

/// As a number of microseconds.
pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
