//! Decides about what a node has once: its name, the names that it resolves by itself, its time zone, kernel settings.

use super::{Action, Observed, ObservedPath, Verdict, blocks, change, mismatch, paths, rendered};
use muster_domain::resource::{Hostname, Hosts, HostsEntry, Sysctl, Timezone};

/// The block of `/etc/hosts` that [`Hosts`] makes.
const HOSTS_BLOCK: &str = "hosts";
/// The block of `/etc/hosts` that lets the node resolve its own name.
const HOSTNAME_BLOCK: &str = "hostname";
/// What a node resolves that has no `/etc/hosts` at all.
const BARE_HOSTS: &str = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n";

/// What was found of the node's own name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObservedHostname {
    /// Now.
    pub live: String,
    /// After the next boot: what `/etc/hostname` says.
    pub stored: Option<String>,
    /// `/etc/hosts`.
    pub hosts: Option<String>,
}

/// What was found of the time zone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObservedTimezone {
    /// The zone that `/etc/localtime` points to.
    pub zone: Option<String>,
    /// What `/etc/timezone` says.
    pub stored: Option<String>,
    /// The node has a database of zones.
    pub database: bool,
    /// The zone that is wanted is in it.
    pub known: bool,
}

/// What was found of a kernel setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedSysctl {
    /// Its value now; absent when this kernel has no such setting.
    pub live: Option<String>,
    /// The kernel's settings can be changed from here.
    pub writable: bool,
    /// The file that sets it at boot.
    pub file: ObservedPath,
}

pub(super) fn hostname(wanted: &Hostname, observed: &Observed) -> Verdict {
    let Observed::Hostname(observed) = observed else { return mismatch() };
    let ObservedHostname { live, stored, hosts } = observed;
    let mut reasons = Vec::new();
    if *live != wanted.name {
        reasons.push(format!("is {live:?} instead of {:?}", wanted.name));
    }
    match stored {
        Some(stored) if *stored == wanted.name => {}
        Some(stored) => reasons.push(format!("would be {stored:?} after the next boot")),
        None => reasons.push("is not set for the next boot".into()),
    }
    if hosts.as_deref() != Some(hostname_hosts(wanted, hosts.as_deref()).as_str()) {
        reasons.push("the node does not resolve it as its own".into());
    }
    if reasons.is_empty() { Verdict::InPlace } else { change(Action::SetHostname, reasons) }
}

/// `/etc/hosts` with the node's own name in it: as it is when some line names it, else in a block of its own.
pub fn hostname_hosts(wanted: &Hostname, hosts: Option<&str>) -> String {
    let hosts = hosts.unwrap_or(BARE_HOSTS);
    let named = |line: &str| {
        let line = line.split('#').next().unwrap_or_default();
        line.split_whitespace().skip(1).any(|name| name.eq_ignore_ascii_case(&wanted.name))
    };
    if blocks::outside(hosts, HOSTNAME_BLOCK).any(named) {
        return blocks::with_block(hosts, HOSTNAME_BLOCK, &[]);
    }
    let mut names = vec![wanted.name.as_str()];
    names.extend(wanted.name.split_once('.').map(|(short, _)| short));
    blocks::with_block(hosts, HOSTNAME_BLOCK, &[format!("127.0.1.1 {}", names.join(" "))])
}

pub(super) fn hosts(wanted: &Hosts, observed: &Observed) -> Verdict {
    let Observed::Hosts { content } = observed else { return mismatch() };
    let target = hosts_file(wanted, content.as_deref());
    match content {
        Some(content) if *content == target => Verdict::InPlace,
        Some(_) => change(Action::WriteHosts, vec!["its block in /etc/hosts differs".into()]),
        None => change(Action::WriteHosts, vec!["/etc/hosts is missing".into()]),
    }
}

/// `/etc/hosts` with these entries in their block.
pub fn hosts_file(wanted: &Hosts, content: Option<&str>) -> String {
    let line = |HostsEntry { address, names }: &HostsEntry| format!("{address} {}", names.join(" "));
    let lines: Vec<String> = wanted.entries.iter().map(line).collect();
    blocks::with_block(content.unwrap_or(BARE_HOSTS), HOSTS_BLOCK, &lines)
}

pub(super) fn timezone(wanted: &Timezone, observed: &Observed) -> Verdict {
    let Observed::Timezone(observed) = observed else { return mismatch() };
    let ObservedTimezone { zone, stored, database, known } = observed;
    let Timezone { name } = wanted;
    if !known {
        let reason = if *database {
            format!(
                "the time zone database of this node has no zone {name:?}; old names are in the package tzdata-legacy of newer distributions"
            )
        } else {
            "the time zone database is not on this node; install the package tzdata".to_owned()
        };
        return Verdict::Impossible { reason };
    }
    let mut reasons = Vec::new();
    if zone.as_ref() != Some(name) {
        reasons.push(format!("is {} instead of {name}", zone.as_deref().unwrap_or("not set")));
    }
    if stored.as_ref() != Some(name) {
        reasons.push(format!("/etc/timezone says {}", stored.as_deref().unwrap_or("nothing")));
    }
    if reasons.is_empty() { Verdict::InPlace } else { change(Action::SetTimezone, reasons) }
}

/// The value of a kernel setting with one space where the kernel, or a person, wrote other white space.
pub fn sysctl_value(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(super) fn sysctl(wanted: &Sysctl, observed: &Observed) -> Verdict {
    let Observed::Sysctl(observed) = observed else { return mismatch() };
    let ObservedSysctl { live, writable, file } = observed;
    let Sysctl { name, value } = wanted;
    let Some(live) = live else {
        let reason = format!("this kernel has no setting {name}; is the module missing that brings it?");
        return Verdict::Impossible { reason };
    };
    let (live, value) = (sysctl_value(live), sysctl_value(value));
    if live != value {
        if !writable {
            let reason = format!(
                "is {live:?} instead of {value:?}, and the kernel's settings are read-only here (a container?)"
            );
            return Verdict::Unsupported { reason };
        }
        return change(Action::SetSysctl, vec![format!("is {live:?} instead of {value:?}")]);
    }
    match paths::file(&rendered::sysctl_file(wanted), file) {
        Verdict::Change { .. } => change(Action::SetSysctl, vec!["is not set for the next boot".into()]),
        other => other,
    }
}
