//! Settings of an application that an environment or a node may change: what depends on the machine, or on how near it is
//! to the customers. What an application *is* stays the same everywhere.

use super::lists::{self, Texts, Words};
use super::{Duration, EnvValue, Instances, Limits, LogRotation, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Settings of an application that an environment or a node may change. Absent means "as declared"; `env` and `limits` are
/// merged, everything else replaces what was declared. What a node says wins over its environment.
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
    /// Addresses that the supervisor listens on.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "lists::some_texts")]
    #[schemars(with = "Option<Texts>")]
    pub listen_fds: Option<Vec<String>>,
    /// Arguments for the script.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "lists::some_words")]
    #[schemars(with = "Option<Words>")]
    pub args: Option<Vec<String>>,
    /// Arguments for Node.js (or another interpreter) itself.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "lists::some_words")]
    #[schemars(with = "Option<Words>")]
    pub node_args: Option<Vec<String>>,
    /// Variables, over those of the application.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, EnvValue>,
    /// Whether instances are started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autostart: Option<bool>,
    /// When every instance is restarted; `"0"` for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron_restart: Option<String>,
    /// Above this, an instance is reloaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_memory_restart: Option<Size>,
    /// Memory that the kernel gives to an instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_memory: Option<Size>,
    /// What the kernel does not let an instance exceed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// How long an instance may take to become ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen_timeout: Option<Duration>,
    /// How long an instance may take to end when asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kill_timeout: Option<Duration>,
    /// When log files are rotated, and what is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_rotation: Option<LogRotation>,
    /// The account that runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The group that it runs with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}
