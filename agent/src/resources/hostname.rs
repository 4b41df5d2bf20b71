//! How the host name are looked at, changed and taken away.

use super::Look;
use muster_domain::resource::Hostname;
use muster_planning::convergence::{Action, Observed};

pub(super) fn observe(_look: Look<'_>, _wanted: &Hostname) -> Observed {
    Observed::Unsupported("this agent does not manage the host name".into())
}

pub(super) fn apply(_look: Look<'_>, _wanted: &Hostname, action: Action) -> Result<Option<String>, String> {
    Err(format!("{action:?} cannot be done for it"))
}

pub(super) fn diff(_look: Look<'_>, _wanted: &Hostname, _observed: &Observed) -> Option<String> {
    None
}

pub(super) fn remove(_look: Look<'_>, _wanted: &Hostname) -> Result<Option<String>, String> {
    Ok(None)
}
