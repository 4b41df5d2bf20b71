//! How packages of apt are looked at, changed and taken away.

use super::Look;
use muster_domain::resource::Package;
use muster_planning::convergence::{Action, Observed};

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
