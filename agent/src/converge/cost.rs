//! What a run costs, for the log: somebody who wonders what the agent does all day finds it there.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// Taken when a run begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stopwatch {
    began: Instant,
    cpu: Duration,
}

/// What it took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    pub(super) took_ms: f64,
    /// Processor time of the whole agent meanwhile, without that of programs which it ran.
    pub(super) cpu_ms: f64,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self { began: Instant::now(), cpu: cpu() }
    }

    pub(super) fn read(self) -> Cost {
        Cost { took_ms: ms(self.began.elapsed()), cpu_ms: ms(cpu().saturating_sub(self.cpu)) }
    }
}

/// What all threads of this process have used.
fn cpu() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(used).unwrap_or_default()
}

/// In milliseconds, to the microsecond.
fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_meanwhile_is_counted() {
        let watch = Stopwatch::start();
        let mut digest = *blake3::hash(b"").as_bytes();
        while watch.read().cpu_ms < 1.0 {
            digest = *blake3::hash(&digest).as_bytes();
        }
        assert!(watch.read().took_ms > 0.0);
        assert_eq!(ms(Duration::from_nanos(2_125_400)), 2.125);
    }
}
