//! What hosts are and should be: resources in full, plans, turns, modes, restarts, inspections.

use crate::{ChangeCause, FleetFile, ResourceState};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// How a node stands to what it should be, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Convergence {
    /// Everything is as it should be.
    Converged,
    /// It has not said yet how it stands with what it should be now.
    Pending,
    /// Something differs and has to wait: for a turn, a lock, a window.
    Waiting,
    /// Something differs and may not be changed.
    Drifted,
    /// Something failed, or no assignment could be compiled.
    Failed,
}

/// How many nodes stand how; revoked ones are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ConvergenceCounts {
    /// Everything is as it should be.
    pub converged: u32,
    /// Not said yet.
    pub pending: u32,
    /// Something has to wait.
    pub waiting: u32,
    /// Something differs and may not be changed.
    pub drifted: u32,
    /// Something failed.
    pub failed: u32,
}

/// What the agent may do about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Put it right.
    #[default]
    Enforce,
    /// Say it, change nothing.
    Report,
    /// Do not even look.
    Ignore,
}

/// A mode that a person set, on top of what is declared; the strictest holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModeOverride {
    /// The resource, `kind:name`; absent: the whole node.
    pub resource: Option<String>,
    /// `report` or `ignore`.
    pub mode: Mode,
    /// Why.
    pub reason: String,
    /// Who.
    pub set_by: String,
    /// When.
    pub set_at: DateTime<Utc>,
    /// Until when; absent: until somebody lifts it.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Set the mode of a node, or of one resource on it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModeSet {
    /// `enforce` lifts what was set.
    pub mode: Mode,
    /// `kind:name`; absent: the whole node.
    #[serde(default)]
    pub resource: Option<String>,
    /// Why, in a line; may be left out with `enforce`.
    #[serde(default)]
    pub reason: String,
    /// For so many seconds (at most a year); absent: until somebody lifts it.
    #[serde(default)]
    pub expires_in_s: Option<u32>,
}

/// A resource of a node in full.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ResourceDetail {
    /// The node.
    pub node: String,
    /// What the list shows.
    #[serde(flatten)]
    pub state: ResourceState,
    /// What differs now: a unified diff or a line for each fact, without secrets.
    pub diff: Option<String>,
    /// What the last change put right.
    pub change_diff: Option<String>,
    /// The last changes, the newest first.
    pub changes: Vec<ResourceChange>,
}

/// One change of a resource.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ResourceChange {
    /// Orders the changes of the fleet.
    pub id: i64,
    /// The resource, `kind:name`.
    pub key: String,
    /// When it was reported.
    pub at: DateTime<Utc>,
    /// The generation that was in force.
    pub generation: u64,
    /// Whether something new was asked for, or drift was put right.
    pub cause: ChangeCause,
    /// What was changed.
    pub detail: String,
    /// The difference that was put right, without secrets.
    pub diff: Option<String>,
}

/// What a node wants its turn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TurnKind {
    /// To change services, packages, applications, the firewall, sshd.
    Change,
    /// To be restarted.
    Reboot,
}

/// How a node's turn stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TurnState {
    /// It asked, and others are before it.
    Waiting,
    /// It may change.
    Granted,
    /// Its change failed, or it fell silent in the middle of it. It keeps its place.
    Failed,
}

/// A node that is changing disruptively, waits for that, or failed at it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Turn {
    /// The node.
    pub node: String,
    /// Its environment.
    pub environment: String,
    /// Its roles: places are counted per environment and role.
    pub roles: Vec<String>,
    /// What for.
    pub kind: TurnKind,
    /// Whether something new was asked for, or drift is put right.
    pub cause: ChangeCause,
    /// How it stands.
    pub state: TurnState,
    /// What for, in a line.
    pub reason: String,
    /// Whom it waits for and why, or what failed; empty when it is granted.
    pub detail: String,
    /// Since when it stands so.
    pub since: DateTime<Utc>,
    /// When it ends unless the node asks for longer.
    pub expires_at: Option<DateTime<Utc>>,
    /// The rollout that moves the node.
    pub rollout: Option<Uuid>,
}

