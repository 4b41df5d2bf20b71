//! How packages of apt are looked at, changed and taken away.

use super::Look;
use muster_domain::resource::Package;
use muster_planning::convergence::{Action, Observed};
use std::collections::BTreeMap;

pub(super) fn observe(_look: Look<'_>, _wanted: &Package) -> Observed {
    Observed::Unsupported("this agent does not manage packages of apt".into())
}

pub(super) fn apply(_look: Look<'_>, _wanted: &Package, action: Action) -> Result<Option<String>, String> {
    Err(format!("{action:?} cannot be done for it"))
}

pub(super) fn diff(_look: Look<'_>, _wanted: &Package, _observed: &Observed) -> Option<String> {
    None
}

pub(super) fn remove(_look: Look<'_>, _wanted: &Package) -> Result<Option<String>, String> {
    Ok(None)
}

/// Brings all of these to what they should be, in one transaction.
pub(super) fn transaction(
    _look: Look<'_>,
    wanted: &[&Package],
) -> BTreeMap<String, Result<Option<String>, String>> {
    let refused =
        |package: &&Package| (package.name.clone(), Err("packages are not managed here".to_owned()));
    wanted.iter().map(refused).collect()
}
