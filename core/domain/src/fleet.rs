//! The fleet configuration: what people declare in fleet files. Serde and JSON Schema come from these types, so the
//! published schema, the parser and the documentation cannot disagree. Unknown keys are errors everywhere.
//!
//! References between the parts (an environment of a node, an application of an override) are checked by
//! `muster-fleet-config`, which knows the line of every value.

mod application;
mod change;
mod lists;
mod policy;
mod processes;
mod quantities;

pub use application::{Application, ExecMode, Health, Instances, MaxWord};
pub use change::ApplicationOverride;
pub use lists::split_words;
pub use policy::MaxChanging;
pub use processes::{KillSignal, Limits, LogRotation, LogType, OwnFile, Runner, Watch};
pub use quantities::{Duration, Share, Size};

use crate::{ApplicationName, EnvironmentName, NodeName, node::Role, resource::Mode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whether a setting is on as it is without a word: then it is not written down.
fn on(value: &bool) -> bool {
    *value
}

/// The default of settings that are on.
const fn yes() -> bool {
    true
}

/// Whether a setting is off as it is without a word.
fn off(value: &bool) -> bool {
    !*value
}

/// Everything that people declare.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FleetConfiguration {
    /// Named groups of nodes under one policy.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environments: BTreeMap<EnvironmentName, Environment>,
    /// The nodes by name; a name is claimed with `muster node invite`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<NodeName, Node>,
    /// The applications by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub applications: BTreeMap<ApplicationName, Application>,
    /// Files, folders and links on the nodes, by a name of your choice.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, FileEntry>,
}

/// A named group of nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Environment {
    /// Variables for every application of the environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, EnvValue>,
    /// What is done about differences on its nodes: `enforce` puts them right, `report` says them and changes nothing, and
    /// `ignore` does not even look. The strictest of resource, node and environment holds. Default: enforce.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<Mode>,
    /// How many nodes of a role may be changing disruptively at once, by configuration, releases and reboots together: a
    /// number, or a percentage of the nodes of that role. Default: 1, or 25% where that is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_changing: Option<MaxChanging>,
}

impl Environment {
    /// How many of `nodes` nodes of one role may be changing disruptively at once; at least one.
    pub fn changing_at_most(&self, nodes: usize) -> usize {
        self.max_changing.as_ref().map_or_else(|| MaxChanging::default_of(nodes), |most| most.of(nodes))
    }
}

/// A declared node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// The environment it belongs to.
    pub environment: EnvironmentName,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
    /// Settings of applications that differ on this node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub overrides: BTreeMap<ApplicationName, ApplicationOverride>,
    /// What is done about differences on this node: `enforce`, `report` or `ignore`. The strictest of resource, node and
    /// environment holds. Default: enforce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<Mode>,
}

impl Node {
    /// A node of an environment, with no role and nothing of its own.
    pub fn of(environment: EnvironmentName) -> Self {
        Self { environment, roles: Vec::new(), overrides: BTreeMap::new(), enforcement: None }
    }
}

/// A value of an environment variable. YAML's numbers and truth values are taken as they are written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum EnvValue {
    /// Text, as it is.
    Text(String),
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
}

impl EnvValue {
    /// The text that the process sees.
    pub fn to_text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Bool(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
        }
    }
}

/// Chooses nodes. Empty parts do not restrict; an empty selector means every node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Selector {
    /// Nodes of these environments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<EnvironmentName>,
    /// Nodes with one of these roles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
    /// These nodes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeName>,
}

/// A file, a folder or a link on the nodes that `on` chooses. Exactly one of `content`, `source`, `link_to` and
/// `directory: true` is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Absolute path on the node.
    pub path: String,
    /// The content itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// A file beside the fleet files that holds the content, relative to the folder that is applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Makes it a symbolic link to this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_to: Option<String>,
    /// Makes it a folder.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub directory: bool,
    /// Permissions in octal, in quotes: `"0644"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^0?[0-7]{3,4}$"))]
    pub mode: Option<String>,
    /// Owner by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Group by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Which nodes have it; default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Selector>,
}
