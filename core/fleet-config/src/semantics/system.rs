//! Kernel settings, names, certificates, and where Node.js comes from.

use super::{Checker, values};
use crate::words::quoted;
use muster_domain::{
    fleet::{SysctlValue, declared::name_of},
    host_names, host_path,
};

const SYSCTL: &str = "write it as `sysctl -a` shows it: net.core.somaxconn";

pub(super) fn check(checker: &mut Checker<'_>) {
    let configuration = checker.configuration;
    for (name, entry) in &configuration.sysctl {
        let rule = host_names::sysctl;
        values::named(checker, ("sysctl", name), entry.name.as_ref(), rule, "a kernel setting", SYSCTL);
        sysctl_value(checker, &entry.value, &["sysctl", name, "value"]);
    }
    for (name, entry) in &configuration.hosts {
        values::entry_name(checker, "hosts", name);
        if !checker.faulty(&["hosts", name, "address"]) {
            values::address(checker, &entry.address, &["hosts", name, "address"]);
        }
        values::hosts(checker, &entry.names, &["hosts", name, "names"]);
        if entry.names.is_empty() && !host_names::host(name) && !checker.faulty(&["hosts", name]) {
            let message = format!("{} is not a host name", quoted(name));
            checker.key(&["hosts", name], message, format!("{}; or say it with `names:`", values::HOST));
        }
    }
    certificates(checker);
    if let Some(mirror) = &configuration.nodejs.mirror {
        let address = |text: &str| {
            ["https://", "http://"].iter().any(|start| text.len() > start.len() && text.starts_with(start))
                && text.len() <= 1024
                && text.bytes().all(|b| b.is_ascii_graphic())
        };
        let hint = "begin with https://, and name the folder that holds index.json: https://nodejs.org/dist";
        values::rule(checker, mirror, address, &["nodejs", "mirror"], "the address of a mirror", hint);
    }
    for (name, node) in &configuration.nodes {
        if let Some(hostname) = &node.hostname {
            let at = ["nodes", name.as_str(), "hostname"];
            values::rule(checker, hostname, host_names::host, &at, "a host name", values::HOST);
        }
    }
}

/// A setting with its value, wherever it stands.
pub(super) fn sysctl(checker: &mut Checker<'_>, name: &str, value: &SysctlValue, at: &[&str]) {
    if !host_names::sysctl(name) {
        checker.key(at, format!("{} is not a kernel setting", quoted(name)), SYSCTL);
    }
    sysctl_value(checker, value, at);
}

fn sysctl_value(checker: &mut Checker<'_>, value: &SysctlValue, at: &[&str]) {
    let text = value.to_text();
    if text.trim().is_empty() || !host_names::line(&text, 4096) {
        checker.value(at, "this is not a value of a kernel setting", "write a number, or one line of text");
    }
}

fn certificates(checker: &mut Checker<'_>) {
    let configuration = checker.configuration;
    for (entry_name, entry) in &configuration.certificates {
        let at = |field| ["certificates", entry_name.as_str(), field];
        values::named(
            checker,
            ("certificates", entry_name),
            entry.name.as_ref(),
            host_names::drop_in,
            "the name of a certificate",
            values::DROP_IN,
        );
        values::hosts(checker, &entry.dns_names, &at("dns_names"));
        for (index, name) in entry.dns_names.iter().enumerate() {
            if host_names::host(name) && !host_names::certifiable(name) {
                let message = format!("{} is what agents know their controller by", quoted(name));
                let at = ["certificates", entry_name, "dns_names", &index.to_string()];
                checker.value(
                    &at,
                    message,
                    "choose another name: a service must not pass for the controller",
                );
            }
        }
        for (index, address) in entry.addresses.iter().enumerate() {
            values::address(checker, address, &["certificates", entry_name, "addresses", &index.to_string()]);
        }
        let paths = [
            ("key_path", &entry.key_path),
            ("certificate_path", &entry.certificate_path),
            ("ca_path", &entry.ca_path),
        ];
        for (field, path) in paths {
            values::path(checker, path.as_deref(), &at(field));
        }
        let name = name_of(entry_name, entry.name.as_ref());
        let mut used = vec![entry.key_path(name)];
        for (field, path) in
            [("certificate_path", Some(entry.certificate_path(name))), ("ca_path", entry.ca_path.clone())]
        {
            let Some(path) = path.filter(|path| host_path::normal(path).is_some()) else { continue };
            if used.contains(&path) {
                let message = format!("{} is taken by another file of this certificate", quoted(&path));
                checker.value(&at(field), message, "give each file a path of its own");
            }
            used.push(path);
        }
        values::account(checker, entry.owner.as_deref(), &at("owner"));
        values::account(checker, entry.group.as_deref(), &at("group"));
    }
}
