//! What a transaction has to do for each package, what it may not do, and what it did: over what was read, nothing is asked.

use super::attribute;
use muster_domain::resource::{Package, PackageEnsure};
use muster_planning::convergence::{ObservedPackage, PackageState, version_matches};
use muster_platform::{PackageChange, PackageMark, PackageStates, PackageStatus, Simulation};
use std::collections::{BTreeMap, BTreeSet};

/// A package with what there is to do for it.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    pub(super) package: &'a Package,
    pub(super) need: Need,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Install it, or another version of it.
    Install,
    /// Remove it.
    Remove,
    /// Remove it with its configuration.
    Purge,
    /// It is there, or gone, and only marked wrong.
    Mark,
}

pub(super) fn need(package: &Package, found: &ObservedPackage) -> Need {
    match (&package.ensure, &found.state) {
        (PackageEnsure::Present, PackageState::Installed(_)) => Need::Mark,
        (PackageEnsure::Version(pin), PackageState::Installed(version)) if version_matches(pin, version) => {
            Need::Mark
        }
        (PackageEnsure::Present | PackageEnsure::Version(_), _) => Need::Install,
        (PackageEnsure::Absent, PackageState::Absent | PackageState::ConfigFiles)
        | (PackageEnsure::Purged, PackageState::Absent) => Need::Mark,
        (PackageEnsure::Absent, _) => Need::Remove,
        (PackageEnsure::Purged, _) => Need::Purge,
    }
}

/// The version to install: what apt would take first, among those that are meant.
pub(super) fn choose<'v>(package: &Package, offered: &'v BTreeMap<String, Vec<String>>) -> Option<&'v str> {
    let versions = offered.get(&package.name)?;
    let fits = |version: &&String| match &package.ensure {
        PackageEnsure::Version(pin) => version_matches(pin, version),
        _ => true,
    };
    versions.iter().find(fits).map(String::as_str)
}

pub(super) fn change(
    items: &[Item<'_>],
    versions: &BTreeMap<String, String>,
    states: &PackageStates,
) -> PackageChange {
    let mut change = PackageChange::default();
    for item in items {
        let name = &item.package.name;
        let record = states.get(name);
        let held = record.is_some_and(|record| record.held);
        match item.need {
            Need::Install => {
                let pinned = matches!(item.package.ensure, PackageEnsure::Version(_));
                let version = versions.get(name).filter(|_| pinned).cloned();
                change.install.push((name.clone(), version));
                change.downgrade |= pinned && record.is_some();
            }
            Need::Remove => change.remove.push(name.clone()),
            Need::Purge => change.purge.push(name.clone()),
            Need::Mark => continue,
        }
        change.change_held |= held;
    }
    change
}

/// Whether what apt would do may be done.
pub(super) fn acceptable(
    simulation: &Simulation,
    change: &PackageChange,
    states: &PackageStates,
) -> Result<(), String> {
    if !simulation.success {
        return Err(format!("apt sees no way: {}", attribute::reason(&simulation.output)));
    }
    let declared: BTreeSet<&str> =
        change.remove.iter().chain(&change.purge).map(|name| states.plain(name)).collect();
    let removed: Vec<&str> = simulation
        .removals
        .iter()
        .map(|name| states.plain(name))
        .filter(|name| !declared.contains(name))
        .collect();
    if !removed.is_empty() {
        let names = removed.join(", ");
        return Err(format!(
            "apt would remove {names} for it, which nobody declared absent; declare that too, or leave this out"
        ));
    }
    let named: BTreeSet<&str> = change.install.iter().map(|(name, _)| states.plain(name)).collect();
    let held: Vec<&str> = simulation
        .installs
        .iter()
        .map(|name| states.plain(name))
        .filter(|name| !named.contains(name) && states.get(name).is_some_and(|record| record.held))
        .collect();
    if !held.is_empty() {
        return Err(format!("apt would change {} for it, which is held", held.join(", ")));
    }
    Ok(())
}

pub(super) fn needs_mark(package: &Package, mark: PackageMark, states: &PackageStates) -> bool {
    let Some(record) = states.get(&package.name) else { return false };
    let wanted = matches!(package.ensure, PackageEnsure::Present | PackageEnsure::Version(_));
    let there = matches!(record.status, PackageStatus::Installed | PackageStatus::Triggers);
    wanted
        && there
        && match mark {
            PackageMark::Hold => package.hold && !record.held,
            PackageMark::Unhold => !package.hold && record.held,
            PackageMark::Manual => record.automatic,
        }
}

/// What was done, when it is more than the difference said already.
pub(super) fn told(item: &Item<'_>, before: &PackageStates, now: &PackageState) -> Option<String> {
    let was = before
        .get(&item.package.name)
        .filter(|record| record.status != PackageStatus::ConfigFiles)
        .map(|record| record.version.as_str());
    match (item.need, now, was) {
        (Need::Install, PackageState::Installed(version), None) => Some(format!("installed {version}")),
        (Need::Install, PackageState::Installed(version), Some(was)) if was != version => {
            Some(format!("installed {version} in the place of {was}"))
        }
        (Need::Remove | Need::Purge, _, Some(was)) => Some(format!("removed {was}")),
        _ => None,
    }
}
