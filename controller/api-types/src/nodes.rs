//! Nodes, enrolment, resources, processes, figures.

use crate::{Convergence, Mode, ModeOverride, Reboot, Turn};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;
use uuid::Uuid;

/// Invite a host to become a node.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolmentCreate {
    /// The name that the node will have.
    pub node: String,
    /// The environment; absent: as the fleet configuration says.
    #[serde(default)]
    pub environment: Option<String>,
    /// `load_balancer`, `app_server`, `datastore`; empty: as the fleet configuration says.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Seconds that the token is valid (default 900, at most 604800).
    #[serde(default)]
    pub ttl_s: Option<u32>,
    /// The name belongs to an enrolled node, and the new host is to take its place.
    #[serde(default)]
    pub replace: bool,
}

/// A new invitation. The token is shown this once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct EnrolmentCreated {
    /// The record.
    pub enrolment: Enrolment,
    /// `muster_join_<id>_<secret>_<sha256 of the fleet root>`.
    pub token: String,
    /// Where the agent reaches the controller.
    pub controller_url: String,
    /// The line to run on the host. It installs the agent and joins; where `install_problem` is given, it only joins,
    /// with an agent that is there.
    pub command: String,
    /// The same as user data of cloud-init.
    pub cloud_init: Option<String>,
    /// Why this controller cannot install the agent, and what to do about it.
    pub install_problem: Option<String>,
}

impl fmt::Debug for EnrolmentCreated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolmentCreated").field("enrolment", &self.enrolment).finish_non_exhaustive()
    }
}

/// How an invitation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EnrolmentStatus {
    /// Not used yet.
    Invited,
    /// A host joined with it.
    Enrolled,
    /// Too late.
    Expired,
    /// Taken back.
    Withdrawn,
}

/// One invitation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Enrolment {
    /// Its id.
    pub id: Uuid,
    /// The name that it is bound to.
    pub node: String,
    /// The environment.
    pub environment: String,
    /// The roles.
    pub roles: Vec<String>,
    /// How it stands.
    pub status: EnrolmentStatus,
    /// Who invited.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When the token ends.
    pub expires_at: DateTime<Utc>,
    /// When a host joined.
    pub enrolled_at: Option<DateTime<Utc>>,
}

/// Whether the controller hears from a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Liveness {
    /// Enrolled, not heard yet.
    Pending,
    /// Beats arrive.
    Up,
    /// A beat is overdue.
    Late,
    /// Several beats are overdue.
    Down,
    /// Its identity was withdrawn.
    Revoked,
}

/// A node in a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NodeSummary {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its environment.
    pub environment: String,
    /// Its roles.
    pub roles: Vec<String>,
    /// Whether the controller hears from it.
    pub liveness: Liveness,
    /// Since when it is so.
    pub liveness_changed_at: DateTime<Utc>,
    /// The last beat.
    pub last_heartbeat_at: Option<DateTime<Utc>>,
    /// Everything is as it should be; absent before the first report.
    pub converged: Option<bool>,
    /// How it stands, in one word.
    pub convergence: Convergence,
    /// The generation that it should be at.
    pub generation: u64,
    /// The generation that it last reported.
    pub reported_generation: u64,
    /// Resources that failed or may not be changed: `failed_count` and `drifted_count`.
    pub problem_count: u32,
    /// Resources in all.
    pub resource_count: u32,
    /// Resources that failed, or were skipped because others did.
    pub failed_count: u32,
    /// Resources that differ and may not be changed.
    pub drifted_count: u32,
    /// Resources that differ and have to wait.
    pub waiting_count: u32,
    /// Why it has to be restarted.
    pub reboot_required: Option<String>,
    /// The mode that a person has set for the whole node.
    pub mode: Mode,
    /// Modes that people have set, for the node and for its resources.
    pub mode_override_count: u32,
    /// Processes in all.
    pub process_count: u32,
    /// Processes that are ready.
    pub process_ready_count: u32,
    /// Percent of all processors, latest.
    pub cpu_percent: Option<f32>,
    /// Memory in use, bytes, latest.
    pub memory_used_bytes: Option<u64>,
    /// Memory in all, bytes, latest.
    pub memory_total_bytes: Option<u64>,
    /// Disk in use, bytes, latest.
    pub disk_used_bytes: Option<u64>,
    /// Disk in all, bytes, latest.
    pub disk_total_bytes: Option<u64>,
    /// Load over one minute, latest.
    pub load_1: Option<f32>,
}

