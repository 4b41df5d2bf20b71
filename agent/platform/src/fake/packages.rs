//! Packages of a host in memory.

mod apt;

use super::{FakeHost, World};
use crate::host::{
    AptOutcome, FileKind, HostError, LockHolder, PackageChange, PackageHost, PackageMark, PackageRecord,
    PackageStates, PackageStatus, SimilarPackages, Simulation,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What a fleet usually declares. All offered in one version.
const OFFERED: [&str; 32] = [
    "apt-transport-https",
    "chrony",
    "cron",
    "curl",
    "gnupg",
    "haproxy",
    "htop",
    "jq",
    "logrotate",
    "mongodb-org",
    "nftables",
    "nginx",
    "nodejs",
    "npm",
    "openssh-server",
    "postgresql",
    "postgresql-16",
    "rabbitmq-server",
    "redis",
    "redis-server",
    "restic",
    "rsync",
    "rsyslog",
    "ssl-cert",
    "stunnel4",
    "sudo",
    "systemd-timesyncd",
    "tzdata",
    "ufw",
    "unattended-upgrades",
    "unzip",
    "vim",
];

/// The packages of a host in memory, and what goes wrong with them.
#[derive(Debug, Clone)]
pub struct FakePackages {
    /// What the repositories offer, the version that apt would take first.
    pub offered: BTreeMap<String, Vec<FakeVersion>>,
    /// What is, or was, installed.
    pub installed: BTreeMap<String, PackageRecord>,
    /// What further repositories hold, by their address: offered once a file of sources names it and the lists were fetched.
    pub repositories: BTreeMap<String, BTreeMap<String, Vec<FakeVersion>>>,
    /// Who holds the lock.
    pub lock: Option<LockHolder>,
    /// dpkg has noted steps that it did not complete.
    pub interrupted: bool,
    /// How old the lists are.
    pub lists_age: Option<Duration>,
    /// Packages whose configuring fails.
    pub broken: BTreeSet<String>,
    /// apt is killed after it changed so many packages.
    pub killed_after: Option<usize>,
    /// How often apt was asked for lists, for a simulation, for a change.
    pub calls: FakeAptCalls,
}

/// One version of a package that is offered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FakeVersion {
    /// The version.
    pub version: String,
    /// What has to be installed with it.
    pub depends: Vec<String>,
    /// What cannot be installed beside it.
    pub conflicts: Vec<String>,
}

/// How often apt was called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FakeAptCalls {
    /// For lists.
    pub updates: u32,
    /// For a simulation.
    pub simulations: u32,
    /// For a change.
    pub changes: u32,
}

impl Default for FakePackages {
    fn default() -> Self {
        let version = |_: &str| FakeVersion { version: "1.0-1".into(), ..FakeVersion::default() };
        let essential = |name: &str| {
            let record = PackageRecord {
                version: "1.0-1".into(),
                status: PackageStatus::Installed,
                held: false,
                automatic: false,
                essential: true,
            };
            (name.to_owned(), record)
        };
        Self {
            offered: OFFERED.iter().map(|name| ((*name).to_owned(), vec![version(name)])).collect(),
            installed: ["dpkg", "libc6"].map(essential).into(),
            repositories: BTreeMap::new(),
            lock: None,
            interrupted: false,
            lists_age: None,
            broken: BTreeSet::new(),
            killed_after: None,
            calls: FakeAptCalls::default(),
        }
    }
}

impl FakeHost {
    /// Changes its packages and what goes wrong with them.
    pub fn set_packages(&self, change: impl FnOnce(&mut FakePackages)) {
        change(&mut self.world().packages);
    }

    /// Its packages as they are.
    pub fn installed_packages(&self) -> BTreeMap<String, PackageRecord> {
        self.world().packages.installed.clone()
    }

    /// How often apt was called.
    pub fn apt_calls(&self) -> FakeAptCalls {
        self.world().packages.calls
    }
}

impl World {
    /// What keeps apt from changing anything.
    fn apt_blocked(&self) -> Option<String> {
        if let Some(holder) = &self.packages.lock {
            return Some(format!(
                "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by {holder}"
            ));
        }
        if self.faults.read_only {
            return Some(
                "E: Could not open lock file /var/lib/dpkg/lock-frontend - open (30: Read-only file system)"
                    .into(),
            );
        }
        self.faults.disk_full.then(|| "E: Write error - write (28: No space left on device)".to_owned())
    }

    /// Addresses in files of sources.
    fn sources(&self, only: Option<&Path>) -> Vec<String> {
        let files = self.tree.iter().filter(|(path, entry)| {
            entry.kind == FileKind::File
                && match only {
                    Some(only) => path.as_path() == only,
                    None => path.starts_with("/etc/apt/sources.list.d"),
                }
        });
        files
            .flat_map(|(_, entry)| {
                let text = String::from_utf8_lossy(&entry.content).into_owned();
                let uris = text.lines().filter_map(|line| line.strip_prefix("URIs:").map(str::to_owned));
                uris.flat_map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
                    .collect::<Vec<_>>()
            })
            .collect()
    }
}

