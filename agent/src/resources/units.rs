//! How unit files are looked at, changed and taken away.

use super::Look;
use muster_domain::resource::SystemdUnit;
use muster_planning::convergence::{Action, Observed};

pub(super) fn observe(_look: Look<'_>, _wanted: &SystemdUnit) -> Observed {
    Observed::Unsupported("this agent does not manage unit files".into())
}

pub(super) fn apply(
    _look: Look<'_>,
    _wanted: &SystemdUnit,
    action: Action,
) -> Result<Option<String>, String> {
    Err(format!("{action:?} cannot be done for it"))
}

pub(super) fn diff(_look: Look<'_>, _wanted: &SystemdUnit, _observed: &Observed) -> Option<String> {
    None
}

pub(super) fn remove(_look: Look<'_>, _wanted: &SystemdUnit) -> Result<Option<String>, String> {
    Ok(None)
}
