//! The base role: what every node has. Nothing of it is applied unless there is a `base:` section; with one, each part has
//! sensible defaults and can be switched off by itself.

use super::lists::{self, Texts};
use super::system::{FirewallDefaults, SysctlValue};
use super::{Common, EnvValue, Selector, Size, on, yes};
use crate::resource::{FirewallPolicy, Mode, OnRemoval};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What every node has. An empty section means the defaults of all parts; `false` switches a part off.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Base {
    /// The people who look after the nodes: an account with their keys on each, and sudo. Default: none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub admins: BTreeMap<String, Admin>,
    /// The SSH server: nobody signs in with a password, and root not at all when there is an admin with sudo. Default: on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh: Option<Part<BaseSsh>>,
    /// The firewall: denies what is not allowed; SSH and what the roles of a node need are. Default: on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firewall: Option<Part<BaseFirewall>>,
    /// Updates that are installed by themselves, and when a node may restart for them. Default: on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updates: Option<Part<BaseUpdates>>,
    /// What keeps the clock right: `timesyncd`, `chrony`, or false. Default: timesyncd.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_sync: Option<Part<TimeSync>>,
    /// How much the journal may keep. Default: on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal: Option<Part<BaseJournal>>,
    /// Log files are rotated: logrotate is installed, and its timer runs. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logrotate: Option<bool>,
    /// The time zone: `Etc/UTC`, `Europe/Berlin`. Default: as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// A node is called as it is declared. Default: false, its host name is left as it is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hostname: bool,
    /// Names that every node resolves by itself, by address: `{10.0.0.5: [db, db.internal]}`. Default: none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<String, Names>,
    /// Packages that every node has, in whichever version. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "lists::texts")]
    #[schemars(with = "Texts")]
    pub packages: Vec<String>,
    /// Kernel settings that every node has: `{vm.swappiness: 10}`. Default: none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctl: BTreeMap<String, SysctlValue>,
    /// Which nodes have all this. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<Selector>,
    /// What is done about a difference in any of it: `enforce`, `report` or `ignore`. The strictest of this, the node and its
    /// environment holds. Default: enforce.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<Mode>,
    /// What becomes of it on a node when it is no longer declared there: `keep` or `remove`. Keys and sudo of an admin who
    /// is no longer declared are taken away whatever it says. Default: keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_removal: Option<OnRemoval>,
}

impl Base {
    /// What its parts have in common with entries of sections.
    pub fn common(&self) -> Common<'_> {
        Common {
            on: self.on.as_ref(),
            enforcement: self.enforcement,
            on_removal: self.on_removal,
            ..Common::default()
        }
    }

    /// Whether log files are rotated.
    pub fn rotates_logs(&self) -> bool {
        self.logrotate.unwrap_or(true)
    }

    /// Whether somebody could still become root when root cannot sign in.
    pub fn has_sudo(&self) -> bool {
        self.admins.values().any(|admin| admin.sudo)
    }
}

/// A part of the base role: switched on or off, or with settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "{T}Part")]
pub enum Part<T> {
    /// `true`: as it is without a word; `false`: not at all.
    Switch(bool),
    /// With settings.
    Settings(T),
}

/// The settings of a part in force; `None` when it is switched off.
pub fn in_force<T: Clone + Default>(part: Option<&Part<T>>) -> Option<T> {
    match part {
        None | Some(Part::Switch(true)) => Some(T::default()),
        Some(Part::Switch(false)) => None,
        Some(Part::Settings(settings)) => Some(settings.clone()),
    }
}

/// Names of an address: a list, or one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Names(
    #[serde(deserialize_with = "lists::texts")]
    #[schemars(with = "Texts")]
    pub Vec<String>,
);

