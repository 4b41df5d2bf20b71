//! How certificates of the fleet are looked at, changed and taken away.

use super::Look;
use muster_domain::resource::Certificate;
use muster_planning::convergence::{Action, Observed};

pub(super) fn observe(_look: Look<'_>, _wanted: &Certificate) -> Observed {
    Observed::Unsupported("this agent does not manage certificates of the fleet".into())
}

pub(super) fn apply(
    _look: Look<'_>,
    _wanted: &Certificate,
    action: Action,
) -> Result<Option<String>, String> {
    Err(format!("{action:?} cannot be done for it"))
}

pub(super) fn diff(_look: Look<'_>, _wanted: &Certificate, _observed: &Observed) -> Option<String> {
    None
}

pub(super) fn remove(_look: Look<'_>, _wanted: &Certificate) -> Result<Option<String>, String> {
    Ok(None)
}
