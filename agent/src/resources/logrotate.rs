//! How rules for logrotate are looked at, changed and taken away.

use super::{Look, rendered};
use muster_domain::resource::Logrotate;
use muster_planning::convergence::{Action, Observed, ObservedRendered, logrotate_file};
use std::path::Path;

pub(super) fn observe(look: Look<'_>, wanted: &Logrotate) -> Observed {
    if let Some(unsupported) = rendered::needs_root(look, "rules for logrotate") {
        return unsupported;
    }
    let there = look.host.stat(Path::new("/usr/sbin/logrotate")).map(|found| found.is_some());
    let trouble = match there {
        Ok(true) => None,
        Ok(false) => Some("logrotate is not on this node; install the package logrotate".to_owned()),
        Err(error) => return Observed::Unreadable(error.to_string()),
    };
    rendered::observe(look, &logrotate_file(wanted), trouble)
}

pub(super) fn apply(look: Look<'_>, wanted: &Logrotate, action: Action) -> Result<Option<String>, String> {
    if action == Action::WriteFile {
        look.host.verify_logrotate(&wanted.name, &wanted.content)?;
    }
    rendered::apply(look, &logrotate_file(wanted), action)
}

pub(super) fn diff(look: Look<'_>, wanted: &Logrotate, observed: &Observed) -> Option<String> {
    let Observed::Rendered(ObservedRendered { file, .. }) = observed else { return None };
    rendered::diff(look, &logrotate_file(wanted), file)
}

pub(super) fn remove(look: Look<'_>, wanted: &Logrotate) -> Result<Option<String>, String> {
    rendered::remove(look, &logrotate_file(wanted).path)
}
