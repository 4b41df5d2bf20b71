//! How authorized keys are looked at, changed and taken away.

use super::Look;
use muster_domain::resource::AuthorizedKey;
use muster_planning::convergence::{Action, Observed};

pub(super) fn observe(_look: Look<'_>, _wanted: &AuthorizedKey) -> Observed {
    Observed::Unsupported("this agent does not manage authorized keys".into())
}

pub(super) fn apply(
    _look: Look<'_>,
    _wanted: &AuthorizedKey,
    action: Action,
) -> Result<Option<String>, String> {
    Err(format!("{action:?} cannot be done for it"))
}

pub(super) fn diff(_look: Look<'_>, _wanted: &AuthorizedKey, _observed: &Observed) -> Option<String> {
    None
}

pub(super) fn remove(_look: Look<'_>, _wanted: &AuthorizedKey) -> Result<Option<String>, String> {
    Ok(None)
}
