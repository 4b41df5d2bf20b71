//! The base role.

use super::{Checker, firewall, ssh_keys, system, values};
use crate::words::quoted;
use muster_domain::{
    fleet::base::{Base, Part, in_force},
    host_names,
    window::Window,
};
use std::collections::BTreeMap;

/// Keywords that have a field of their own.
const FIELDS: [(&str, &str); 3] = [
    ("port", "port"),
    ("passwordauthentication", "password_authentication"),
    ("permitrootlogin", "permit_root_login"),
];

pub(super) fn check(checker: &mut Checker<'_>) {
    let configuration = checker.configuration;
    let Some(base) = &configuration.base else { return };
    admins(checker, base);
    ssh(checker, base);
    if let Some(settings) = in_force(base.firewall.as_ref()) {
        firewall::ports(checker, &settings.allow, &["base", "firewall", "allow"]);
    }
    if let Some(Part::Settings(updates)) = &base.updates
        && let Some(reboot) = &updates.reboot
        && let Err(error) = Window::parse(reboot)
    {
        let text = error.to_string();
        let hint = text.split_once("; ").map_or(text.as_str(), |(_, hint)| hint).to_owned();
        let message = format!("{} is not a time of the week", quoted(reboot));
        checker.value(&["base", "updates", "reboot"], message, hint);
    }
    if let Some(Part::Settings(journal)) = &base.journal
        && let Some(size) = &journal.max_size
        && size.as_bytes().is_none_or(|bytes| bytes < JOURNAL_BYTES_AT_LEAST)
    {
        let message = "the journal needs more space than that";
        checker.value(&["base", "journal", "max_size"], message, "write at least 16M: 500M");
    }
    if let Some(timezone) = &base.timezone {
        let hint = "write a name of the time zone database: Etc/UTC, Europe/Berlin";
        values::rule(checker, timezone, host_names::timezone, &["base", "timezone"], "a time zone", hint);
    }
    for (address, names) in &base.hosts {
        if address.parse::<std::net::IpAddr>().is_err() {
            let message = format!("{} is not an address", quoted(address));
            checker.key(&["base", "hosts", address], message, "write the address first: {10.0.0.5: [db]}");
        }
        values::hosts(checker, &names.0, &["base", "hosts", address]);
        if names.0.is_empty() && !checker.faulty(&["base", "hosts", address]) {
            let message = format!("{} has no names", quoted(address));
            checker.key(&["base", "hosts", address], message, "write at least one: {10.0.0.5: [db]}");
        }
    }
    for (index, name) in base.packages.iter().enumerate() {
        let hint = "use the name that apt knows it by: htop; versions go into the section `packages`";
        let at = ["base", "packages", &index.to_string()];
        values::rule(checker, name, host_names::package, &at, "the name of a package", hint);
    }
    for (name, value) in &base.sysctl {
        system::sysctl(checker, name, value, &["base", "sysctl", name]);
    }
}

/// Less holds no two files of the journal.
const JOURNAL_BYTES_AT_LEAST: u64 = 16 << 20;

fn admins(checker: &mut Checker<'_>, base: &Base) {
    for (name, admin) in &base.admins {
        let at = |field| ["base", "admins", name.as_str(), field];
        if !host_names::account(name) {
            let message = format!("{} is not the name of an account", quoted(name));
            checker.key(&["base", "admins", name], message, values::ACCOUNT);
        } else if name == "root" {
            let hint = "name a person; root's own keys go into `users: {root: {keys: [...]}}`";
            checker.key(&["base", "admins", name], "root is not an admin", hint);
        }
        if admin.keys.is_empty() && !checker.faulty(&["base", "admins", name]) {
            let message = format!("{} has no key to sign in with", quoted(name));
            checker.key(&at("keys"), message, "write at least one: keys: [\"ssh-ed25519 AAAA... name\"]");
        }
        ssh_keys::check(checker, &admin.keys, &at("keys"));
        values::accounts(checker, &admin.groups, &at("groups"));
        values::account_path(checker, admin.shell.as_deref(), &at("shell"));
    }
}

fn ssh(checker: &mut Checker<'_>, base: &Base) {
    let Some(ssh) = in_force(base.ssh.as_ref()) else { return };
    let at = |field| ["base", "ssh", field];
    values::networks(checker, &ssh.from, &at("from"));
    if !ssh.from.is_empty() && in_force(base.firewall.as_ref()).is_none() {
        let message = "`from` is kept by the firewall, which is switched off";
        checker.key(
            &at("from"),
            message,
            "take `firewall: false` away, or write `Match Address` into a file",
        );
    }
    let mut seen = BTreeMap::new();
    for (keyword, value) in &ssh.settings {
        let at = ["base", "ssh", "settings", keyword.as_str()];
        let lower = keyword.to_ascii_lowercase();
        if let Some(first) = seen.insert(lower.clone(), keyword) {
            let message = format!(
                "{} is {} in other letters, and the server takes the first",
                quoted(keyword),
                quoted(first)
            );
            checker.key(&at, message, "keep one of the two");
        }
        if let Some((_, field)) = FIELDS.iter().find(|(theirs, _)| *theirs == lower) {
            checker.key(
                &at,
                format!("{} has a field of its own", quoted(keyword)),
                format!("write `{field}:`"),
            );
        } else if !host_names::sshd_keyword(keyword) {
            let message = format!("{} is not a keyword of sshd_config", quoted(keyword));
            checker.key(&at, message, "write it as in `man sshd_config`: MaxAuthTries");
        } else if matches!(lower.as_str(), "match" | "include") {
            let message = format!("{} begins a block, which does not fit here", quoted(keyword));
            checker.key(&at, message, "put it into a file below /etc/ssh/sshd_config.d under `files:`");
        }
        if !host_names::line(&value.to_text(), 1024) || value.to_text().trim().is_empty() {
            checker.value(&at, format!("{} has no value of one line", quoted(keyword)), "write one line");
        }
    }
    let keys = checker.configuration.users.values().any(|user| !user.keys.is_empty());
    if base.admins.is_empty() && !keys && !ssh.password_authentication {
        checker.warn(
            &["base"],
            "nobody is given a key, and nobody will be able to sign in over SSH with a password",
            "add `admins:`, or write `ssh: {password_authentication: true}` or `ssh: false`",
        );
    }
}
