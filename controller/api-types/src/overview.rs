//! The first page: are we fine, and if not, where?

use crate::{ConvergenceCounts, EnvironmentSummary, Event, NodeSummary, Rollout, Severity, Turn};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the first page shows.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Overview {
    /// What needs a person, worst first; empty: all is well.
    pub attention: Vec<Attention>,
    /// Health by environment.
    pub environments: Vec<EnvironmentSummary>,
    /// How many nodes stand how.
    pub convergence: ConvergenceCounts,
    /// Who is changing disruptively, who waits for that, who failed at it.
    pub turns: Vec<Turn>,
    /// Every node.
    pub nodes: Vec<NodeSummary>,
    /// Declared nodes that no host has joined as.
    pub missing_nodes: Vec<String>,
    /// Rollouts under way.
    pub active_rollouts: Vec<Rollout>,
    /// The newest events.
    pub recent_events: Vec<Event>,
    /// The version of the fleet configuration in force; 0 when there is none.
    pub fleet_configuration_version: i64,
    /// How many applications are declared.
    pub application_count: u32,
}

/// Something that needs a person.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Attention {
    /// How much to care.
    pub severity: Severity,
    /// One line.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// The node, if it is about one.
    pub node: Option<String>,
    /// The application, if it is about one.
    pub application: Option<String>,
}
