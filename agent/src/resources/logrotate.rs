//! How rules of logrotate are looked at, changed and taken away.

use super::Look;
use muster_domain::resource::Logrotate;
use muster_planning::convergence::{Action, Observed};

pub(super) fn observe(_look: Look<'_>, _wanted: &Logrotate) -> Observed {
    Observed::Unsupported("this agent does not manage rules of logrotate".into())
}

pub(super) fn apply(_look: Look<'_>, _wanted: &Logrotate, action: Action) -> Result<Option<String>, String> {
    Err(format!("{action:?} cannot be done for it"))
}

pub(super) fn diff(_look: Look<'_>, _wanted: &Logrotate, _observed: &Observed) -> Option<String> {
    None
}

pub(super) fn remove(_look: Look<'_>, _wanted: &Logrotate) -> Result<Option<String>, String> {
    Ok(None)
}
