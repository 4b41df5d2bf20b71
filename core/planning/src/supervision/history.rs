//! What is remembered about an instance across its processes.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::Policy;

/// Counters and the sliding window of unstable exits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Automatic restarts so far.
    pub restarts: u32,
    /// Times of the unstable exits that still count.
    unstable_at_ms: VecDeque<u64>,
    /// The last growing delay; 0 = none yet.
    backoff_ms: u64,
    /// Readiness timeouts in a row.
    timeouts_in_a_row: u32,
}

impl History {
    /// Unstable exits that count towards a crash loop.
    #[must_use]
    pub fn unstable_restarts(&self) -> u32 {
        u32::try_from(self.unstable_at_ms.len()).unwrap_or(u32::MAX)
    }

    /// Records an exit and says whether it completes a crash loop.
    pub(super) fn record_exit(
        &mut self,
        policy: &Policy,
        now_ms: u64,
        uptime_ms: u64,
        unstable: bool,
    ) -> bool {
        if uptime_ms >= Policy::BACKOFF_RESET_UPTIME_MS {
            self.backoff_ms = 0;
        }
        let oldest_ms = now_ms.saturating_sub(policy.crash_window_ms());
        while self.unstable_at_ms.front().is_some_and(|at_ms| *at_ms < oldest_ms) {
            self.unstable_at_ms.pop_front();
        }
        if !unstable {
            return false;
        }
        self.unstable_at_ms.push_back(now_ms);
        // The time to get ready grows, so these can be farther apart than the window is long.
        let never_ready = policy.exp_backoff_restart_delay_ms == 0
            && self.timeouts_in_a_row > 0
            && self.timeouts_in_a_row >= policy.max_restarts;
        never_ready || self.unstable_restarts() >= policy.max_restarts
    }

    /// Wait before the next restart; grows when the policy says so.
    pub(super) fn next_delay_ms(&mut self, policy: &Policy) -> u64 {
        if policy.exp_backoff_restart_delay_ms == 0 {
            return policy.restart_delay_ms;
        }
        self.backoff_ms = match self.backoff_ms {
            0 => policy.exp_backoff_restart_delay_ms,
            last_ms => last_ms.saturating_mul(3) / 2,
        }
        .min(Policy::MAX_BACKOFF_MS);
        self.backoff_ms
    }

    /// Time the next process gets to become ready.
    pub(super) fn ready_timeout_ms(&self, policy: &Policy) -> u64 {
        let doublings = self.timeouts_in_a_row.min(Policy::MAX_TIMEOUT_DOUBLINGS);
        policy.listen_timeout_ms.saturating_mul(1 << doublings)
    }

    pub(super) fn timed_out(&mut self) {
        self.timeouts_in_a_row = self.timeouts_in_a_row.saturating_add(1);
    }

    pub(super) fn became_ready(&mut self) {
        self.timeouts_in_a_row = 0;
    }

    /// Somebody wants to count from zero.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Counts a restart.
    pub(super) fn restarted(&mut self) {
        self.restarts = self.restarts.saturating_add(1);
    }

    /// Someone acted: what went wrong before no longer counts. The number of restarts stays.
    pub(super) fn forgive(&mut self) {
        let Self { restarts: _, unstable_at_ms, backoff_ms, timeouts_in_a_row } = self;
        unstable_at_ms.clear();
        *backoff_ms = 0;
        *timeouts_in_a_row = 0;
    }
}