/// Somebody who looks after the nodes: an account of the same name, with keys, and sudo without a password (there is none).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// SSH keys, as in `authorized_keys`; others of that account are taken away. Required.
    #[serde(deserialize_with = "lists::texts")]
    #[schemars(with = "Texts")]
    pub keys: Vec<String>,
    /// May become root. Default: true.
    #[serde(default = "yes", skip_serializing_if = "on")]
    pub sudo: bool,
    /// Groups to be in: `[adm, systemd-journal]`. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lists::texts")]
    #[schemars(with = "Texts")]
    pub groups: Vec<String>,
    /// The shell. Default: `/bin/bash`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
}

/// Settings of the SSH server. They stand in a file of their own that is read first, so that they win.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BaseSsh {
    /// The port. Default: as it is, 22 for the firewall.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// Whether somebody may sign in with a password. Default: false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub password_authentication: bool,
    /// Whether root may sign in: `no`, `prohibit-password` (with a key), `forced-commands-only` or `yes`. Default: no when
    /// there is an admin with sudo, else prohibit-password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permit_root_login: Option<RootLogin>,
    /// Addresses or networks that may connect; the firewall keeps others out. Default: anywhere.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "lists::texts")]
    #[schemars(with = "Texts")]
    pub from: Vec<String>,
    /// More settings, by their keywords in `sshd_config`: `{MaxAuthTries: 3}`. Default: none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, EnvValue>,
}

/// Whether root may sign in over SSH.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RootLogin {
    /// Not at all.
    No,
    /// Not with a password.
    ProhibitPassword,
    /// With a key that allows one command.
    ForcedCommandsOnly,
    /// In every way.
    Yes,
}

impl RootLogin {
    /// The word of `sshd_config`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::ProhibitPassword => "prohibit-password",
            Self::ForcedCommandsOnly => "forced-commands-only",
            Self::Yes => "yes",
        }
    }
}

/// What the firewall of every node does. Rules for some nodes stand in the section `firewall`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BaseFirewall {
    /// Connections to a node that no rule speaks of: `deny`, `reject` or `allow`. Default: deny.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incoming: Option<FirewallPolicy>,
    /// Connections from a node that no rule speaks of: `allow`, `deny` or `reject`. Default: allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outgoing: Option<FirewallPolicy>,
    /// Rules that are not declared are taken away; `false` leaves those that somebody made on a node. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclusive: Option<bool>,
    /// Ports that are let through on every node: `9100/tcp`, or a list of such. Default: SSH, and what the roles need.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "lists::texts")]
    #[schemars(with = "Texts")]
    pub allow: Vec<String>,
}

impl BaseFirewall {
    /// What happens to connections that no rule speaks of.
    pub fn defaults(&self) -> FirewallDefaults {
        let Self { incoming, outgoing, exclusive, allow: _ } = self;
        FirewallDefaults { incoming: *incoming, outgoing: *outgoing, exclusive: *exclusive }
    }
}

/// Which updates are installed by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BaseUpdates {
    /// Security updates: `daily` or `never`. Default: daily.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security: Option<Often>,
    /// All other updates of the configured sources: `daily` or `never`. Default: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<Often>,
    /// When a node may restart for an update that needs it, one node of a role after the other: `"Sun 03:00-05:00"`,
    /// `"daily 02:00-04:00 Europe/Berlin"`. Default: never, it is only reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reboot: Option<String>,
}

/// How often updates are installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Often {
    /// Every day.
    Daily,
    /// Not at all.
    Never,
}

/// What keeps the clock right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeSync {
    /// systemd's own.
    #[default]
    Timesyncd,
    /// chrony.
    Chrony,
}

impl TimeSync {
    /// Its package.
    pub const fn package(self) -> &'static str {
        match self {
            Self::Timesyncd => "systemd-timesyncd",
            Self::Chrony => "chrony",
        }
    }

    /// Its unit.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Timesyncd => "systemd-timesyncd.service",
            Self::Chrony => "chrony.service",
        }
    }
}

/// How much the journal may keep.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BaseJournal {
    /// How much space on the disk. Default: 500M.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_size: Option<Size>,
    /// For how many days. Default: as long as there is space.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3_650))]
    pub max_days: Option<u32>,
}
