//! How `/etc/hosts` is looked at and changed.

use super::{Look, rendered, text_diff};
use muster_domain::resource::{DesiredState, Hosts, Mode};
use muster_planning::convergence::{Action, Observed, hostname_hosts, hosts_file};
use muster_platform::{Fault, FileKind, Ownership, WriteFile};
use std::path::Path;

const PATH: &str = "/etc/hosts";
/// A longer one is not a list of hosts.
const MAX_BYTES: u64 = 1024 * 1024;

/// What `/etc/hosts` holds, when it is there.
pub(super) fn read(look: Look<'_>) -> Result<Option<String>, String> {
    match look.host.read(Path::new(PATH), MAX_BYTES) {
        Ok(content) => String::from_utf8(content)
            .map(Some)
            .map_err(|_| format!("{PATH} holds what is no text; put it right by hand")),
        Err(error) if error.fault == Fault::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Puts it into place with the mode and the owner that it has.
pub(super) fn write(look: Look<'_>, content: &str) -> Result<(), String> {
    let path = Path::new(PATH);
    let found = look.host.stat(path).map_err(|error| error.to_string())?;
    let mode = found.filter(|found| found.kind == FileKind::File).map_or(0o644, |found| found.mode);
    let file = WriteFile { path, content: content.as_bytes(), mode, ownership: Ownership::default() };
    look.host.write(&file).map_err(|error| error.to_string())
}

/// What the file should hold for these names and, where that is kept as well, for the node's own: a name that one of the two
/// gives to the node the other need not give, so that whichever is changed last settles both.
fn target(look: Look<'_>, wanted: &Hosts, found: Option<&str>) -> String {
    let text = hosts_file(wanted, found);
    let own = look.assigned.iter().find_map(|resource| match &resource.desired {
        DesiredState::Hostname(own) if resource.mode == Mode::Enforce => Some(own),
        _ => None,
    });
    own.map_or_else(|| text.clone(), |own| hostname_hosts(own, Some(&text)))
}

pub(super) fn observe(look: Look<'_>, _wanted: &Hosts) -> Observed {
    if let Some(unsupported) = rendered::needs_root(look, PATH) {
        return unsupported;
    }
    match read(look) {
        Ok(content) => Observed::Hosts { content },
        Err(reason) => Observed::Unreadable(reason),
    }
}

pub(super) fn apply(look: Look<'_>, wanted: &Hosts, action: Action) -> Result<Option<String>, String> {
    if action != Action::WriteHosts {
        return Err(format!("{action:?} cannot be done for {PATH}"));
    }
    write(look, &target(look, wanted, read(look)?.as_deref()))?;
    Ok(None)
}

pub(super) fn diff(look: Look<'_>, wanted: &Hosts, observed: &Observed) -> Option<String> {
    let Observed::Hosts { content } = observed else { return None };
    let target = target(look, wanted, content.as_deref());
    let same = content.as_ref() == Some(&target);
    (!same).then(|| text_diff::contents(PATH, content.as_deref().map(str::as_bytes), target.as_bytes()))
}

pub(super) fn remove(look: Look<'_>, _wanted: &Hosts) -> Result<Option<String>, String> {
    let Some(found) = read(look)? else { return Ok(None) };
    let rest = target(look, &Hosts { entries: vec![] }, Some(&found));
    if rest == found {
        return Ok(None);
    }
    write(look, &rest)?;
    Ok(Some(format!("the names that were put into {PATH} were taken out")))
}
