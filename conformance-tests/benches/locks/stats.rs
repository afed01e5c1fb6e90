//! Percentiles, medians, and the clock that processes share.

use std::fs;
use std::path::Path;
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

/// CPU time of this process, user and system.
pub(crate) fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Resident memory of this process in bytes.
pub(crate) fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

/// Connections of this process: open descriptors of a database's file, and TCP sockets.
pub(crate) fn connections(file: Option<&Path>) -> usize {
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"].map(fs::read_to_string);
    let lines = tables.iter().flatten().flat_map(|table| table.lines().skip(1));
    let sockets: Vec<_> = lines
        .filter_map(|line| line.split_whitespace().nth(9))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let links = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let open = links.filter_map(|link| fs::read_link(link.path()).ok());
    open.filter(|open| file == Some(open) || sockets.iter().any(|socket| Path::new(socket) == open)).count()
}