impl PackageHost for FakeHost {
    fn packages(&self) -> Result<Arc<PackageStates>, HostError> {
        let world = self.world();
        let packages = world.packages.installed.clone();
        let interrupted = world.packages.interrupted;
        Ok(Arc::new(PackageStates { architecture: "amd64".into(), packages, interrupted }))
    }

    fn package_lock_holder(&self) -> Result<Option<LockHolder>, HostError> {
        Ok(self.world().packages.lock.clone())
    }

    fn package_versions(&self, names: &[&str]) -> Result<BTreeMap<String, Vec<String>>, HostError> {
        let world = self.world();
        let offered = |name: &&str| {
            let versions = world.packages.offered.get(name.trim_end_matches(":amd64"))?;
            Some(((*name).to_owned(), versions.iter().map(|offered| offered.version.clone()).collect()))
        };
        Ok(names.iter().filter_map(offered).collect())
    }

    fn similar_packages(&self, _name: &str) -> Result<SimilarPackages, HostError> {
        let names = self.world().packages.offered.keys().cloned().collect();
        Ok(SimilarPackages { providers: Vec::new(), names })
    }

    fn package_lists_age(&self) -> Option<Duration> {
        self.world().packages.lists_age
    }

    fn update_package_lists(&self, only: Option<&Path>) -> Result<AptOutcome, HostError> {
        let mut world = self.world();
        world.packages.calls.updates += 1;
        if let Some(reason) = world.apt_blocked() {
            return Ok(AptOutcome { success: false, output: reason });
        }
        for uri in world.sources(only) {
            let Some(found) = world.packages.repositories.get(&uri).cloned() else {
                let output = format!("E: Failed to fetch {uri}  Could not connect");
                return Ok(AptOutcome { success: false, output });
            };
            world.packages.offered.extend(found);
        }
        if only.is_none() {
            world.packages.lists_age = Some(Duration::ZERO);
        }
        Ok(AptOutcome { success: true, output: String::new() })
    }

    fn simulate_packages(&self, change: &PackageChange) -> Result<Simulation, HostError> {
        let mut world = self.world();
        world.packages.calls.simulations += 1;
        Ok(match world.packages.resolve(change) {
            Err(output) => Simulation { success: false, output, ..Simulation::default() },
            Ok(resolved) => Simulation {
                success: true,
                output: String::new(),
                installs: resolved.installs.into_keys().collect(),
                removals: resolved.removals.into_iter().filter(|name| world.packages.ready(name)).collect(),
            },
        })
    }

    fn change_packages(&self, change: &PackageChange) -> Result<AptOutcome, HostError> {
        let mut world = self.world();
        world.packages.calls.changes += 1;
        if let Some(output) = world.apt_blocked() {
            return Ok(AptOutcome { success: false, output });
        }
        if world.packages.interrupted {
            let output = "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.";
            return Ok(AptOutcome { success: false, output: output.into() });
        }
        match world.packages.resolve(change) {
            Err(output) => Ok(AptOutcome { success: false, output }),
            Ok(resolved) => {
                world.writes += 1;
                Ok(world.packages.carry_out(change, resolved))
            }
        }
    }

    fn repair_packages(&self) -> Result<AptOutcome, HostError> {
        let mut world = self.world();
        if let Some(output) = world.apt_blocked() {
            return Ok(AptOutcome { success: false, output });
        }
        world.writes += 1;
        let packages = &mut world.packages;
        packages.interrupted = false;
        let mut success = true;
        for (name, record) in &mut packages.installed {
            if record.status.unfinished() {
                if packages.broken.contains(name) {
                    success = false;
                } else {
                    record.status = PackageStatus::Installed;
                }
            }
        }
        Ok(AptOutcome { success, output: String::new() })
    }

    fn mark_packages(&self, mark: PackageMark, names: &[&str]) -> Result<AptOutcome, HostError> {
        let mut world = self.world();
        if let Some(output) = world.apt_blocked() {
            return Ok(AptOutcome { success: false, output });
        }
        world.writes += 1;
        for name in names {
            let Some(record) = world.packages.installed.get_mut(*name) else {
                return Ok(AptOutcome {
                    success: false,
                    output: format!("E: Unable to locate package {name}"),
                });
            };
            match mark {
                PackageMark::Hold => record.held = true,
                PackageMark::Unhold => record.held = false,
                PackageMark::Manual => record.automatic = false,
            }
        }
        Ok(AptOutcome { success: true, output: String::new() })
    }

    fn check_apt_configuration(&self, _with: Option<&Path>) -> Result<AptOutcome, HostError> {
        Ok(AptOutcome { success: true, output: String::new() })
    }
}