/// Restart a node.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RebootCreate {
    /// Why, in a line.
    pub reason: String,
    /// Without waiting for the node's turn.
    #[serde(default)]
    pub now: bool,
}

/// A restart that a person wants; it is gone when the node has done it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reboot {
    /// Its id.
    pub id: Uuid,
    /// Who.
    pub requested_by: String,
    /// When.
    pub requested_at: DateTime<Utc>,
    /// Why.
    pub reason: String,
    /// Without waiting for the node's turn.
    pub now: bool,
}

/// Ask nodes what they would change. Nothing is changed to find out.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanCreate {
    /// Fleet files that are not applied, every one, as for applying. Absent: what is in force. Files need the permission to
    /// apply them: agents carry out the guards and validators in them to find out.
    #[serde(default)]
    pub files: Option<Vec<FleetFile>>,
    /// Only this node.
    #[serde(default)]
    pub node: Option<String>,
    /// Only the nodes of this environment.
    #[serde(default)]
    pub environment: Option<String>,
}

/// A plan as far as it has come. It is kept for ten minutes, by the controller that made it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// Its id.
    pub id: Uuid,
    /// Who asked.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// It is of files that are not applied.
    pub candidate: bool,
    /// Nothing more will come.
    pub finished: bool,
    /// The nodes by name.
    pub nodes: Vec<NodePlan>,
}

/// How far a node is with its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodePlanState {
    /// It was asked.
    Waiting,
    /// It answered.
    Planned,
    /// There is no answer, and `problem` says why.
    Problem,
    /// It is declared, and no host has joined as it yet.
    Missing,
}

/// What a node would do.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NodePlan {
    /// The node.
    pub node: String,
    /// Its environment.
    pub environment: String,
    /// How far it is.
    pub state: NodePlanState,
    /// Why there is no answer.
    pub problem: Option<String>,
    /// How many resources would be changed.
    pub change_count: u32,
    /// The generation in force on the node.
    pub generation: Option<u64>,
    /// Why the node has to be restarted already.
    pub reboot_required: Option<String>,
    /// Resources of which there is something to say, in the order in which they would be applied. Those that are as they
    /// should be are left out and counted.
    pub resources: Vec<PlannedResource>,
    /// Resources that are as they should be.
    pub unchanged_count: u32,
}

/// What would become of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlannedChange {
    /// Nothing.
    None,
    /// It would be made or altered.
    Change,
    /// It is no longer declared, and would be taken away.
    Remove,
    /// It is no longer declared, and would stay without being looked after.
    Release,
    /// A service would be told to read its configuration again.
    Reload,
    /// A service would be restarted.
    Restart,
    /// A command would be run.
    Run,
    /// It would not be tried.
    Skip,
    /// It could not be looked at.
    Unknown,
}

/// What would become of one resource.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PlannedResource {
    /// `kind:name`.
    pub key: String,
    /// What would become of it.
    pub change: PlannedChange,
    /// Anything but `enforce`: the change is shown and would not be made.
    pub mode: Mode,
    /// Whether something new is asked for, or drift would be put right.
    pub cause: Option<ChangeCause>,
    /// The change needs the node's turn.
    pub disruptive: bool,
    /// What would be done, or why it cannot be told.
    pub detail: String,
    /// A unified diff or a line for each fact, without secrets.
    pub diff: Option<String>,
}

/// What is on a host, and how it would be declared.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Inspection {
    /// The node.
    pub node: String,
    /// A part of a fleet file, in YAML; empty when there is nothing to declare.
    pub fragment: String,
    /// What was left out and why, and what to do about it.
    pub notes: Vec<String>,
    /// What the agent found.
    pub inventory: serde_json::Value,
}
