//! Why processes ended or were restarted.

use crate::Severity;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What happened to a process, or to all of an application on a node.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ProcessEvent {
    /// The number of the event that told it.
    pub sequence: i64,
    /// When, by the node's clock.
    pub at: DateTime<Utc>,
    /// When the controller heard of it.
    pub reported_at: DateTime<Utc>,
    /// Stable dotted word: `process.exited`, `process.memory_restart`, `process.cron_restart` ...
    pub kind: String,
    /// How much to care.
    pub severity: Severity,
    /// The node.
    pub node: String,
    /// Its environment.
    pub environment: String,
    /// The application.
    pub application: String,
    /// The instance number, from 0; absent when it is about all instances.
    pub instance: Option<u32>,
    /// The version of the release that the process ran.
    pub release: Option<String>,
    /// Why, in one line.
    pub reason: String,
    /// Automatic restarts of the instance so far.
    pub restarts: Option<u64>,
    /// How the process ended, if one did.
    pub exit: Option<ProcessExit>,
}

/// How a process ended.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ProcessExit {
    /// Its exit code, when it ended by itself.
    pub code: Option<i32>,
    /// The signal, when one ended it.
    pub signal: Option<String>,
    /// Its memory limit, or the memory of the machine, was exhausted.
    pub out_of_memory: bool,
    /// How long it had run, in milliseconds.
    pub uptime_ms: u64,
    /// The last lines that it wrote to standard error, without secrets.
    pub last_stderr: Vec<String>,
}
