//! How upgrades by themselves are looked at, changed and taken away.

use super::Look;
use muster_domain::resource::OsUpdates;
use muster_planning::convergence::{Action, Observed};

pub(super) fn observe(_look: Look<'_>, _wanted: &OsUpdates) -> Observed {
    Observed::Unsupported("this agent does not manage upgrades by themselves".into())
}

pub(super) fn apply(_look: Look<'_>, _wanted: &OsUpdates, action: Action) -> Result<Option<String>, String> {
    Err(format!("{action:?} cannot be done for it"))
}

pub(super) fn diff(_look: Look<'_>, _wanted: &OsUpdates, _observed: &Observed) -> Option<String> {
    None
}

pub(super) fn remove(_look: Look<'_>, _wanted: &OsUpdates) -> Result<Option<String>, String> {
    Ok(None)
}
