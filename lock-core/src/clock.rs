//! The one clock of deadlines: it counts suspend, and a test can pause it.
//!
//! `std::time::Instant` stops while the machine sleeps, so a guard measured by it would outlive its lease. On
//! Linux and Android this reads `CLOCK_BOOTTIME`; elsewhere the monotonic clock, which counts suspend on some
//! systems only. Unit tests read tokio's clock, so that a paused clock moves everything.

use std::time::Duration;

/// A moment, in nanoseconds since some fixed one of this boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    /// Later than anything that happens.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    #[cfg(all(not(test), any(target_os = "linux", target_os = "android")))]
    pub(crate) fn now() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Self(time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned())
    }

    #[cfg(any(test, not(any(target_os = "linux", target_os = "android"))))]
    #[expect(clippy::disallowed_methods, reason = "this file owns the clock")]
    pub(crate) fn now() -> Self {
        use std::sync::OnceLock;
        #[cfg(not(test))]
        use std::time::Instant;
        #[cfg(test)]
        use tokio::time::Instant;

        static START: OnceLock<std::time::Instant> = OnceLock::new();
        let start = *START.get_or_init(std::time::Instant::now);
        #[cfg(test)]
        let start = Instant::from_std(start);
        // From an hour on, so that a clock that was paused shortly before the first reading is not cut to zero.
        const HOUR: u64 = 3_600_000_000_000;
        let now = Instant::now();
        let early = || HOUR.saturating_sub(nanos(start.saturating_duration_since(now)));
        Self(now.checked_duration_since(start).map_or_else(early, |since| HOUR + nanos(since)))
    }

    pub(crate) fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    pub(crate) fn as_nanos(self) -> u64 {
        self.0
    }

    /// How far `self` lies after `earlier`; zero if it does not.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    pub(crate) fn elapsed(self) -> Duration {
        Self::now().since(self)
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Microseconds since 1970 by the wall clock: the floor of a token counter that starts.
#[expect(clippy::disallowed_methods, reason = "this file owns the clock")]
pub(crate) fn wall_micros() -> u64 {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_1970.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
