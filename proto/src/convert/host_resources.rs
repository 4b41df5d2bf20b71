//! Packages, accounts, names and certificates of a host. Each name is checked here, because it ends up in a file or a command
//! line of root's.

use super::InvalidMessage;
use super::desired_state::absolute;
use crate::v1;
use muster_domain::{
    host_names as names,
    resource::{
        AptRepository, AuthorizedKey, Certificate, Ensure, Group, Hosts, HostsEntry, OsUpdates, Package,
        PackageEnsure, Sysctl, UpdateScope, User,
    },
    window::Window,
};
use std::net::IpAddr;

/// The longest line that is taken: a command, an SSH key, a comment.
pub(super) const MAX_LINE_BYTES: usize = 16 * 1024;

pub(super) fn checked(
    field: &'static str,
    text: String,
    rule: impl FnOnce(&str) -> bool,
) -> Result<String, InvalidMessage> {
    if rule(&text) {
        return Ok(text);
    }
    let shown: String = text.chars().take(80).collect();
    Err(InvalidMessage::new(field, format!("{shown:?} is not valid here")))
}

pub(super) fn maybe(
    field: &'static str,
    text: Option<String>,
    rule: impl FnOnce(&str) -> bool,
) -> Result<Option<String>, InvalidMessage> {
    text.map(|text| checked(field, text, rule)).transpose()
}

pub(super) fn line(text: &str) -> bool {
    names::line(text, MAX_LINE_BYTES)
}

fn words(field: &'static str, texts: Vec<String>) -> Result<Vec<String>, InvalidMessage> {
    texts.into_iter().map(|text| checked(field, text, names::source_word)).collect()
}

fn address(field: &'static str, text: &str) -> Result<IpAddr, InvalidMessage> {
    text.parse().map_err(|_| InvalidMessage::new(field, "is not an address"))
}

const fn ensure(absent: bool) -> Ensure {
    if absent { Ensure::Absent } else { Ensure::Present }
}

impl From<&AptRepository> for v1::AptRepository {
    fn from(repository: &AptRepository) -> Self {
        let AptRepository { name, uris, suites, components, architectures, key } = repository;
        Self {
            name: name.clone(),
            uris: uris.clone(),
            suites: suites.clone(),
            components: components.clone(),
            architectures: architectures.clone(),
            key: key.clone(),
        }
    }
}

impl TryFrom<v1::AptRepository> for AptRepository {
    type Error = InvalidMessage;
    fn try_from(wire: v1::AptRepository) -> Result<Self, InvalidMessage> {
        Ok(Self {
            name: checked("apt_repository.name", wire.name, names::drop_in)?,
            uris: words("apt_repository.uris", wire.uris)?,
            suites: words("apt_repository.suites", wire.suites)?,
            components: words("apt_repository.components", wire.components)?,
            architectures: words("apt_repository.architectures", wire.architectures)?,
            key: wire.key,
        })
    }
}

impl From<&Package> for v1::Package {
    fn from(package: &Package) -> Self {
        use v1::package::{Ensure as Wire, Unit};
        let Package { name, ensure, hold } = package;
        let ensure = match ensure {
            PackageEnsure::Present => Wire::Present(Unit {}),
            PackageEnsure::Version(version) => Wire::Version(version.clone()),
            PackageEnsure::Absent => Wire::Absent(Unit {}),
            PackageEnsure::Purged => Wire::Purged(Unit {}),
        };
        Self { name: name.clone(), ensure: Some(ensure), hold: *hold }
    }
}

impl TryFrom<v1::Package> for Package {
    type Error = InvalidMessage;
    fn try_from(wire: v1::Package) -> Result<Self, InvalidMessage> {
        use v1::package::Ensure as Wire;
        let ensure = match wire.ensure {
            Some(Wire::Present(_)) => PackageEnsure::Present,
            Some(Wire::Version(version)) => {
                PackageEnsure::Version(checked("package.version", version, names::package_version)?)
            }
            Some(Wire::Absent(_)) => PackageEnsure::Absent,
            Some(Wire::Purged(_)) => PackageEnsure::Purged,
            None => return Err(InvalidMessage::new("package.ensure", "is missing")),
        };
        Ok(Self { name: checked("package.name", wire.name, names::package)?, ensure, hold: wire.hold })
    }
}

impl From<&OsUpdates> for v1::OsUpdates {
    fn from(updates: &OsUpdates) -> Self {
        let OsUpdates { scope, reboot } = updates;
        let scope = match scope {
            UpdateScope::None => v1::UpdateScope::None,
            UpdateScope::Security => v1::UpdateScope::Security,
            UpdateScope::All => v1::UpdateScope::All,
        };
        Self { scope: scope.into(), reboot: reboot.as_ref().map(ToString::to_string) }
    }
}

impl TryFrom<v1::OsUpdates> for OsUpdates {
    type Error = InvalidMessage;
    fn try_from(wire: v1::OsUpdates) -> Result<Self, InvalidMessage> {
        let scope = match wire.scope() {
            v1::UpdateScope::None => UpdateScope::None,
            v1::UpdateScope::Security => UpdateScope::Security,
            v1::UpdateScope::All => UpdateScope::All,
            v1::UpdateScope::Unspecified => {
                return Err(InvalidMessage::new("os_updates.scope", "is missing"));
            }
        };
        let reboot = wire.reboot.map(|text| Window::parse(&text)).transpose();
        Ok(Self { scope, reboot: reboot.map_err(|error| InvalidMessage::new("os_updates.reboot", error))? })
    }
}

impl From<&Group> for v1::Group {
    fn from(group: &Group) -> Self {
        let Group { name, ensure, gid, system } = group;
        Self { name: name.clone(), absent: *ensure == Ensure::Absent, gid: *gid, system: *system }
    }
}

