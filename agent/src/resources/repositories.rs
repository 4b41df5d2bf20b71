//! How sources of packages are looked at, changed and taken away.

use super::Look;
use muster_domain::resource::AptRepository;
use muster_planning::convergence::{Action, Observed};

pub(super) fn observe(_look: Look<'_>, _wanted: &AptRepository) -> Observed {
    Observed::Unsupported("this agent does not manage sources of packages".into())
}

pub(super) fn apply(
    _look: Look<'_>,
    _wanted: &AptRepository,
    action: Action,
) -> Result<Option<String>, String> {
    Err(format!("{action:?} cannot be done for it"))
}

pub(super) fn diff(_look: Look<'_>, _wanted: &AptRepository, _observed: &Observed) -> Option<String> {
    None
}

pub(super) fn remove(_look: Look<'_>, _wanted: &AptRepository) -> Result<Option<String>, String> {
    Ok(None)
}
