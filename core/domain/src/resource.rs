//! The primitive resources that an agent understands. The agent knows nothing of roles, environments or fleets: a new role
//! is a new compiler module and these stay.

mod accounts;
mod application;
mod certificate;
mod firewall;
mod packages;
mod paths;
mod services;
mod system;

pub use accounts::{AuthorizedKey, Ensure, Group, User};
pub use application::{
    Application, CombinedLog, ExecMode, Interpreter, Limits, LogFile, LogRotation, Logs, ProcessSettings,
    Readiness, Watch,
};
pub use certificate::Certificate;
pub use firewall::{Firewall, FirewallPolicy, FirewallRule, PortRange, RuleAction, Transport};
pub use packages::{AptRepository, OsUpdates, Package, PackageEnsure, UpdateScope};
pub use paths::{Directory, File, Symlink, Validator};
pub use services::{Command, CronJob, Logrotate, Service, SystemdUnit};
pub use system::{Hostname, Hosts, HostsEntry, Sshd, Sysctl, Timezone};

use crate::names::InvalidName;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The identity of a resource within an assignment: `kind:name`, for example `file:/etc/motd` or `application:web`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceKey(String);

impl ResourceKey {
    /// The longest accepted key: a path of the longest length that Linux takes, and a kind before it.
    pub const MAX_BYTES: usize = 4096 + 64;

    /// Builds the key of a resource.
    pub fn new(kind: &str, name: impl fmt::Display) -> Self {
        Self(format!("{kind}:{name}"))
    }

    /// Parses a key that came from outside.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidName> {
        let text = text.into();
        let ok = text.len() <= Self::MAX_BYTES
            && !text.chars().any(char::is_control)
            && text.split_once(':').is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty());
        if ok {
            Ok(Self(text))
        } else {
            Err(InvalidName {
                kind: "resource",
                given: text.chars().take(80).collect(),
                rule: "use kind:name without control characters",
            })
        }
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first colon.
    pub fn kind(&self) -> &str {
        self.0.split_once(':').map_or(&self.0, |(kind, _)| kind)
    }

    /// The part behind it.
    pub fn name(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, name)| name)
    }
}

impl TryFrom<String> for ResourceKey {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::parse(text)
    }
}

impl From<ResourceKey> for String {
    fn from(key: ResourceKey) -> String {
        key.0
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One resource of an assignment: what it is, and what has to be in place before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Unique within the assignment.
    pub key: ResourceKey,
    /// Keys that must be converged first. A resource whose dependency failed is skipped, not tried.
    pub depends_on: Vec<ResourceKey>,
    /// Keys that come first, and after whose change it is reloaded (a command is run). Their failure does not hold it up:
    /// what was in place before still is.
    pub reload_on: Vec<ResourceKey>,
    /// The same with a restart.
    pub restart_on: Vec<ResourceKey>,
    /// What the agent may do about a difference.
    pub mode: Mode,
    /// What becomes of it when it is no longer part of the assignment.
    pub on_removal: OnRemoval,
    /// What it should be.
    pub desired: DesiredState,
}

impl Resource {
    /// A resource that is enforced, kept when it is no longer declared, and reloads for nobody.
    pub fn new(key: ResourceKey, depends_on: Vec<ResourceKey>, desired: DesiredState) -> Self {
        Self {
            key,
            depends_on,
            reload_on: Vec::new(),
            restart_on: Vec::new(),
            mode: Mode::default(),
            on_removal: OnRemoval::default(),
            desired,
        }
    }

    /// Everything that comes before it: what it depends on, and what it watches.
    pub fn comes_after(&self) -> impl Iterator<Item = &ResourceKey> {
        self.depends_on.iter().chain(&self.reload_on).chain(&self.restart_on)
    }
}

/// What the agent may do about a difference. The strictest of resource, node and environment holds.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Put it right.
    #[default]
    Enforce,
    /// Say it, change nothing.
    Report,
    /// Do not even look.
    Ignore,
}

