//! How the node's own name is looked at and changed.

use super::{Look, hosts, rendered, text_diff};
use muster_domain::resource::Hostname;
use muster_planning::convergence::{Action, Observed, ObservedHostname, hostname_hosts};
use muster_platform::{Fault, Ownership, WriteFile};
use std::path::Path;

const PATH: &str = "/etc/hostname";

fn stored(look: Look<'_>) -> Result<Option<String>, String> {
    match look.host.read(Path::new(PATH), 4096) {
        Ok(content) => {
            let content = String::from_utf8_lossy(&content).into_owned();
            let mut lines = content.lines().map(str::trim);
            Ok(lines.find(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned))
        }
        Err(error) if error.fault == Fault::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

pub(super) fn observe(look: Look<'_>, _wanted: &Hostname) -> Observed {
    if let Some(unsupported) = rendered::needs_root(look, "the host name") {
        return unsupported;
    }
    match (stored(look), hosts::read(look)) {
        (Ok(stored), Ok(hosts)) => {
            Observed::Hostname(ObservedHostname { live: look.host.hostname(), stored, hosts })
        }
        (Err(reason), _) | (_, Err(reason)) => Observed::Unreadable(reason),
    }
}

pub(super) fn apply(look: Look<'_>, wanted: &Hostname, action: Action) -> Result<Option<String>, String> {
    if action != Action::SetHostname {
        return Err(format!("{action:?} cannot be done for the host name"));
    }
    // Resolved first: sudo and others stumble over a node that does not know its own name.
    let found = hosts::read(look)?;
    let target = hostname_hosts(wanted, found.as_deref());
    if found.as_ref() != Some(&target) {
        hosts::write(look, &target)?;
    }
    if stored(look)?.as_ref() != Some(&wanted.name) {
        let (path, content) = (Path::new(PATH), format!("{}\n", wanted.name));
        let ownership = Ownership::default();
        let file = WriteFile { path, content: content.as_bytes(), mode: 0o644, ownership };
        look.host.write(&file).map_err(|error| error.to_string())?;
    }
    if look.host.hostname() != wanted.name {
        look.host.set_hostname(&wanted.name).map_err(|error| error.to_string())?;
    }
    Ok(None)
}

pub(super) fn diff(_look: Look<'_>, wanted: &Hostname, observed: &Observed) -> Option<String> {
    let Observed::Hostname(ObservedHostname { live, stored, hosts }) = observed else { return None };
    let name = Some(wanted.name.clone());
    let fields = [("hostname", Some(live.clone()), name.clone()), (PATH, stored.clone(), name)];
    let mut text = rendered::fields(&fields).unwrap_or_default();
    let target = hostname_hosts(wanted, hosts.as_deref());
    if hosts.as_ref() != Some(&target) {
        let old = hosts.as_deref().map(str::as_bytes);
        text.push_str(&text_diff::contents("/etc/hosts", old, target.as_bytes()));
    }
    (!text.is_empty()).then_some(text)
}

pub(super) fn remove(_look: Look<'_>, _wanted: &Hostname) -> Result<Option<String>, String> {
    // A node has a name, declared or not; what it was before nobody knows.
    Ok(None)
}
