//! What a process uses, read from `/proc` only when someone asks.

use std::time::{Duration, Instant};

use super::tree;

/// Two looks closer together than this give no better figure than the first.
const MIN_INTERVAL: Duration = Duration::from_millis(250);

/// Remembers the last look at one process.
#[derive(Debug, Default)]
pub(crate) struct Sampler {
    last: Option<Sample>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    pid: u32,
    at: Instant,
    cpu_ticks: u64,
    cpu_percent: f32,
}

impl Sampler {
    /// CPU share since the last look (100 = one core) and resident bytes.
    pub(crate) fn look(&mut self, pid: u32, running_for: Duration) -> (f32, u64) {
        let Some(stat) = tree::stat(pid) else { return (0.0, 0) };
        let now = Instant::now();
        let last = self.last.filter(|last| last.pid == pid);
        if let Some(last) = last
            && now.duration_since(last.at) < MIN_INTERVAL
        {
            return (last.cpu_percent, resident_bytes(pid));
        }
        let (ticks, over) = match last {
            Some(last) => (stat.cpu_ticks.saturating_sub(last.cpu_ticks), now.duration_since(last.at)),
            None => (stat.cpu_ticks, running_for),
        };
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        let seconds = over.as_secs_f64().max(0.01);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "a figure for people"
        )]
        let cpu_percent = (ticks as f64 / per_second as f64 / seconds * 100.0) as f32;
        self.last = Some(Sample { pid, at: now, cpu_ticks: stat.cpu_ticks, cpu_percent });
        (cpu_percent, resident_bytes(pid))
    }
}

/// Memory of a process that is not swapped out.
pub(crate) fn resident_bytes(pid: u32) -> u64 {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/statm")) else { return 0 };
    let pages: u64 = text.split_ascii_whitespace().nth(1).and_then(|field| field.parse().ok()).unwrap_or(0);
    pages.saturating_mul(u64::try_from(rustix::param::page_size()).unwrap_or(4096))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_memory_is_seen_and_a_missing_process_is_nothing() {
        let mut sampler = Sampler::default();
        let (_, bytes) = sampler.look(std::process::id(), Duration::from_secs(1));
        assert!(bytes > 100_000, "{bytes}");
        assert_eq!(sampler.look(u32::MAX - 1, Duration::from_secs(1)), (0.0, 0));
    }
}
