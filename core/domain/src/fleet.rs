//! The fleet configuration: what people declare in fleet files. Serde and JSON Schema come from these types, so the
//! published schema, the parser and the documentation cannot disagree. Unknown keys are errors everywhere.
//!
//! References between the parts (an environment of a node, an application of an override) are checked by
//! `muster-fleet-config`, which knows the line of every value.

mod accounts;
mod application;
pub mod base;
mod change;
pub mod declared;
mod edges;
mod entry;
mod files;
mod lists;
mod packages;
mod policy;
mod processes;
mod quantities;
mod services;
mod system;

pub use accounts::{GroupEntry, UserEntry};
pub use application::{Application, ExecMode, Health, Instances, MaxWord};
pub use base::{Admin, Base};
pub use change::ApplicationOverride;
pub use entry::Common;
pub use files::{FileEntry, InvalidValidator};
pub use lists::split_words;
pub use packages::{AptRepositoryEntry, PackageEntry, PackagePresence};
pub use policy::MaxChanging;
pub use processes::{KillSignal, Limits, LogRotation, LogType, OwnFile, Runner, Watch};
pub use quantities::{Duration, Share, Size};
pub use services::{CommandEntry, CronJobEntry, Frequency, LogrotateEntry, ServiceEntry, SystemdUnitEntry};
pub use system::{
    CertificateEntry, Direction, FirewallDefaults, FirewallEntry, HostsLine, NodejsSettings, Ports,
    SysctlEntry, SysctlValue,
};

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
    /// What every node has: admins, SSH, firewall, updates, clock, logs. Nothing of it is applied without this section.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// The applications by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub applications: BTreeMap<ApplicationName, Application>,
    /// Files, folders and links on the nodes, by a name of your choice.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, FileEntry>,
    /// Packages of the nodes, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub packages: BTreeMap<String, PackageEntry>,
    /// Sources of packages, by a name of your choice.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub apt_repositories: BTreeMap<String, AptRepositoryEntry>,
    /// Users of the nodes with their SSH keys, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub users: BTreeMap<String, UserEntry>,
    /// Groups of the nodes, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, GroupEntry>,
    /// Kernel settings, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctl: BTreeMap<String, SysctlEntry>,
    /// Names that the nodes resolve by themselves.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<String, HostsLine>,
    /// Certificates of the fleet for services of the nodes, by a name of your choice.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub certificates: BTreeMap<String, CertificateEntry>,
    /// Unit files of systemd, and drop-ins, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub systemd_units: BTreeMap<String, SystemdUnitEntry>,
    /// Services and other units of systemd, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<String, ServiceEntry>,
    /// Jobs of cron, by a name of your choice.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub cron_jobs: BTreeMap<String, CronJobEntry>,
    /// Rules for logrotate, by a name of your choice.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub logrotate: BTreeMap<String, LogrotateEntry>,
    /// Rules of the firewall, by a name of your choice.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub firewall: BTreeMap<String, FirewallEntry>,
    /// Commands that are run once, or after a change, by a name of your choice.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub commands: BTreeMap<String, CommandEntry>,
    /// Where Node.js comes from.
    #[serde(skip_serializing_if = "NodejsSettings::says_nothing")]
    pub nodejs: NodejsSettings,
}

impl FleetConfiguration {
    /// The sections, in the order in which people think of them.
    pub const SECTIONS: [&str; 19] = [
        "environments",
        "nodes",
        "base",
        "applications",
        "nodejs",
        "packages",
        "apt_repositories",
        "groups",
        "users",
        "files",
        "systemd_units",
        "services",
        "cron_jobs",
        "logrotate",
        "sysctl",
        "hosts",
        "firewall",
        "certificates",
        "commands",
    ];

    /// The files beside the fleet files that are named somewhere.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        let files = self.files.values().map(|entry| &entry.source);
        let units = self.systemd_units.values().map(|entry| &entry.source);
        let rules = self.logrotate.values().map(|entry| &entry.source);
        let keys = self.apt_repositories.values().map(|entry| &entry.key_source);
        files.chain(units).chain(rules).chain(keys).filter_map(Option::as_deref)
    }
}

/// A named group of nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Environment {
    /// Variables for every application of the environment. Default: none.
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
    /// The environment it belongs to. Required.
    pub environment: EnvironmentName,
    /// What it is for: `load_balancer`, `app_server`, `datastore`. Default: nothing in particular.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
    /// Settings of applications that differ on this node. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub overrides: BTreeMap<ApplicationName, ApplicationOverride>,
    /// What is done about differences on this node: `enforce`, `report` or `ignore`. The strictest of resource, node and
    /// environment holds. Default: enforce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<Mode>,
    /// The name that the node gives itself: `app-1.example.com`. Default: as it is, unless `base` says `hostname: true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
}

impl Node {
    /// A node of an environment, with no role and nothing of its own.
    pub fn of(environment: EnvironmentName) -> Self {
        Self { environment, roles: Vec::new(), overrides: BTreeMap::new(), enforcement: None, hostname: None }
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
    /// Nodes of these environments. Default: of all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<EnvironmentName>,
    /// Nodes with one of these roles. Default: with any, or none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
    /// These nodes. Default: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeName>,
}
