//! How jobs of cron are looked at, changed and taken away.

use super::{Look, rendered};
use crate::redact;
use muster_domain::resource::CronJob;
use muster_planning::convergence::{Action, Observed, ObservedRendered, cron_file, cron_path};
use std::path::Path;

pub(super) fn observe(look: Look<'_>, wanted: &CronJob) -> Observed {
    if let Some(unsupported) = rendered::needs_root(look, "jobs of cron") {
        return unsupported;
    }
    let trouble = match trouble(look, wanted) {
        Ok(trouble) => trouble,
        Err(error) => return Observed::Unreadable(error.to_string()),
    };
    match cron_file(wanted) {
        Ok(file) => rendered::observe(look, &file, trouble),
        Err(reason) => Observed::Unreadable(reason),
    }
}

fn trouble(look: Look<'_>, wanted: &CronJob) -> Result<Option<String>, muster_platform::HostError> {
    let daemons = ["/usr/sbin/cron", "/usr/sbin/crond"];
    let mut there = false;
    for daemon in daemons {
        there |= look.host.stat(Path::new(daemon))?.is_some();
    }
    if !there {
        return Ok(Some("cron is not on this node; install the package cron".into()));
    }
    let missing = look.host.user(&wanted.user)?.is_none();
    Ok(missing.then(|| {
        format!("the user {}, who should run it, does not exist on this node; declare it", wanted.user)
    }))
}

pub(super) fn apply(look: Look<'_>, wanted: &CronJob, action: Action) -> Result<Option<String>, String> {
    rendered::apply(look, &cron_file(wanted)?, action)
}

pub(super) fn diff(look: Look<'_>, wanted: &CronJob, observed: &Observed) -> Option<String> {
    let Observed::Rendered(ObservedRendered { file, .. }) = observed else { return None };
    let diff = rendered::diff(look, &cron_file(wanted).ok()?, file)?;
    // What was found may hold a former password, or one that somebody wrote there: known to nobody who could take it out.
    let lines = diff.split_inclusive('\n').map(|line| match line.split_at_checked(1) {
        Some((sign @ ("+" | "-" | " "), rest)) => format!("{sign}{}", redact::variable(rest)),
        _ => line.to_owned(),
    });
    Some(lines.collect())
}

pub(super) fn remove(look: Look<'_>, wanted: &CronJob) -> Result<Option<String>, String> {
    rendered::remove(look, &cron_path(wanted))
}
