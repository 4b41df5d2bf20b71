//! What an agent measured and did: per resource, per process.

use crate::{
    ApplicationName, ReleaseId, ReleaseVersion,
    assignment::{Generation, Revision},
    resource::{Mode, ResourceKey},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// How a resource stood at the end of a convergence run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceStatus {
    /// It is as it should be.
    Converged,
    /// It is not, and applying it failed.
    Failed,
    /// It was not tried, because something that it depends on failed.
    Skipped,
    /// This agent cannot do it here (rootless mode, missing facility); nothing is wrong.
    Unsupported,
    /// It differs and the run was not allowed to change it.
    Drifted,
    /// It differs and has to wait: for the node's turn, for a lock that somebody else holds, for a window. What depends on
    /// it waits too.
    Waiting,
}

impl ResourceStatus {
    /// The word in SQL, REST and the dashboard.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Converged => "converged",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Unsupported => "unsupported",
            Self::Drifted => "drifted",
            Self::Waiting => "waiting",
        }
    }
}

/// Why a resource was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeCause {
    /// A new generation asked for it.
    Intentional,
    /// It had drifted from what was already in force, and was put back.
    Corrective,
}

impl ChangeCause {
    /// The word in SQL, REST and the dashboard.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intentional => "intentional",
            Self::Corrective => "corrective",
        }
    }
}

/// One resource in a convergence report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceReport {
    /// Which resource.
    pub key: ResourceKey,
    /// How it stands.
    pub status: ResourceStatus,
    /// What the agent may do about a difference.
    pub mode: Mode,
    /// Present when this run changed it.
    pub change: Option<ChangeCause>,
    /// What was changed or what is wrong, for a person; never holds a secret. One line.
    pub detail: String,
    /// The difference that was put right, or that would be: a unified diff or a line for each fact. Never holds a secret.
    pub diff: Option<String>,
}

impl ResourceReport {
    /// A resource that is as it should be, under the usual mode.
    pub const fn converged(key: ResourceKey) -> Self {
        Self {
            key,
            status: ResourceStatus::Converged,
            mode: Mode::Enforce,
            change: None,
            detail: String::new(),
            diff: None,
        }
    }
}

/// One convergence run of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConvergenceReport {
    /// Rises by one with each report of this node; deduplicates a redelivery.
    pub sequence: u64,
    /// The generation that was in force.
    pub generation: Generation,
    /// Its revision.
    pub revision: Revision,
    /// When the run began, by the node's clock.
    pub started_at: DateTime<Utc>,
    /// When it ended, by the node's clock.
    pub finished_at: DateTime<Utc>,
    /// Every resource of the assignment, in its order; behind them those that are no longer in it and could not be taken
    /// away yet.
    pub resources: Vec<ResourceReport>,
    /// Why the node has to be restarted, when it has to.
    pub reboot_required: Option<String>,
}

impl ConvergenceReport {
    /// Whether every resource is as it should be, cannot be managed here, or is meant to be left alone.
    pub fn converged(&self) -> bool {
        self.resources.iter().all(|r| {
            r.mode == Mode::Ignore
                || matches!(r.status, ResourceStatus::Converged | ResourceStatus::Unsupported)
        })
    }
}

/// The state of one process, in the words of the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessState {
    /// Not running, and not meant to.
    Stopped,
    /// Running, not ready yet.
    Starting,
    /// Running and ready.
    Ready,
    /// Waiting before the next start.
    BackingOff,
    /// Given up after too many unstable exits.
    CrashLooping,
    /// Asked to end.
    Stopping,
}

impl ProcessState {
    /// The word in SQL, REST and the dashboard.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::BackingOff => "backing_off",
            Self::CrashLooping => "crash_looping",
            Self::Stopping => "stopping",
        }
    }
}

/// One instance of an application on a node, as the supervisor sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessReport {
    /// The application.
    pub application: ApplicationName,
    /// The instance number, from 0.
    pub instance: u32,
    /// The release that it runs, when known.
    pub release_id: Option<ReleaseId>,
    /// That release's version, when known.
    pub release_version: Option<ReleaseVersion>,
    /// Its state.
    pub state: ProcessState,
    /// Its process id while it runs.
    pub pid: Option<u32>,
    /// Starts after the first.
    pub restarts: u64,
    /// Exits that were too early and still count towards a crash loop.
    pub unstable_restarts: u64,
    /// When the current process started.
    pub started_at: Option<DateTime<Utc>>,
    /// Percent of one processor.
    pub cpu_percent: f32,
    /// Resident memory in bytes.
    pub memory_bytes: u64,
    /// Why the last process ended, for a person.
    pub last_exit: Option<String>,
    /// What enforces its limits, such as `systemd scope`.
    pub limits_by: Option<String>,
    /// Log lines that were dropped because the disk was full or too slow.
    pub dropped_log_lines: u64,
    /// Addresses that the supervisor holds for the application on this node, such as `tcp 0.0.0.0:3000`.
    pub listening: Vec<String>,
    /// Why the application's last apply on this node failed, while no later one succeeded.
    pub last_failure: Option<String>,
}

/// What happened to a process, or to all of an application on a node: the part of an event that answers "why did it
/// restart?".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessEvent {
    /// The instance number; absent when it is about all of them.
    pub instance: Option<u32>,
    /// The release that the process ran, when known.
    pub release: Option<ReleaseVersion>,
    /// Why, in one line for a person; never holds a secret.
    pub reason: String,
    /// Automatic restarts of the instance so far, when known.
    pub restarts: Option<u64>,
    /// How the process ended, when one did.
    pub exit: Option<ProcessExit>,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessExit {
    /// Its exit code, when it ended by itself and somebody was there to see.
    pub code: Option<i32>,
    /// The signal, when one ended it.
    pub signal: Option<String>,
    /// Its memory limit, or the memory of the machine, was exhausted.
    pub out_of_memory: bool,
    /// How long it had run, in milliseconds.
    pub uptime_ms: u64,
    /// The last lines that it wrote to standard error; never hold a secret.
    pub last_stderr: Vec<String>,
}
