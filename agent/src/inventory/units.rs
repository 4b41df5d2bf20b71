//! Services and timers that somebody turned on.

use super::{files::FOR_EVERYBODY, owned, packages::Base, source::Source};
use muster_domain::inventory::InstalledUnit;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// What Muster itself brought.
const OWN: [&str; 2] = ["muster-agent.service", "muster-supervisor.service"];
const KINDS: [&str; 4] = [".service", ".timer", ".socket", ".path"];

/// Enabled units, and running services that are not, without those of the base system.
pub(super) fn read(source: &mut Source<'_>, base: &Base) -> Vec<InstalledUnit> {
    let kinds = "--type=service,timer,socket,path";
    let Some(files) =
        source.run("systemctl", &["list-unit-files", kinds, "--no-legend", "--plain", "--full"])
    else {
        source.note("units were not listed: systemd does not run on this host");
        return Vec::new();
    };
    let running = source
        .run("systemctl", &["list-units", kinds, "--state=active", "--no-legend", "--plain", "--full"])
        .unwrap_or_default();
    let running: BTreeSet<&str> = running.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let states: BTreeMap<&str, bool> =
        files.lines().filter_map(state).filter(|(name, _)| wanted(name)).collect();
    let found: Vec<(&str, bool)> = states
        .into_iter()
        .filter(|(name, enabled)| *enabled || (name.ends_with(".service") && running.contains(name)))
        .collect();
    let paths: Vec<String> = found.iter().map(|(name, _)| format!("/lib/systemd/system/{name}")).collect();
    let packages = owned::packages_of(source, &paths);
    let mut units = Vec::new();
    for ((name, enabled), path) in found.iter().zip(&paths) {
        // A unit of a package of the base system that somebody wrote over is somebody's own.
        let own = format!("/etc/systemd/system/{name}");
        if hidden(source, &own) {
            // Declared, everybody could read it.
            source.note(format!("{own} was left out: not everybody may read it, so it may hold a secret"));
            continue;
        }
        let content = source.text(&own);
        if content.is_none() && packages.get(path).is_none_or(|package| base.has(package)) {
            continue;
        }
        let (name, enabled, running) = ((*name).to_owned(), *enabled, running.contains(name));
        units.push(InstalledUnit { name, enabled, running, content });
    }
    units
}

/// Whether it is a file that its owner keeps from others.
fn hidden(source: &Source<'_>, path: &str) -> bool {
    let found = fs::symlink_metadata(source.real(path));
    found.is_ok_and(|found| found.is_file() && found.permissions().mode() & FOR_EVERYBODY == 0)
}

/// `nginx.service enabled enabled`: whether it is turned on. What is generated, static or a template is nobody's decision.
fn state(line: &str) -> Option<(&str, bool)> {
    let mut words = line.split_whitespace();
    let (name, state) = (words.next()?, words.next()?);
    match state {
        "enabled" | "enabled-runtime" => Some((name, true)),
        "disabled" => Some((name, false)),
        _ => None,
    }
}

fn wanted(name: &str) -> bool {
    KINDS.iter().any(|kind| name.ends_with(kind)) && !name.contains("@.") && !OWN.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_and_what_nobody_decided_are_left_out() {
        assert_eq!(state("nginx.service enabled enabled"), Some(("nginx.service", true)));
        assert_eq!(state("nginx.service disabled enabled"), Some(("nginx.service", false)));
        assert_eq!(state("systemd-journald.service static -"), None);
        assert!(wanted("shop.timer") && !wanted("getty@.service") && !wanted("a.mount"));
        assert!(!wanted("muster-agent.service"));
    }
}
