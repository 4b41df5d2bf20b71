//! How others wake the loop, and tell it how often to look by itself.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard, Notify};

/// How the link wakes the loop, and tells it how often to look by itself.
#[derive(Debug)]
pub struct Nudges {
    notify: Notify,
    asked: AtomicBool,
    poll_ms: AtomicU64,
    /// Held by whoever looks at the node or changes it: a plan must not see a run half way.
    running: Mutex<()>,
}

impl Nudges {
    /// None yet.
    pub fn new(poll: Duration) -> Self {
        let poll_ms = AtomicU64::new(u64::try_from(poll.as_millis()).unwrap_or(u64::MAX));
        Self { notify: Notify::new(), asked: AtomicBool::new(false), poll_ms, running: Mutex::new(()) }
    }

    /// There may be something to do.
    pub fn nudge(&self) {
        self.notify.notify_one();
    }

    /// A person wants a run now, and its report, whatever it finds.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
        self.notify.notify_one();
    }

    /// The time between two polls.
    pub fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms.load(Ordering::Relaxed))
    }

    /// Changes that time, within reason: a controller's mistake must neither silence agents nor make them a storm.
    pub fn set_poll_ms(&self, poll_ms: u32) {
        if poll_ms > 0 {
            self.poll_ms.store(u64::from(poll_ms).clamp(50, 3_600_000), Ordering::Relaxed);
        }
    }

    /// Whether a person asked since the last time.
    pub(super) fn take_asked(&self) -> bool {
        self.asked.swap(false, Ordering::Relaxed)
    }

    /// Waits for a nudge.
    pub(super) async fn nudged(&self) {
        self.notify.notified().await;
    }

    /// Waits until nobody else looks at the node or changes it.
    pub(super) async fn alone(&self) -> MutexGuard<'_, ()> {
        self.running.lock().await
    }
}
