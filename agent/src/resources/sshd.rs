//! How the SSH server are looked at, changed and taken away.

use super::Look;
use muster_domain::resource::Sshd;
use muster_planning::convergence::{Action, Observed};

/// Read first by the server, and so before the distribution's own settings.
pub(crate) const FILE: &str = "/etc/ssh/sshd_config.d/00-muster.conf";

pub(super) fn observe(_look: Look<'_>, _wanted: &Sshd) -> Observed {
    Observed::Unsupported("this agent does not manage the SSH server".into())
}

pub(super) fn apply(_look: Look<'_>, _wanted: &Sshd, action: Action) -> Result<Option<String>, String> {
    Err(format!("{action:?} cannot be done for it"))
}

pub(super) fn diff(_look: Look<'_>, _wanted: &Sshd, _observed: &Observed) -> Option<String> {
    None
}

pub(super) fn remove(_look: Look<'_>, _wanted: &Sshd) -> Result<Option<String>, String> {
    Ok(None)
}
