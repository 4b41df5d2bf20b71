//! Kernel settings, names, certificates, and the time zone.

use super::{base, host::Host};
use muster_domain::{
    fleet::{
        SysctlValue,
        declared::{CERTIFICATES, of_node},
    },
    host_names, host_path,
    resource::{Certificate, DesiredState, Directory, Hostname, Hosts, HostsEntry, ResourceKey, Sysctl},
};
use std::{collections::BTreeMap, net::IpAddr};

/// Where Debian says what a machine is called by itself.
const OWN_ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 1, 1));

/// Adds the settings that are meant for the node.
pub(super) fn compile(host: &mut Host<'_, '_>) {
    let configuration = host.input.configuration;
    for (entry_name, entry) in host.entries(&configuration.sysctl, |entry| entry.common()) {
        let name = host.name(("sysctl", entry_name), entry.name.as_ref(), host_names::sysctl);
        sysctl(host, name, &entry.value);
    }
    names(host);
    certificates(host);
}

/// Adds one kernel setting.
pub(super) fn sysctl(host: &mut Host<'_, '_>, name: &str, value: &SysctlValue) {
    let value = value.to_text();
    host.must(name, host_names::sysctl, &format!("sysctl.{name}"));
    host.must(
        &value,
        |text| !text.trim().is_empty() && host_names::line(text, 4096),
        &format!("sysctl.{name}"),
    );
    host.add(ResourceKey::new("sysctl", name), DesiredState::Sysctl(Sysctl { name: name.to_owned(), value }));
}

/// The node's own name, and the names that it resolves by itself.
fn names(host: &mut Host<'_, '_>) {
    let configuration = host.input.configuration;
    let base = base::of(host);
    let declared = configuration.nodes.get(host.input.node).and_then(|node| node.hostname.as_deref());
    let own = declared.or_else(|| base.filter(|base| base.hostname).map(|_| host.input.node.as_str()));
    let mut entries: BTreeMap<IpAddr, Vec<String>> = BTreeMap::new();
    let mut add = |host: &mut Host<'_, '_>, address: &str, names: &[String], place: String| {
        let Ok(address) = address.parse::<IpAddr>() else {
            host.invalid(place, format!("{address:?} is not an address"));
            return;
        };
        let all = entries.entry(address).or_default();
        for name in names {
            host.must(name, host_names::host, &place);
            if !all.contains(name) {
                all.push(name.clone());
            }
        }
    };
    if let Some(own) = own {
        host.must(own, host_names::host, "hostname");
        host.add(of_node("hostname"), DesiredState::Hostname(Hostname { name: own.to_owned() }));
        let short = own.split('.').next().unwrap_or(own);
        let mut names = vec![own.to_owned()];
        names.extend((short != own).then(|| short.to_owned()));
        add(host, &OWN_ADDRESS.to_string(), &names, "hostname".to_owned());
    }
    for (address, names) in base.iter().flat_map(|base| &base.hosts) {
        add(host, address, &names.0, format!("base.hosts.{address}"));
    }
    for (name, entry) in host.entries(&configuration.hosts, |entry| entry.common()) {
        let own = [name.to_owned()];
        let names = if entry.names.is_empty() { own.as_slice() } else { &entry.names };
        add(host, &entry.address, names, format!("hosts.{name}"));
    }
    if !entries.is_empty() {
        let entries = entries.into_iter().map(|(address, names)| HostsEntry { address, names }).collect();
        host.add(of_node("hosts"), DesiredState::Hosts(Hosts { entries }));
    }
}

fn certificates(host: &mut Host<'_, '_>) {
    let configuration = host.input.configuration;
    for (entry_name, entry) in host.entries(&configuration.certificates, |entry| entry.common()) {
        let name = host.name(("certificates", entry_name), entry.name.as_ref(), host_names::drop_in);
        let place = format!("certificates.{entry_name}");
        let mut dns_names = entry.dns_names.clone();
        if dns_names.is_empty() {
            dns_names.push(host.input.node.to_string());
        }
        dns_names.iter().for_each(|dns_name| host.must(dns_name, host_names::certifiable, &place));
        let parsed: Result<Vec<IpAddr>, _> = entry.addresses.iter().map(|text| text.parse()).collect();
        let Ok(addresses) = parsed else {
            host.invalid(place, "an address is not one");
            continue;
        };
        let (key_path, certificate_path) = (entry.key_path(name), entry.certificate_path(name));
        for path in [&key_path, &certificate_path].into_iter().chain(&entry.ca_path) {
            host.must(path, |path| host_path::normal(path) == Some(path), &place);
        }
        if [&key_path, &certificate_path]
            .iter()
            .any(|path| host_path::ancestors(path).any(|a| a == CERTIFICATES))
        {
            host.imply(ResourceKey::new("directory", CERTIFICATES), folder(CERTIFICATES));
        }
        host.add(
            ResourceKey::new("certificate", name),
            DesiredState::Certificate(Certificate {
                name: name.to_owned(),
                dns_names,
                addresses,
                key_path,
                certificate_path,
                ca_path: entry.ca_path.clone(),
                owner: entry.owner.clone(),
                group: entry.group.clone(),
            }),
        );
    }
}

/// A folder of root's that everybody may look into.
pub(super) fn folder(path: &str) -> DesiredState {
    DesiredState::Directory(Directory {
        path: path.to_owned(),
        mode: 0o755,
        owner: Some("root".to_owned()),
        group: Some("root".to_owned()),
    })
}
