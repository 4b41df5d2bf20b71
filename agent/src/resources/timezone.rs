//! How the time zone is looked at and changed. Programs that run already, cron among them, go by the former one until
//! they are restarted: what has to follow at once names this resource in its `restart_on`.

use super::{Look, rendered};
use muster_domain::resource::Timezone;
use muster_planning::convergence::{Action, Observed, ObservedTimezone};
use muster_platform::{Fault, FileKind, HostError, Ownership, WriteFile};
use std::path::Path;

const LINK: &str = "/etc/localtime";
const STORED: &str = "/etc/timezone";
const DATABASE: &str = "/usr/share/zoneinfo";

pub(super) fn observe(look: Look<'_>, wanted: &Timezone) -> Observed {
    if let Some(unsupported) = rendered::needs_root(look, "the time zone") {
        return unsupported;
    }
    match found(look, wanted) {
        Ok(found) => Observed::Timezone(found),
        Err(error) => Observed::Unreadable(error.to_string()),
    }
}

fn found(look: Look<'_>, wanted: &Timezone) -> Result<ObservedTimezone, HostError> {
    let zone = match look.host.stat(Path::new(LINK))?.map(|found| found.kind) {
        Some(FileKind::Symlink { target }) => target.split_once("zoneinfo/").map(|(_, zone)| zone.to_owned()),
        _ => None,
    };
    let stored = match look.host.read(Path::new(STORED), 4096) {
        Ok(content) => Some(String::from_utf8_lossy(&content).trim().to_owned()),
        Err(error) if error.fault == Fault::NotFound => None,
        Err(error) => return Err(error),
    };
    let database = look.host.stat(Path::new(DATABASE))?.is_some();
    let entry = look.host.stat(&Path::new(DATABASE).join(&wanted.name))?;
    let known = entry.is_some_and(|found| matches!(found.kind, FileKind::File | FileKind::Symlink { .. }));
    Ok(ObservedTimezone { zone, stored, database, known })
}

pub(super) fn apply(look: Look<'_>, wanted: &Timezone, action: Action) -> Result<Option<String>, String> {
    if action != Action::SetTimezone {
        return Err(format!("{action:?} cannot be done for the time zone"));
    }
    let Timezone { name } = wanted;
    let text = |error: HostError| error.to_string();
    look.host.make_symlink(Path::new(LINK), &format!("{DATABASE}/{name}")).map_err(text)?;
    let content = format!("{name}\n");
    let (path, ownership) = (Path::new(STORED), Ownership::default());
    let file = WriteFile { path, content: content.as_bytes(), mode: 0o644, ownership };
    look.host.write(&file).map_err(text)?;
    Ok(Some("programs that run already follow when they are restarted".into()))
}

pub(super) fn diff(_look: Look<'_>, wanted: &Timezone, observed: &Observed) -> Option<String> {
    let Observed::Timezone(ObservedTimezone { zone, stored, .. }) = observed else { return None };
    let name = Some(wanted.name.clone());
    rendered::fields(&[("timezone", zone.clone(), name.clone()), (STORED, stored.clone(), name)])
}

pub(super) fn remove(_look: Look<'_>, _wanted: &Timezone) -> Result<Option<String>, String> {
    // A node has a time zone, declared or not.
    Ok(None)
}
