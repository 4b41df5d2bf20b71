//! The fleet configuration: what people declare in fleet files. Serde and JSON Schema come from these types, so the
//! published schema, the parser and the documentation cannot disagree. Unknown keys are errors everywhere.
//!
//! References between the parts (an environment of a node, an application of an override) are checked by
//! `muster-fleet-config`, which knows the line of every value.

use crate::{ApplicationName, EnvironmentName, NodeName, node::Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything that people declare.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FleetConfiguration {
    /// Named groups of nodes under one policy.
    pub environments: BTreeMap<EnvironmentName, Environment>,
    /// The nodes by name; a name is claimed with `muster node invite`.
    pub nodes: BTreeMap<NodeName, Node>,
    /// The applications by name.
    pub applications: BTreeMap<ApplicationName, Application>,
    /// Files, folders and links on the nodes, by a name of your choice.
    pub files: BTreeMap<String, FileEntry>,
}

/// A named group of nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Environment {
    /// Variables for every application of the environment.
    pub env: BTreeMap<String, EnvValue>,
}

/// A declared node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// The environment it belongs to.
    pub environment: EnvironmentName,
    /// What it is for.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// Settings of applications that differ on this node.
    #[serde(default)]
    pub overrides: BTreeMap<ApplicationName, ApplicationOverride>,
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

/// How many instances of an application run on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Instances {
    /// So many.
    Count(#[schemars(range(min = 1, max = 256))] u32),
    /// `max`: one per processor of the node.
    Max(MaxWord),
}

/// The word `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MaxWord {
    /// One instance per processor.
    Max,
}

/// How an instance shows that it can take traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Health {
    /// A GET of this path on the application's port answers with a status from 200 to 399.
    Http(String),
    /// A TCP connection to the application's port succeeds.
    Tcp(bool),
}

/// Cluster: instances share a port that the supervisor holds. Fork: each process opens its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExecMode {
    /// Shared port (the default).
    Cluster,
    /// Own port.
    Fork,
}

/// A Node.js application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// The Node.js versions it runs on, in npm's grammar: `"22"`, `">=20.19"`.
    #[serde(default = "default_nodejs")]
    pub nodejs: String,
    /// The command that builds a release, run by `muster release create`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
    /// The entry point, relative to the release.
    pub script: String,
    /// Arguments for the script.
    #[serde(default)]
    pub args: Vec<String>,
    /// Arguments for Node.js itself.
    #[serde(default)]
    pub node_args: Vec<String>,
    /// How many instances per node, or `max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<Instances>,
    /// Cluster (default) or fork.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec_mode: Option<ExecMode>,
    /// The port, given to the process as `PORT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// How an instance shows that it is ready; default: it listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// The instance says `process.send('ready')` when it is.
    #[serde(default)]
    pub wait_ready: bool,
    /// How long an instance may take to become ready: `3000` (ms), `"10s"`, `"2m"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen_timeout: Option<Duration>,
    /// How long an instance may take to end when asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill_timeout: Option<Duration>,
    /// An exit before this age is unstable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_uptime: Option<Duration>,
    /// Unstable exits until the supervisor gives up (default 16).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_restarts: Option<u32>,
    /// Pause before an automatic restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_delay: Option<Duration>,
    /// The account that runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Variables of the process.
    #[serde(default)]
    pub env: BTreeMap<String, EnvValue>,
    /// Names of secrets that arrive as variables; their values are set with `muster secret set`.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Which nodes run it; default: every node with the role `app_server`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Selector>,
    /// Settings that differ in an environment.
    #[serde(default)]
    pub overrides: BTreeMap<EnvironmentName, ApplicationOverride>,
}

fn default_nodejs() -> String {
    "*".to_owned()
}

/// Settings of an application that an environment or a node may change. Absent means "as declared"; `env` is merged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApplicationOverride {
    /// How many instances per node, or `max`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<Instances>,
    /// The port.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// Variables, over those of the application.
    pub env: BTreeMap<String, EnvValue>,
}

/// A duration: a whole number of milliseconds, or text with a unit (`ms`, `s`, `m`, `h`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Duration {
    /// Milliseconds.
    Milliseconds(u32),
    /// Text such as `"30s"`.
    Text(#[schemars(regex(pattern = "^[0-9]{1,9}(ms|s|m|h)?$"))] String),
}

impl Duration {
    /// In milliseconds; `None` when the text is not a duration or does not fit 32 bits (49 days).
    pub fn as_ms(&self) -> Option<u32> {
        match self {
            Self::Milliseconds(ms) => Some(*ms),
            Self::Text(text) => {
                let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
                let factor = match &text[digits.len()..] {
                    "" | "ms" => 1,
                    "s" => 1_000,
                    "m" => 60_000,
                    "h" => 3_600_000,
                    _ => return None,
                };
                digits.parse::<u32>().ok()?.checked_mul(factor)
            }
        }
    }
}

/// Chooses nodes. Empty parts do not restrict; an empty selector means every node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Selector {
    /// Nodes of these environments.
    pub environments: Vec<EnvironmentName>,
    /// Nodes with one of these roles.
    pub roles: Vec<Role>,
    /// These nodes.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_and_without_units() {
        let cases = [
            ("250", Some(250)),
            ("250ms", Some(250)),
            ("3s", Some(3_000)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
        ];
        for (text, expected) in
            cases.into_iter().chain([("", None), ("s", None), ("1d", None), ("9999999h", None)])
        {
            assert_eq!(Duration::Text(text.into()).as_ms(), expected, "{text:?}");
        }
    }
}
