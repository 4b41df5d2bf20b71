//! What apt would do on a host in memory, and doing it package by package.

use super::FakePackages;
use crate::host::{AptOutcome, PackageChange, PackageRecord, PackageStatus};
use std::collections::{BTreeMap, BTreeSet};

/// What a transaction would do, in order.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub(super) installs: BTreeMap<String, (String, bool)>,
    pub(super) removals: BTreeSet<String>,
}

impl FakePackages {
    pub(super) fn ready(&self, name: &str) -> bool {
        self.installed.get(name).is_some_and(|record| record.status == PackageStatus::Installed)
    }

    pub(super) fn resolve(&self, change: &PackageChange) -> Result<Resolved, String> {
        let mut resolved = Resolved::default();
        for name in change.remove.iter().chain(&change.purge) {
            resolved.removals.insert(name.clone());
        }
        for (name, version) in &change.install {
            self.add(name, version.as_deref(), false, &mut resolved)?;
        }
        // What needs something that goes, goes too.
        loop {
            let offered = |name: &str, version: &str| {
                self.offered.get(name)?.iter().find(|offered| offered.version == version)
            };
            let more: Vec<String> = self
                .installed
                .iter()
                .filter(|(name, record)| {
                    record.status != PackageStatus::ConfigFiles && !resolved.removals.contains(*name)
                })
                .filter(|(name, record)| {
                    offered(name, &record.version).is_some_and(|version| {
                        version.depends.iter().any(|needed| resolved.removals.contains(needed))
                    })
                })
                .map(|(name, _)| name.clone())
                .collect();
            if more.is_empty() {
                break;
            }
            resolved.removals.extend(more);
        }
        if let Some(both) = resolved.installs.keys().find(|name| resolved.removals.contains(*name)) {
            return Err(format!("E: {both} cannot be installed and removed"));
        }
        Ok(resolved)
    }

    fn add(
        &self,
        name: &str,
        version: Option<&str>,
        automatic: bool,
        resolved: &mut Resolved,
    ) -> Result<(), String> {
        if resolved.installs.contains_key(name) || (automatic && self.ready(name)) {
            return Ok(());
        }
        let offered = self.offered.get(name).ok_or_else(|| format!("E: Unable to locate package {name}"))?;
        let chosen = match version {
            None => offered.first(),
            Some(version) => offered.iter().find(|offered| offered.version == version),
        };
        let chosen = chosen.ok_or_else(|| {
            format!("E: Version '{}' for '{name}' was not found", version.unwrap_or_default())
        })?;
        if !self.installed.get(name).is_some_and(|record| {
            record.status == PackageStatus::Installed && record.version == chosen.version
        }) {
            resolved.installs.insert(name.to_owned(), (chosen.version.clone(), automatic));
        }
        for needed in &chosen.depends {
            self.add(needed, None, true, resolved).map_err(|error| {
                format!("The following packages have unmet dependencies:\n {name} : Depends: {needed} but it is not installable\n{error}")
            })?;
        }
        resolved.removals.extend(chosen.conflicts.iter().filter(|other| self.ready(other)).cloned());
        Ok(())
    }

    /// Does it package by package, so that a kill leaves something half done.
    pub(super) fn carry_out(&mut self, change: &PackageChange, resolved: Resolved) -> AptOutcome {
        let mut left = self.killed_after.take();
        let mut output = String::new();
        let mut success = true;
        for name in resolved.removals {
            if exhausted(&mut left) {
                self.interrupted = true;
                return AptOutcome { success: false, output };
            }
            if change.purge.contains(&name) {
                self.installed.remove(&name);
            } else if let Some(record) = self.installed.get_mut(&name) {
                record.status = PackageStatus::ConfigFiles;
            }
        }
        for (name, (version, automatic)) in resolved.installs {
            let killed = exhausted(&mut left);
            let broken = self.broken.contains(&name);
            let status = match (killed, broken) {
                (true, _) => PackageStatus::Unpacked,
                (false, true) => PackageStatus::HalfConfigured,
                (false, false) => PackageStatus::Installed,
            };
            let former = self.installed.get(&name);
            let record = PackageRecord {
                version,
                status,
                held: former.is_some_and(|record| record.held),
                automatic: automatic && former.is_none_or(|record| record.automatic),
                essential: former.is_some_and(|record| record.essential),
            };
            self.installed.insert(name.clone(), record);
            if killed {
                self.interrupted = true;
                return AptOutcome { success: false, output };
            }
            if broken {
                success = false;
                output.push_str(&format!(
                    "dpkg: error processing package {name} (--configure):\n installed {name} package post-installation script subprocess returned error exit status 1\n"
                ));
            }
        }
        for (name, _) in &change.install {
            if let Some(record) = self.installed.get_mut(name) {
                record.automatic = false;
            }
        }
        AptOutcome { success, output }
    }
}

fn exhausted(left: &mut Option<usize>) -> bool {
    match left {
        None => false,
        Some(0) => true,
        Some(n) => {
            *n -= 1;
            false
        }
    }
}
