//! What a host has once: its name, its time zone, settings of its kernel.

use super::{owned, source::Source};
use muster_domain::inventory::InstalledSysctl;
use std::fs;

pub(super) fn hostname(source: &mut Source<'_>) -> Option<String> {
    source.text("/etc/hostname").map(|text| text.trim().to_owned()).filter(|name| !name.is_empty())
}

/// What `/etc/localtime` points to, else what `/etc/timezone` says.
pub(super) fn timezone(source: &mut Source<'_>) -> Option<String> {
    let linked = fs::read_link(source.real("/etc/localtime")).ok();
    let linked = linked.and_then(|target| {
        let target = target.to_str()?.to_owned();
        target.split_once("zoneinfo/").map(|(_, zone)| zone.to_owned())
    });
    linked.or_else(|| {
        source.text("/etc/timezone").map(|text| text.trim().to_owned()).filter(|zone| !zone.is_empty())
    })
}

/// Kernel settings from files that no package brought, and from `/etc/sysctl.conf`, which is there to be edited. The last
/// word wins, as when they are applied.
pub(super) fn sysctl(source: &mut Source<'_>) -> Vec<InstalledSysctl> {
    let mut files: Vec<String> = source
        .names("/etc/sysctl.d")
        .into_iter()
        .filter(|name| name.ends_with(".conf"))
        .map(|name| format!("/etc/sysctl.d/{name}"))
        .collect();
    let owners = owned::packages_of(source, &files);
    files.retain(|file| !owners.contains_key(file));
    files.push("/etc/sysctl.conf".to_owned());
    let mut found: Vec<InstalledSysctl> = Vec::new();
    for file in files {
        let text = source.text(&file).unwrap_or_default();
        for (name, value) in text.lines().filter_map(setting) {
            found.retain(|known| known.name != name);
            found.push(InstalledSysctl { name, value, file: file.clone() });
        }
    }
    found
}

fn setting(line: &str) -> Option<(String, String)> {
    let line = line.trim().trim_start_matches('-');
    if line.starts_with(['#', ';']) {
        return None;
    }
    let (name, value) = line.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    // `net/ipv4/ip_forward` is another way to write it; a dot in such a name belongs to an interface.
    let dotted =
        if name.contains('/') && !name.contains('.') { name.replace('/', ".") } else { name.to_owned() };
    (!name.is_empty() && !value.is_empty()).then(|| (dotted, value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_sysctl_does() {
        let pair = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        assert_eq!(setting("net.core.somaxconn = 4096"), pair("net.core.somaxconn", "4096"));
        assert_eq!(setting("-net/ipv4/ip_forward=1"), pair("net.ipv4.ip_forward", "1"));
        for other in ["# a = b", "; a = b", "", "a", "a ="] {
            assert_eq!(setting(other), None, "{other:?}");
        }
    }
}
