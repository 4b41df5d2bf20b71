//! Packages of apt: looked at in dpkg's own notes, changed in one transaction for all that a run has to change.
//!
//! A package that cannot be had fails alone: what each needs is found out first, then apt says in a simulation whether all
//! of it goes together and what it would take away. Nothing is removed that is not declared absent.

mod attribute;
mod decide;
mod transaction;

use super::Look;
use muster_domain::resource::{Package, PackageEnsure};
use muster_planning::convergence::{
    Action, Observed, ObservedPackage, PackageState, package_differences, pin_file,
};
use muster_platform::{FileKind, PackageStates, PackageStatus};
use std::path::Path;

pub(super) use attribute::reason;
pub(crate) use transaction::transaction;

/// Longer files of ours were changed by somebody, and are not read for it.
const MAX_PIN_BYTES: u64 = 4096;

/// What an agent without root says of everything that is apt's.
pub(super) const NEEDS_ROOT: &str = "packages need an agent that runs as root";

pub(super) fn observe(look: Look<'_>, wanted: &Package) -> Observed {
    if !look.host.privileged() {
        return Observed::Unsupported(NEEDS_ROOT.into());
    }
    let observed = look.host.packages().map_err(|error| error.to_string()).and_then(|states| {
        let mut observed = observed(look, wanted, &states)?;
        if !package_differences(wanted, &observed).is_empty() {
            observed.locked_by = locked_by(look)?;
        }
        Ok(observed)
    });
    observed.map_or_else(Observed::Unreadable, Observed::Package)
}

/// Who changes packages right now, in words.
pub(super) fn locked_by(look: Look<'_>) -> Result<Option<String>, String> {
    let holder = look.host.package_lock_holder().map_err(|error| error.to_string())?;
    Ok(holder.map(|holder| holder.to_string()))
}

fn observed(look: Look<'_>, wanted: &Package, states: &PackageStates) -> Result<ObservedPackage, String> {
    let record = states.get(&wanted.name);
    let state = match record.map(|record| (record.status, record)) {
        None => PackageState::Absent,
        Some((PackageStatus::ConfigFiles, _)) => PackageState::ConfigFiles,
        Some((PackageStatus::Installed | PackageStatus::Triggers, record)) => {
            PackageState::Installed(record.version.clone())
        }
        Some((status, _)) => PackageState::Unfinished(status.as_str().to_owned()),
    };
    Ok(ObservedPackage {
        state,
        held: record.is_some_and(|record| record.held),
        automatic: record.is_some_and(|record| record.automatic),
        pinned: pinned(look, wanted)?,
        interrupted: states.interrupted,
        locked_by: None,
    })
}

fn pinned(look: Look<'_>, wanted: &Package) -> Result<bool, String> {
    let (path, content) = pin_file(wanted);
    let path = Path::new(&path);
    let found = look.host.stat(path).map_err(|error| error.to_string())?;
    Ok(match (found, content) {
        (None, None) => true,
        // Who can write to it decides what is installed.
        (Some(stat), Some(content))
            if stat.kind == FileKind::File && (stat.mode, stat.uid, stat.gid) == (0o644, 0, 0) =>
        {
            let found = look.host.read(path, MAX_PIN_BYTES);
            found.is_ok_and(|found| found == content.as_bytes())
        }
        _ => false,
    })
}

/// One package in a transaction of its own.
pub(super) fn apply(look: Look<'_>, wanted: &Package, action: Action) -> Result<Option<String>, String> {
    match action {
        Action::ChangePackage => one(look, wanted),
        other => Err(format!("{other:?} is not done for a package")),
    }
}

fn one(look: Look<'_>, wanted: &Package) -> Result<Option<String>, String> {
    transaction(look, &[wanted]).remove(&wanted.name).unwrap_or(Ok(None))
}

pub(super) fn diff(_look: Look<'_>, wanted: &Package, observed: &Observed) -> Option<String> {
    let Observed::Package(observed) = observed else { return None };
    if package_differences(wanted, observed).is_empty() {
        return None;
    }
    let was = match &observed.state {
        PackageState::Absent => "absent".to_owned(),
        PackageState::ConfigFiles => "absent, configuration left".to_owned(),
        PackageState::Installed(version) => version.clone(),
        PackageState::Unfinished(status) => status.clone(),
    };
    let becomes = match &wanted.ensure {
        PackageEnsure::Present => match &observed.state {
            PackageState::Installed(version) => version.clone(),
            _ => "present".to_owned(),
        },
        PackageEnsure::Version(version) => version.clone(),
        PackageEnsure::Absent => "absent".to_owned(),
        PackageEnsure::Purged => "purged".to_owned(),
    };
    let name = &wanted.name;
    let held = |held: bool| if held { " (held)" } else { "" };
    let there = matches!(wanted.ensure, PackageEnsure::Present | PackageEnsure::Version(_));
    Some(format!("-{name} {was}{}\n+{name} {becomes}{}\n", held(observed.held), held(there && wanted.hold)))
}

/// Takes a package away that is no longer declared. One that was declared absent has nothing to take away.
pub(super) fn remove(look: Look<'_>, wanted: &Package) -> Result<Option<String>, String> {
    let Package { name, ensure, hold: _ } = wanted;
    match ensure {
        PackageEnsure::Absent | PackageEnsure::Purged => return Ok(None),
        PackageEnsure::Present | PackageEnsure::Version(_) => {}
    }
    let states = look.host.packages().map_err(|error| error.to_string())?;
    let there = states.get(name).is_some_and(|record| record.status != PackageStatus::ConfigFiles);
    let absent = Package { name: name.clone(), ensure: PackageEnsure::Absent, hold: false };
    if !there && pinned(look, &absent)? {
        return Ok(None);
    }
    if let Some(holder) = locked_by(look)? {
        return Err(format!("the lock of dpkg and apt is held by {holder}; it is removed when that ends"));
    }
    one(look, &absent)
}

#[cfg(test)]
mod tests;
