//! The clock that all processes of one boot share: it counts suspend, and no one can set it.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A boot of the machine, and its clock.
#[derive(Debug)]
pub(crate) struct Boot {
    /// The kernel's id of this boot.
    pub(crate) id: String,
    /// What this process's time namespace adds to the machine's clock, in nanoseconds.
    offset: i64,
}

impl Boot {
    pub(crate) fn read() -> io::Result<Self> {
        let id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
        // Absent on kernels without time namespaces, where there is nothing to subtract.
        let offsets = fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
        Ok(Self { id, offset: boottime_offset(&offsets) })
    }

    /// Nanoseconds since the boot.
    pub(crate) fn now(&self) -> i64 {
        let time = clock_gettime(ClockId::Boottime);
        time.tv_sec * 1_000_000_000 + time.tv_nsec - self.offset
    }
}

/// The line `boottime SECONDS NANOSECONDS` of `/proc/self/timens_offsets`.
fn boottime_offset(offsets: &str) -> i64 {
    let line = offsets.lines().find_map(|line| line.strip_prefix("boottime"));
    let mut numbers = line.unwrap_or_default().split_whitespace().map(|number| number.parse().unwrap_or(0));
    numbers.next().unwrap_or(0) * 1_000_000_000 + numbers.next().unwrap_or(0)
}

/// Nanoseconds of a clock for pauses, which need not count suspend.
pub(crate) fn monotonic() -> i64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// A duration in the clock's unit.
pub(crate) fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// Microseconds since 1970, by the wall clock: the floor of a token counter that starts.
#[expect(clippy::disallowed_methods, reason = "this file owns the clock")]
pub(crate) fn wall_micros() -> i64 {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_1970.map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    #[rstest]
    #[case::none("", 0)]
    #[case::no_offset("monotonic           0         0\nboottime            0         0\n", 0)]
    #[case::ahead("monotonic 1 2\nboottime  3600 5\n", 3_600_000_000_005)]
    #[case::behind("monotonic 1 2\nboottime  -2 500000000\n", -1_500_000_000)]
    fn the_offset_of_a_time_namespace_is_read(#[case] offsets: &str, #[case] nanos: i64) {
        assert_eq!(super::boottime_offset(offsets), nanos);
    }

    #[test]
    fn two_readings_do_not_go_back() {
        let boot = super::Boot::read().expect("Linux has /proc");
        assert!(boot.now() <= boot.now());
        assert_eq!(boot.id.len(), 36);
    }
}
