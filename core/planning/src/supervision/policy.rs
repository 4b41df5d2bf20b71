//! The rules of one application, as its spec states them.

/// What decides whether and when an instance is started again, and how it is asked to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Restart an instance that ends by itself.
    pub autorestart: bool,
    /// Unstable exits within the window that make a crash loop.
    pub max_restarts: u32,
    /// An exit before this uptime is unstable.
    pub min_uptime_ms: u64,
    /// Fixed wait before each restart.
    pub restart_delay_ms: u64,
    /// First wait of a growing one; 0 = off.
    pub exp_backoff_restart_delay_ms: u64,
    /// Exit codes after which the instance stays stopped.
    pub stop_exit_codes: Vec<i32>,
    /// Resident memory above which an instance is to be replaced by a fresh one.
    pub max_memory_bytes: Option<u64>,
    /// How long an instance may take to become ready.
    pub listen_timeout_ms: u64,
    /// How long each polite step of ending may take.
    pub kill_timeout_ms: u64,
    /// The instance can be asked to finish its connections first.
    pub drains: bool,
    /// The instance is a cluster worker, which ends by itself once it is disconnected and idle.
    pub disconnects: bool,
}

impl Policy {
    /// Longest wait of a growing delay.
    pub const MAX_BACKOFF_MS: u64 = 15_000;
    /// An instance that ran this long starts its growing delay from the beginning.
    pub const BACKOFF_RESET_UPTIME_MS: u64 = 30_000;
    /// How long a disconnected worker may take to end by itself before it is signalled.
    pub const DISCONNECT_GRACE_MS: u64 = 200;
    /// How long to wait for a killed process (it may hang in the kernel) before killing again.
    pub const KILL_RETRY_MS: u64 = 1_000;
    /// Readiness timeouts in a row double the time allowed, up to this many times: on a machine that boots with all
    /// its applications at once, nobody would get ready within a tight limit, ever.
    pub const MAX_TIMEOUT_DOUBLINGS: u32 = 4;

    /// Unstable exits count towards a crash loop for this long.
    ///
    /// It covers `max_restarts` full rounds of starting, failing, ending and waiting, so a loop with a fixed delay is
    /// caught like one without. A growing delay is the request to try for ever at a slow pace: its waits are not
    /// part of the window, so it trips only while the pace is fast.
    #[must_use]
    pub fn crash_window_ms(&self) -> u64 {
        let round_ms = if self.exp_backoff_restart_delay_ms > 0 {
            self.min_uptime_ms
        } else {
            self.min_uptime_ms
                .max(self.listen_timeout_ms)
                .saturating_add(self.kill_timeout_ms)
                .saturating_add(self.restart_delay_ms)
        };
        round_ms.saturating_mul(u64::from(self.max_restarts.max(1)))
    }
}
