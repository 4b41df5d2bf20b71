//! The record of a rollout: moving an environment to a release, node after node. What happens next is decided in
//! `muster-planning`; these are the words for how it stands.

use crate::{NodeId, ReleaseId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// How one node of a rollout stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum NodeProgress {
    /// Not touched yet.
    Pending,
    /// Not touched yet, although it is the next one: others of its role are changing.
    Waiting {
        /// Since when.
        since: DateTime<Utc>,
        /// For whom and why, for a person.
        reason: String,
    },
    /// It was down when the rollout began; it is given the release and catches up alone.
    Away,
    /// It was given the release and has until `deadline`.
    Moving {
        /// When it was given the release.
        since: DateTime<Utc>,
        /// When waiting ends.
        deadline: DateTime<Utc>,
    },
    /// It runs the release, ready.
    Moved {
        /// When that was seen.
        at: DateTime<Utc>,
    },
    /// It could not.
    Failed {
        /// When that was seen.
        at: DateTime<Utc>,
        /// Why, for a person.
        reason: String,
    },
    /// It is being given its former release back.
    Returning {
        /// When it was given the former release.
        since: DateTime<Utc>,
        /// When waiting ends.
        deadline: DateTime<Utc>,
    },
    /// It runs its former release again.
    Returned {
        /// When that was seen.
        at: DateTime<Utc>,
    },
    /// It did not confirm its former release in time; it is still assigned to it.
    ReturnUnconfirmed {
        /// What is known, for a person.
        reason: String,
    },
}

/// One node of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutNode {
    /// The node.
    pub node: NodeId,
    /// What it ran before; absent when the application was not on it.
    pub former_release: Option<ReleaseId>,
    /// How it stands.
    pub progress: NodeProgress,
}

/// How a rollout stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum RolloutState {
    /// Accepted, waiting for its turn.
    Planned,
    /// Moving nodes.
    Running,
    /// Going back to what ran before.
    RollingBack {
        /// Why, for a person.
        reason: String,
        /// A person asked for it; ends as `Aborted` rather than `RolledBack`.
        aborted: bool,
    },
    /// Every reachable node runs the release.
    Completed,
    /// A node failed and every touched node was given its former release back.
    RolledBack {
        /// Why, for a person.
        reason: String,
    },
    /// A person stopped it; every touched node was given its former release back.
    Aborted {
        /// Why, for a person.
        reason: String,
    },
}

impl RolloutState {
    /// The word in SQL, REST and the dashboard.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Running => "running",
            Self::RollingBack { .. } => "rolling_back",
            Self::Completed => "completed",
            Self::RolledBack { .. } => "rolled_back",
            Self::Aborted { .. } => "aborted",
        }
    }

    /// Nothing more will happen.
    pub const fn terminal(&self) -> bool {
        matches!(self, Self::Completed | Self::RolledBack { .. } | Self::Aborted { .. })
    }
}
