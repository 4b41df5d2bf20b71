//! The fleet configuration, secrets, environments.

use crate::{ConvergenceCounts, InputError};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// Fleet files, as they are.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FleetConfigurationApply {
    /// Every fleet file, and every file that a `source:` names.
    pub files: Vec<FleetFile>,
    /// Refuse unless this is the version in force: what was seen in the diff is what is applied.
    #[serde(default)]
    pub expected_version: Option<i64>,
}

/// One file.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FleetFile {
    /// Relative to the folder that is applied.
    pub path: String,
    /// UTF-8 text.
    pub content: String,
}

/// How a part of the fleet configuration changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FleetChangeKind {
    /// New.
    Added,
    /// Different.
    Changed,
    /// Gone.
    Removed,
}

/// One part of the fleet configuration that changes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FleetChange {
    /// How.
    pub kind: FleetChangeKind,
    /// Dotted: `applications.web`, `nodes.app-1`.
    pub path: String,
    /// Unified diff of that part; no secrets are in fleet files.
    pub diff: String,
}

/// What applying would change.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FleetConfigurationDiff {
    /// The version in force; 0 when there is none.
    pub current_version: i64,
    /// Part by part; empty: nothing changes.
    pub changes: Vec<FleetChange>,
    /// Nodes whose assignment would change.
    pub affected_nodes: Vec<String>,
    /// What is not wrong but worth a look.
    pub warnings: Vec<InputError>,
}

/// A stored version.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FleetConfigurationVersion {
    /// From 1.
    pub version: i64,
    /// Who applied it.
    pub author: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// The version in force, or an older one, in full.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FleetConfigurationDetail {
    /// The record.
    #[serde(flatten)]
    pub version: FleetConfigurationVersion,
    /// The files as they were applied.
    pub files: Vec<FleetFile>,
    /// The parsed configuration.
    #[schema(value_type = Object)]
    pub configuration: serde_json::Value,
}

/// What applying did.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FleetConfigurationApplied {
    /// The version now in force.
    pub version: i64,
    /// False: it said the same as the version in force, and nothing was stored.
    pub changed: bool,
    /// Nodes whose assignment changed.
    pub affected_nodes: Vec<String>,
    /// Nodes that keep their former assignment, because a new one cannot be compiled.
    pub not_compiled: Vec<NodeNotCompiled>,
}

/// A node that keeps its former assignment.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NodeNotCompiled {
    /// Its name.
    pub node: String,
    /// Why a new one cannot be compiled.
    pub reason: String,
}

/// Set a secret.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretSet {
    /// The value; at most 64 KiB.
    pub value: String,
    /// For this environment only; absent: for each that has no value of its own.
    #[serde(default)]
    pub environment: Option<String>,
}

impl fmt::Debug for SecretSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretSet").field("environment", &self.environment).finish_non_exhaustive()
    }
}

/// A secret, without its value: values never leave the controller through this API.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Secret {
    /// Its name.
    pub name: String,
    /// The environment; absent: for each that has no value of its own.
    pub environment: Option<String>,
    /// Who set it.
    pub updated_by: String,
    /// When.
    pub updated_at: DateTime<Utc>,
    /// Applications that use it.
    pub used_by: Vec<String>,
}

/// An environment.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EnvironmentSummary {
    /// Its name.
    pub name: String,
    /// Declared nodes, enrolled or not.
    pub node_count: u32,
    /// Nodes that beat.
    pub node_up_count: u32,
    /// Nodes that are as they should be.
    pub node_converged_count: u32,
    /// How many enrolled nodes stand how.
    pub convergence: ConvergenceCounts,
}
