//! What the agent asks of a host about its packages: what is installed, what could be, and to change it.

use super::HostError;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The packages of a host with dpkg and apt.
pub trait PackageHost {
    /// What dpkg knows, in whole. Answered from memory while its files stay the same.
    fn packages(&self) -> Result<Arc<PackageStates>, HostError>;
    /// Who holds a lock of dpkg or apt right now, if anybody does. Does not wait.
    fn package_lock_holder(&self) -> Result<Option<LockHolder>, HostError>;
    /// The versions that the repositories of this host offer of each of these packages, the one that apt would take first,
    /// then from new to old. A package that none offers is not among the answers.
    fn package_versions(&self, names: &[&str]) -> Result<BTreeMap<String, Vec<String>>, HostError>;
    /// What might have been meant by a name that no repository offers.
    fn similar_packages(&self, name: &str) -> Result<SimilarPackages, HostError>;
    /// How long ago the lists of the repositories were fetched; `None` when there are none.
    fn package_lists_age(&self) -> Option<Duration>;
    /// Fetches the lists: of all repositories, or of those in one file of sources.
    fn update_package_lists(&self, only: Option<&Path>) -> Result<AptOutcome, HostError>;
    /// What apt would do. Changes nothing, needs no lock.
    fn simulate_packages(&self, change: &PackageChange) -> Result<Simulation, HostError>;
    /// Does it, in one transaction of apt.
    fn change_packages(&self, change: &PackageChange) -> Result<AptOutcome, HostError>;
    /// Completes what an interrupted dpkg left behind.
    fn repair_packages(&self) -> Result<AptOutcome, HostError>;
    /// Marks packages that are installed.
    fn mark_packages(&self, mark: PackageMark, names: &[&str]) -> Result<AptOutcome, HostError>;
    /// Whether apt takes the configuration of this host, with one more file of settings when there is one.
    fn check_apt_configuration(&self, with: Option<&Path>) -> Result<AptOutcome, HostError>;
}

/// Everything that dpkg and apt note about packages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackageStates {
    /// The architecture of the host: packages of it need no `:architecture` behind their names.
    pub architecture: String,
    /// By name; of another architecture than the host's, and not for all, with `:architecture`.
    pub packages: BTreeMap<String, PackageRecord>,
    /// dpkg noted steps that it has not completed: it was ended in the middle of its work, or is at it.
    pub interrupted: bool,
}

impl PackageStates {
    /// A name without the architecture of the host behind it: how it is listed here, and how apt writes it.
    pub fn plain<'a>(&self, name: &'a str) -> &'a str {
        match name.split_once(':') {
            Some((plain, architecture)) if architecture == self.architecture || architecture == "all" => {
                plain
            }
            _ => name,
        }
    }

    /// Packages for which dpkg has to be run again.
    pub fn unfinished(&self) -> impl Iterator<Item = &str> {
        self.packages.iter().filter(|(_, record)| record.status.unfinished()).map(|(name, _)| name.as_str())
    }

    /// What is known of a package.
    pub fn get(&self, name: &str) -> Option<&PackageRecord> {
        self.packages.get(self.plain(name))
    }
}

/// What is known of one package that is, or was, installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageRecord {
    /// Its version.
    pub version: String,
    /// How far it is installed.
    pub status: PackageStatus,
    /// Upgrades leave it alone.
    pub held: bool,
    /// It came because another package needs it, and may go with that.
    pub automatic: bool,
    /// The host does not work without it.
    pub essential: bool,
}

/// How far a package is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PackageStatus {
    /// Its configuration is left, nothing else.
    ConfigFiles,
    /// Completely.
    Installed,
    /// It waits for what another package triggers; it works meanwhile.
    Triggers,
    /// Unpacked, not configured.
    Unpacked,
    /// Its configuring failed or was interrupted.
    HalfConfigured,
    /// Its unpacking or removal was interrupted.
    HalfInstalled,
}

impl PackageStatus {
    /// In dpkg's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConfigFiles => "config-files",
            Self::Installed => "installed",
            Self::Triggers => "triggers-pending",
            Self::Unpacked => "unpacked",
            Self::HalfConfigured => "half-configured",
            Self::HalfInstalled => "half-installed",
        }
    }

    /// Whether dpkg has to be run again for it.
    pub const fn unfinished(self) -> bool {
        matches!(self, Self::Unpacked | Self::HalfConfigured | Self::HalfInstalled)
    }
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockHolder {
    /// Its process id; absent when it cannot be seen from here.
    pub pid: Option<u32>,
    /// The beginning of its command line; empty when it cannot be seen.
    pub command: String,
}

impl std::fmt::Display for LockHolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.pid, self.command.as_str()) {
            (None, _) => f.write_str("a process that cannot be seen from here"),
            (Some(pid), "") => write!(f, "process {pid}"),
            (Some(pid), command) => write!(f, "{command} (process {pid})"),
        }
    }
}

/// What might have been meant by a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SimilarPackages {
    /// Packages that provide it: it is a name that several fill.
    pub providers: Vec<String>,
    /// Packages whose names begin alike.
    pub names: Vec<String>,
}

/// What to do in one transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackageChange {
    /// Packages to install, with the version when it matters which.
    pub install: Vec<(String, Option<String>)>,
    /// Packages to remove.
    pub remove: Vec<String>,
    /// Packages to remove with their configuration.
    pub purge: Vec<String>,
    /// Packages that are named may go to an older version.
    pub downgrade: bool,
    /// Packages that are held may be changed.
    pub change_held: bool,
}

impl PackageChange {
    /// Whether there is nothing to do.
    pub const fn is_empty(&self) -> bool {
        self.install.is_empty() && self.remove.is_empty() && self.purge.is_empty()
    }
}

/// What apt would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Simulation {
    /// It found a way.
    pub success: bool,
    /// What it wrote.
    pub output: String,
    /// Packages that would be installed or brought to another version.
    pub installs: Vec<String>,
    /// Packages that would be removed.
    pub removals: Vec<String>,
}

/// How a call of apt or dpkg ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AptOutcome {
    /// It did what it was asked for.
    pub success: bool,
    /// The last part of what it wrote.
    pub output: String,
}

/// Marks of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PackageMark {
    /// Upgrades leave it alone.
    Hold,
    /// They no longer do.
    Unhold,
    /// It is wanted for itself and does not go with what brought it.
    Manual,
}

impl PackageMark {
    /// The word of `apt-mark`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Unhold => "unhold",
            Self::Manual => "manual",
        }
    }
}
