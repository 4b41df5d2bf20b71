//! Figures of a node over time.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// One sample of a node's figures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NodeMetrics {
    /// When it was taken, by the node's clock.
    pub at: DateTime<Utc>,
    /// Percent of all processors, 0 to 100.
    pub cpu_percent: f32,
    /// Memory in use, in bytes.
    pub memory_used_bytes: u64,
    /// Memory in all, in bytes.
    pub memory_total_bytes: u64,
    /// Swap in use, in bytes.
    pub swap_used_bytes: u64,
    /// Space in use on the file system that holds the state folder, in bytes.
    pub disk_used_bytes: u64,
    /// Size of that file system, in bytes.
    pub disk_total_bytes: u64,
    /// Load average over one minute.
    pub load_1: f32,
    /// Load average over five minutes.
    pub load_5: f32,
    /// Load average over fifteen minutes.
    pub load_15: f32,
    /// Bytes received per second, all interfaces but loopback.
    pub network_rx_bytes_per_s: u64,
    /// Bytes sent per second, all interfaces but loopback.
    pub network_tx_bytes_per_s: u64,
}
