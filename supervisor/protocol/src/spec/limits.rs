//! Limits that the kernel enforces.

use serde::{Deserialize, Serialize};

/// What the kernel shall not let one instance (with everything it started) exceed. Absent = no limit of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory; above it the kernel ends a process of the instance, and the reason of its death says so.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Share of processor time, 100 = one core.
    #[serde(default)]
    pub cpu_percent: Option<u32>,
    /// Processes and threads.
    #[serde(default)]
    pub pids: Option<u32>,
    /// Open descriptors of one process.
    #[serde(default)]
    pub open_files: Option<u64>,
}

impl Limits {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
