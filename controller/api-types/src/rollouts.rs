//! Rollouts.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Move an environment to a release.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutStart {
    /// The application.
    pub application: String,
    /// The environment.
    pub environment: String,
    /// The version of the release.
    pub release: String,
}

/// Go back to the release that ran before.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutRollback {
    /// The application.
    pub application: String,
    /// The environment.
    pub environment: String,
    /// Go back to this release rather than to the one before.
    #[serde(default)]
    pub release: Option<String>,
}

/// Deploy or rollback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RolloutKind {
    /// To a release that a person named.
    Deploy,
    /// Back to one that ran before.
    Rollback,
}

/// How a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RolloutStatus {
    /// Accepted.
    Planned,
    /// Moving nodes.
    Running,
    /// Going back.
    RollingBack,
    /// Every reachable node runs the release.
    Completed,
    /// A node failed; every touched node has its former release back.
    RolledBack,
    /// A person stopped it; every touched node has its former release back.
    Aborted,
}

impl RolloutStatus {
    /// Nothing more will happen.
    pub const fn terminal(self) -> bool {
        matches!(self, Self::Completed | Self::RolledBack | Self::Aborted)
    }
}

/// How one node of a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RolloutNodeState {
    /// Its turn has not come.
    Pending,
    /// It is the next one, and too many nodes of its role are changing; `reason` says which.
    Waiting,
    /// It was down; it catches up alone.
    Away,
    /// Given the release, not ready yet.
    Moving,
    /// Runs the release.
    Moved,
    /// Could not.
    Failed,
    /// Given its former release back.
    Returning,
    /// Runs its former release again.
    Returned,
    /// Did not confirm in time.
    ReturnUnconfirmed,
}

/// One node of a rollout.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RolloutNode {
    /// The node.
    pub node: String,
    /// How it stands.
    pub state: RolloutNodeState,
    /// What it ran before.
    pub former_release: Option<String>,
    /// Since when it stands so, where known.
    pub since: Option<DateTime<Utc>>,
    /// When waiting ends.
    pub deadline: Option<DateTime<Utc>>,
    /// Why it failed, or for whom it waits.
    pub reason: Option<String>,
}

/// A rollout.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Rollout {
    /// Its id.
    pub id: Uuid,
    /// Deploy or rollback.
    pub kind: RolloutKind,
    /// The application.
    pub application: String,
    /// The environment.
    pub environment: String,
    /// The version of the release that it moves to.
    pub release: String,
    /// What the environment ran before.
    pub former_release: Option<String>,
    /// How it stands.
    pub status: RolloutStatus,
    /// Why it went back.
    pub reason: Option<String>,
    /// Who started it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it last moved.
    pub updated_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Its nodes, in the order in which they are moved.
    pub nodes: Vec<RolloutNode>,
}
