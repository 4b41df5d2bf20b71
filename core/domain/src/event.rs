//! What happened, for people: one time axis for the whole fleet.

use crate::{ApplicationName, EnvironmentName, NodeName, RolloutId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The kinds that an agent reports. The controller takes no other word from a node for a kind: what comes from outside must
/// not look like an event of the controller's own.
pub const NODE_EVENT_KINDS: [&str; 24] = [
    "agent.started",
    "ledger.damaged",
    "supervisor.lost",
    "supervisor.upgraded",
    "supervisor.upgrade_refused",
    "process.exited",
    "process.crash_looping",
    "process.stopped",
    "process.restarted",
    "process.replaced",
    "process.replace_failed",
    "process.memory_restart",
    "process.cron_restart",
    "process.watch_restart",
    "process.deleted",
    "process.events_missed",
    "application.removed",
    "resource.released",
    "node.rebooting",
    "node.rebooted",
    "node.reboot_failed",
    "resource.removed",
    "resource.reverted",
    "node.turn_waiting",
];

/// How much a person should care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// For the record.
    Info,
    /// Worth a look.
    Warning,
    /// Somebody has to act.
    Error,
}

impl Severity {
    /// The word in SQL, REST and the dashboard.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that happened. `kind` is a stable dotted word (`node.down`, `resource.corrected`, `rollout.completed`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Orders the events of the fleet.
    pub sequence: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Stable word.
    pub kind: String,
    /// How much to care.
    pub severity: Severity,
    /// One line for a person.
    pub message: String,
    /// Who caused it: a user name, `node <name>`, or `controller`.
    pub actor: String,
    /// What it is about, as far as it applies.
    pub subject: Subject,
}

/// What an event is about; every part is optional.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subject {
    /// The node.
    pub node: Option<NodeName>,
    /// The environment.
    pub environment: Option<EnvironmentName>,
    /// The application.
    pub application: Option<ApplicationName>,
    /// The rollout.
    pub rollout: Option<RolloutId>,
}
