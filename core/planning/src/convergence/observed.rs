//! What was found on a node, as the planner wants to know it.

use super::{
    Guard, ObservedCertificate, ObservedFirewall, ObservedGroup, ObservedHostname, ObservedKeys,
    ObservedPackage, ObservedRendered, ObservedRepository, ObservedService, ObservedSshd, ObservedSysctl,
    ObservedTimezone, ObservedUpdates, ObservedUser,
};
use muster_domain::{Digest, ReleaseId};

/// What was found for one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// For folders, files and links.
    Path(ObservedPath),
    /// For Node.js: the versions that are installed.
    Nodejs {
        /// Without a leading `v`.
        versions: Vec<String>,
    },
    /// For applications.
    Application(ObservedApplication),
    /// For packages.
    Package(ObservedPackage),
    /// For sources of packages.
    Repository(ObservedRepository),
    /// For upgrades by themselves.
    OsUpdates(ObservedUpdates),
    /// For the firewall.
    Firewall(ObservedFirewall),
    /// For groups.
    Group(ObservedGroup),
    /// For users.
    User(ObservedUser),
    /// For the keys of a user.
    Keys(ObservedKeys),
    /// For the node's own name.
    Hostname(ObservedHostname),
    /// For the names that it resolves by itself.
    Hosts {
        /// `/etc/hosts`, when it is there.
        content: Option<String>,
    },
    /// For the time zone.
    Timezone(ObservedTimezone),
    /// For kernel settings.
    Sysctl(ObservedSysctl),
    /// For units of systemd, jobs of cron and rules of logrotate.
    Rendered(ObservedRendered),
    /// For services.
    Service(ObservedService),
    /// For commands: what the guard says.
    Command(Guard),
    /// For a certificate and its key.
    Certificate(ObservedCertificate),
    /// For the SSH server.
    Sshd(ObservedSshd),
    /// It could not be looked at, for this reason.
    Unreadable(String),
    /// This agent cannot manage it here, for this reason.
    Unsupported(String),
}

/// What is at a path, and whom it should belong to in the numbers of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedPath {
    /// What is there.
    pub found: Option<PathState>,
    /// The owner that is wanted.
    pub owner: Principal,
    /// The group that is wanted.
    pub group: Principal,
    /// The agent may give files to others.
    pub privileged: bool,
    /// Who the agent is: user and group.
    pub own: (u32, u32),
}

/// A user or group by name, looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// None is wanted in particular.
    Any,
    /// This one.
    Id(u32),
    /// The host knows none of this name.
    Unknown(String),
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathState {
    /// Its kind.
    pub kind: PathKind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Kinds of things at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathKind {
    /// A regular file with the digest of its content.
    File(Digest),
    /// A folder.
    Directory,
    /// A symbolic link with its target.
    Symlink(String),
    /// A device, a socket, a pipe.
    Other,
}

impl PathKind {
    /// In words.
    pub(super) const fn noun(&self) -> &'static str {
        match self {
            Self::File(_) => "a file",
            Self::Directory => "a folder",
            Self::Symlink(_) => "a symbolic link",
            Self::Other => "a device, socket or pipe",
        }
    }
}

/// What is known of an application on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedApplication {
    /// The wanted release is complete on this node.
    pub release_assembled: bool,
    /// Where the link `current` points.
    pub current: Option<ReleaseId>,
    /// The digest of what the supervisor should run; absent while what runs it is not there.
    pub wanted_spec: Option<String>,
    /// What the supervisor runs; absent when it does not know the application.
    pub processes: Option<ObservedProcesses>,
}

/// What the supervisor says of an application.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObservedProcesses {
    /// The digest of what it runs.
    pub spec: String,
    /// The version of the release that it runs.
    pub release: String,
    /// It remembers the application from an earlier life and has not started it.
    pub awaiting_apply: bool,
    /// Somebody stopped it.
    pub stopped: bool,
    /// A replacement is going on.
    pub replacing: bool,
    /// An instance was given up.
    pub crash_looping: bool,
    /// Instances that are ready.
    pub ready: u32,
    /// Instances that ended by themselves, or were stopped, and are not started again.
    pub ended: u32,
    /// Instances in all.
    pub instances: u32,
    /// What is wrong with those that are not ready, in words.
    pub trouble: Vec<String>,
}