/// A node in full.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NodeDetail {
    /// What the list shows.
    #[serde(flatten)]
    pub summary: NodeSummary,
    /// When it joined.
    pub enrolled_at: DateTime<Utc>,
    /// When its identity was withdrawn.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When its certificate ends.
    pub certificate_expires_at: Option<DateTime<Utc>>,
    /// What the host says of itself.
    pub facts: NodeFacts,
    /// When it was last seen converged.
    pub converged_at: Option<DateTime<Utc>>,
    /// Why no new assignment could be compiled for it.
    pub compile_error: Option<String>,
    /// Modes that people have set for it and for its resources.
    pub mode_overrides: Vec<ModeOverride>,
    /// Its turn to change disruptively, or that it waits for it.
    pub turn: Option<Turn>,
    /// The restart that a person wants.
    pub reboot_request: Option<Reboot>,
    /// Its resources, in the order in which they are applied.
    pub resources: Vec<ResourceState>,
    /// Its processes.
    pub processes: Vec<Process>,
}

/// What a host says of itself.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NodeFacts {
    /// Its own idea of its name.
    pub hostname: String,
    /// Distribution and version.
    pub os: String,
    /// Kernel release.
    pub kernel: String,
    /// Processor architecture.
    pub architecture: String,
    /// Logical processors.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// The agent's version.
    pub agent_version: String,
    /// The agent runs without root.
    pub rootless: bool,
}

/// How a resource stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResourceStatus {
    /// As it should be.
    Converged,
    /// Applying it failed.
    Failed,
    /// Not tried: something that it depends on failed.
    Skipped,
    /// This agent cannot do it here.
    Unsupported,
    /// It differs and may not be changed.
    Drifted,
    /// It differs and has to wait: for a turn, a lock, a window.
    Waiting,
}

/// Why a resource was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeCause {
    /// A new generation asked for it.
    Intentional,
    /// It had drifted and was put back.
    Corrective,
}

/// A resource of a node.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ResourceState {
    /// `kind:name`.
    pub key: String,
    /// The kind.
    pub kind: String,
    /// How it stands.
    pub status: ResourceStatus,
    /// What the agent may do about a difference.
    pub mode: Mode,
    /// What is wrong, or how it is.
    pub detail: String,
    /// It is known what differs: `GET /api/v1/nodes/{name}/resource?key=...` shows it.
    pub differs: bool,
    /// When this was reported.
    pub reported_at: DateTime<Utc>,
    /// When it was last changed.
    pub changed_at: Option<DateTime<Utc>>,
    /// Why it was last changed.
    pub change: Option<ChangeCause>,
    /// What was changed then.
    pub change_detail: Option<String>,
}

/// The state of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

/// One instance of an application on a node.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Process {
    /// The node.
    pub node: String,
    /// Its environment.
    pub environment: String,
    /// The application.
    pub application: String,
    /// The instance number, from 0.
    pub instance: u32,
    /// The version of the release that it runs.
    pub release: Option<String>,
    /// Its state.
    pub state: ProcessState,
    /// Its process id.
    pub pid: Option<u32>,
    /// Starts after the first.
    pub restarts: u64,
    /// When the current process started.
    pub started_at: Option<DateTime<Utc>>,
    /// Percent of one processor.
    pub cpu_percent: f32,
    /// Resident memory in bytes.
    pub memory_bytes: u64,
    /// Exits that were too early and still count towards a crash loop.
    #[serde(default)]
    pub unstable_restarts: u64,
    /// Why the last process ended.
    pub last_exit: Option<String>,
    /// What enforces its limits, such as `systemd scope`.
    #[serde(default)]
    pub limits_by: Option<String>,
    /// Log lines that were dropped because the disk was full or too slow.
    #[serde(default)]
    pub dropped_log_lines: u64,
    /// Addresses on which the application listens on this node, such as `tcp 0.0.0.0:3000`.
    #[serde(default)]
    pub listening: Vec<String>,
    /// Why the application's last apply on this node failed, while no later one succeeded.
    #[serde(default)]
    pub last_failure: Option<String>,
    /// When the node said so.
    pub reported_at: DateTime<Utc>,
}

/// Figures of a node over a time.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MetricsSeries {
    /// Seconds between points; 0 for raw samples.
    pub step_s: u32,
    /// Oldest first.
    pub points: Vec<MetricsPoint>,
}

/// The figures of a node at a time (or averaged over a step that begins there).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MetricsPoint {
    /// When.
    pub at: DateTime<Utc>,
    /// Percent of all processors.
    pub cpu_percent: f32,
    /// Memory in use, bytes.
    pub memory_used_bytes: u64,
    /// Memory in all, bytes.
    pub memory_total_bytes: u64,
    /// Swap in use, bytes.
    pub swap_used_bytes: u64,
    /// Disk in use, bytes.
    pub disk_used_bytes: u64,
    /// Disk in all, bytes.
    pub disk_total_bytes: u64,
    /// Load over one minute.
    pub load_1: f32,
    /// Load over five minutes.
    pub load_5: f32,
    /// Load over fifteen minutes.
    pub load_15: f32,
    /// Bytes received per second.
    pub network_rx_bytes_per_s: u64,
    /// Bytes sent per second.
    pub network_tx_bytes_per_s: u64,
}