impl TryFrom<v1::Group> for Group {
    type Error = InvalidMessage;
    fn try_from(wire: v1::Group) -> Result<Self, InvalidMessage> {
        let v1::Group { name, absent, gid, system } = wire;
        Ok(Self { name: checked("group.name", name, names::account)?, ensure: ensure(absent), gid, system })
    }
}

impl From<&User> for v1::User {
    fn from(user: &User) -> Self {
        let User { name, ensure, uid, group, groups, shell, home, comment, system } = user;
        Self {
            name: name.clone(),
            absent: *ensure == Ensure::Absent,
            uid: *uid,
            group: group.clone(),
            groups: groups.clone(),
            shell: shell.clone(),
            home: home.clone(),
            comment: comment.clone(),
            system: *system,
        }
    }
}

impl TryFrom<v1::User> for User {
    type Error = InvalidMessage;
    fn try_from(wire: v1::User) -> Result<Self, InvalidMessage> {
        // Neither may hold what separates the fields of /etc/passwd.
        let field = |text: &str| line(text) && !text.contains(':');
        let groups = wire.groups.into_iter().map(|name| checked("user.groups", name, names::account));
        Ok(Self {
            name: checked("user.name", wire.name, names::account)?,
            ensure: ensure(wire.absent),
            uid: wire.uid,
            group: maybe("user.group", wire.group, names::account)?,
            groups: groups.collect::<Result<_, _>>()?,
            shell: maybe("user.shell", wire.shell.map(absolute).transpose()?, field)?,
            home: maybe("user.home", wire.home.map(absolute).transpose()?, field)?,
            comment: maybe("user.comment", wire.comment, field)?,
            system: wire.system,
        })
    }
}

impl From<&AuthorizedKey> for v1::AuthorizedKey {
    fn from(key: &AuthorizedKey) -> Self {
        let AuthorizedKey { user, keys, exclusive } = key;
        Self { user: user.clone(), keys: keys.clone(), exclusive: *exclusive }
    }
}

impl TryFrom<v1::AuthorizedKey> for AuthorizedKey {
    type Error = InvalidMessage;
    fn try_from(wire: v1::AuthorizedKey) -> Result<Self, InvalidMessage> {
        let keys = wire
            .keys
            .into_iter()
            .map(|key| checked("authorized_key.keys", key, |key| !key.trim().is_empty() && line(key)));
        Ok(Self {
            user: checked("authorized_key.user", wire.user, names::account)?,
            keys: keys.collect::<Result<_, _>>()?,
            exclusive: wire.exclusive,
        })
    }
}

impl From<&Hosts> for v1::Hosts {
    fn from(hosts: &Hosts) -> Self {
        let entry = |HostsEntry { address, names }: &HostsEntry| v1::hosts::Entry {
            address: address.to_string(),
            names: names.clone(),
        };
        Self { entries: hosts.entries.iter().map(entry).collect() }
    }
}

impl TryFrom<v1::Hosts> for Hosts {
    type Error = InvalidMessage;
    fn try_from(wire: v1::Hosts) -> Result<Self, InvalidMessage> {
        let entry = |entry: v1::hosts::Entry| {
            let names: Vec<String> = entry
                .names
                .into_iter()
                .map(|name| checked("hosts.names", name, names::host))
                .collect::<Result<_, _>>()?;
            if names.is_empty() {
                return Err(InvalidMessage::new("hosts.names", "is empty"));
            }
            Ok(HostsEntry { address: address("hosts.address", &entry.address)?, names })
        };
        Ok(Self { entries: wire.entries.into_iter().map(entry).collect::<Result<_, _>>()? })
    }
}

impl From<&Sysctl> for v1::Sysctl {
    fn from(sysctl: &Sysctl) -> Self {
        let Sysctl { name, value } = sysctl;
        Self { name: name.clone(), value: value.clone() }
    }
}

impl TryFrom<v1::Sysctl> for Sysctl {
    type Error = InvalidMessage;
    fn try_from(wire: v1::Sysctl) -> Result<Self, InvalidMessage> {
        Ok(Self {
            name: checked("sysctl.name", wire.name, names::sysctl)?,
            value: checked("sysctl.value", wire.value, line)?,
        })
    }
}

impl From<&Certificate> for v1::Certificate {
    fn from(certificate: &Certificate) -> Self {
        let Certificate { name, dns_names, addresses, key_path, certificate_path, ca_path, owner, group } =
            certificate;
        Self {
            name: name.clone(),
            dns_names: dns_names.clone(),
            addresses: addresses.iter().map(ToString::to_string).collect(),
            key_path: key_path.clone(),
            certificate_path: certificate_path.clone(),
            ca_path: ca_path.clone(),
            owner: owner.clone(),
            group: group.clone(),
        }
    }
}

impl TryFrom<v1::Certificate> for Certificate {
    type Error = InvalidMessage;
    fn try_from(wire: v1::Certificate) -> Result<Self, InvalidMessage> {
        let names =
            wire.dns_names.into_iter().map(|name| checked("certificate.dns_names", name, names::host));
        let addresses = wire.addresses.iter().map(|text| address("certificate.addresses", text));
        Ok(Self {
            name: checked("certificate.name", wire.name, names::drop_in)?,
            dns_names: names.collect::<Result<_, _>>()?,
            addresses: addresses.collect::<Result<_, _>>()?,
            key_path: absolute(wire.key_path)?,
            certificate_path: absolute(wire.certificate_path)?,
            ca_path: wire.ca_path.map(absolute).transpose()?,
            owner: maybe("certificate.owner", wire.owner, names::account)?,
            group: maybe("certificate.group", wire.group, names::account)?,
        })
    }
}
