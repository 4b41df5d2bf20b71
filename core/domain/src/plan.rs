//! What a convergence run would change, found out without changing anything.

use crate::{
    assignment::{Generation, Revision},
    observed::ChangeCause,
    resource::{Mode, ResourceKey},
};
use serde::{Deserialize, Serialize};

/// What would become of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlannedChange {
    /// Nothing: it is as it should be.
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

impl PlannedChange {
    /// Every change.
    pub const ALL: [Self; 9] = [
        Self::None,
        Self::Change,
        Self::Remove,
        Self::Release,
        Self::Reload,
        Self::Restart,
        Self::Run,
        Self::Skip,
        Self::Unknown,
    ];

    /// The word in REST and the dashboard.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Change => "change",
            Self::Remove => "remove",
            Self::Release => "release",
            Self::Reload => "reload",
            Self::Restart => "restart",
            Self::Run => "run",
            Self::Skip => "skip",
            Self::Unknown => "unknown",
        }
    }

    /// Whether something on the node would be another than before.
    pub const fn changes(self) -> bool {
        match self {
            Self::Change | Self::Remove | Self::Reload | Self::Restart | Self::Run => true,
            Self::None | Self::Release | Self::Skip | Self::Unknown => false,
        }
    }
}

/// What would become of one resource in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedResource {
    /// Which resource.
    pub key: ResourceKey,
    /// What would become of it.
    pub change: PlannedChange,
    /// Anything but `enforce` means that the change is shown and not made.
    pub mode: Mode,
    /// Why it would be changed; absent when it would not.
    pub cause: Option<ChangeCause>,
    /// The change needs the node's turn.
    pub disruptive: bool,
    /// What would be done, or why it cannot be told. One line; never holds a secret.
    pub detail: String,
    /// A unified diff or a line for each fact. Never holds a secret.
    pub diff: Option<String>,
}

/// What a run of a node would do now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePlan {
    /// The generation in force.
    pub generation: Generation,
    /// The revision that was planned: of the candidate, or of the assignment in force.
    pub revision: Revision,
    /// Every resource in the order in which it would be applied; behind them those that are no longer declared.
    pub resources: Vec<PlannedResource>,
    /// Why the node has to be restarted already, without this plan.
    pub reboot_required: Option<String>,
}