impl Mode {
    /// Every mode, the one that does most first.
    pub const ALL: [Self; 3] = [Self::Enforce, Self::Report, Self::Ignore];

    /// The word in fleet files, SQL, REST and the dashboard.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Report => "report",
            Self::Ignore => "ignore",
        }
    }

    /// Reads the word back.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }
}

/// What becomes of a resource on the node when it is no longer part of the assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnRemoval {
    /// It stays, and that is reported.
    #[default]
    Keep,
    /// It is taken away.
    Remove,
}

/// The desired state of one resource, by kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "a node has some hundred resources, and a box would be in the way of every match"
)]
pub enum DesiredState {
    /// A source of packages.
    AptRepository(AptRepository),
    /// A package of the distribution.
    Package(Package),
    /// Which upgrades are installed by themselves.
    OsUpdates(OsUpdates),
    /// A group of the node.
    Group(Group),
    /// A user of the node.
    User(User),
    /// Who may sign in as a user.
    AuthorizedKey(AuthorizedKey),
    /// The node's own name.
    Hostname(Hostname),
    /// Names that it resolves by itself.
    Hosts(Hosts),
    /// Its time zone.
    Timezone(Timezone),
    /// A kernel setting.
    Sysctl(Sysctl),
    /// A folder with an owner and a mode.
    Directory(Directory),
    /// A regular file with its content.
    File(File),
    /// A regular file whose content is a secret.
    SecretFile(File),
    /// A symbolic link.
    Symlink(Symlink),
    /// A certificate of the fleet, and its key.
    Certificate(Certificate),
    /// A unit file of systemd.
    SystemdUnit(SystemdUnit),
    /// Rules for logrotate.
    Logrotate(Logrotate),
    /// A job of cron.
    CronJob(CronJob),
    /// Settings of the SSH server.
    Sshd(Sshd),
    /// What the node lets in and out.
    Firewall(Firewall),
    /// A service of systemd.
    Service(Service),
    /// A Node.js that satisfies a version range.
    Nodejs(Nodejs),
    /// A command behind a guard.
    Command(Command),
    /// A release of an application, and its processes.
    Application(Application),
}

impl DesiredState {
    /// The word for the kind, as it stands in keys, SQL, REST and the dashboard.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::AptRepository(_) => "apt_repository",
            Self::Package(_) => "package",
            Self::OsUpdates(_) => "os_updates",
            Self::Group(_) => "group",
            Self::User(_) => "user",
            Self::AuthorizedKey(_) => "authorized_key",
            Self::Hostname(_) => "hostname",
            Self::Hosts(_) => "hosts",
            Self::Timezone(_) => "timezone",
            Self::Sysctl(_) => "sysctl",
            Self::Directory(_) => "directory",
            Self::File(_) => "file",
            Self::SecretFile(_) => "secret_file",
            Self::Symlink(_) => "symlink",
            Self::Certificate(_) => "certificate",
            Self::SystemdUnit(_) => "systemd_unit",
            Self::Logrotate(_) => "logrotate",
            Self::CronJob(_) => "cron_job",
            Self::Sshd(_) => "sshd",
            Self::Firewall(_) => "firewall",
            Self::Service(_) => "service",
            Self::Nodejs(_) => "nodejs",
            Self::Command(_) => "command",
            Self::Application(_) => "application",
        }
    }
}

/// A Node.js runtime. One that is installed and satisfies `range` is used; else the newest version that does is installed
/// side by side with the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nodejs {
    /// A version range in npm's grammar: `22`, `>=20.19 <23`, `20.20.2`.
    pub range: String,
    /// Where releases of Node.js are fetched from, in the layout of its own distribution. Absent means npm's registry, where
    /// the node has npm or its settings, else the distribution of Node.js itself.
    pub mirror: Option<String>,
}
