//! The monotonic clock the decisions are made on.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// Milliseconds since the machine started: the same for every process, so that times survive the supervisor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock;

impl Clock {
    pub(crate) fn now_ms(self) -> u64 {
        let now = clock_gettime(ClockId::Monotonic);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
        seconds.saturating_mul(1_000).saturating_add(nanoseconds / 1_000_000)
    }

    /// When the clock will show this time.
    pub(crate) fn instant(self, at_ms: u64) -> Instant {
        // One more, because both are cut to whole milliseconds.
        Instant::now() + Duration::from_millis(at_ms.saturating_sub(self.now_ms()).saturating_add(1))
    }
}
