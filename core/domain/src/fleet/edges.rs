//! What comes first without being said: a user before its keys, a package before what lies in its folder below `/etc`. Each
//! is a candidate: it holds on nodes that have it declared, unless somebody says the opposite.

use super::{
    CertificateEntry, CommandEntry, CronJobEntry, FileEntry, FleetConfiguration, PackageEntry, UserEntry,
    declared::{name_of, package},
};
use crate::resource::ResourceKey;
use std::{collections::BTreeSet, ops::Bound};

/// Packages that are not called like their folder below `/etc` or like their service.
const OTHERWISE_CALLED: [(&str, &str); 12] = [
    ("cron.d", "cron"),
    ("letsencrypt", "certbot"),
    ("logrotate.d", "logrotate"),
    ("mongod", "mongodb-org"),
    ("php", "php-fpm"),
    ("rabbitmq", "rabbitmq-server"),
    ("redis", "redis-server"),
    ("ssh", "openssh-server"),
    ("sshd", "openssh-server"),
    ("stunnel", "stunnel4"),
    ("sudoers.d", "sudo"),
    ("ufw", "ufw"),
];

/// Packages that a word most likely belongs to.
fn packages_of(word: &str) -> impl Iterator<Item = ResourceKey> {
    let others = OTHERWISE_CALLED.iter().filter(move |(called, _)| *called == word).map(|(_, name)| *name);
    std::iter::once(word).chain(others).map(package).collect::<Vec<_>>().into_iter()
}

fn user(name: Option<&String>) -> impl Iterator<Item = ResourceKey> {
    name.map(|name| ResourceKey::new("user", name)).into_iter()
}

fn group(name: Option<&String>) -> impl Iterator<Item = ResourceKey> {
    name.map(|name| ResourceKey::new("group", name)).into_iter()
}

/// The source that a package says it comes from.
pub(super) fn of_package(configuration: &FleetConfiguration, entry: &PackageEntry) -> Vec<ResourceKey> {
    let Some(repository) = &entry.repository else { return Vec::new() };
    let name = configuration
        .apt_repositories
        .get(repository)
        .map_or(repository.as_str(), |entry| name_of(repository, entry.name.as_ref()));
    vec![ResourceKey::new("apt_repository", name)]
}

/// The groups of a user.
pub(super) fn of_user(entry: &UserEntry) -> Vec<ResourceKey> {
    group(entry.group.as_ref()).chain(entry.groups.iter().flat_map(|name| group(Some(name)))).collect()
}

/// Who owns a file, and the package that its folder belongs to.
pub(super) fn of_file(entry: &FileEntry) -> Vec<ResourceKey> {
    let owners = user(entry.owner.as_ref()).chain(group(entry.group.as_ref()));
    owners.chain(of_path(&entry.path)).collect()
}

/// The package that a path below `/etc` belongs to.
fn of_path(path: &str) -> impl Iterator<Item = ResourceKey> {
    let mut parts = path.strip_prefix("/etc/").unwrap_or_default().split('/');
    let word = match (parts.next(), parts.next()) {
        (Some("default"), Some(name)) => Some(name),
        (Some(folder), Some(_)) if !folder.is_empty() => Some(folder),
        _ => None,
    };
    word.into_iter().flat_map(packages_of).collect::<Vec<_>>().into_iter()
}

/// Who owns a certificate.
pub(super) fn of_certificate(entry: &CertificateEntry) -> Vec<ResourceKey> {
    user(entry.owner.as_ref()).chain(group(entry.group.as_ref())).collect()
}

/// Who runs a job, and what runs jobs.
pub(super) fn of_cron_job(entry: &CronJobEntry) -> Vec<ResourceKey> {
    user(entry.user.as_ref()).chain(std::iter::once(package("cron"))).collect()
}

/// Who runs a command.
pub(super) fn of_command(entry: &CommandEntry) -> Vec<ResourceKey> {
    user(entry.user.as_ref()).collect()
}

/// The package that a unit comes with.
pub(super) fn of_service(unit: &str) -> Vec<ResourceKey> {
    let stem = unit.rsplit_once('.').map_or(unit, |(stem, _)| stem);
    packages_of(stem.split('@').next().unwrap_or(stem)).collect()
}

/// The names of all declared unit files and drop-ins.
pub(super) fn unit_files(configuration: &FleetConfiguration) -> BTreeSet<&str> {
    configuration.systemd_units.iter().map(|(entry, unit)| name_of(entry, unit.name.as_ref())).collect()
}

/// The unit file and the drop-ins of a unit, in force only after a restart.
pub(super) fn units_of_service(files: &BTreeSet<&str>, unit: &str) -> Vec<ResourceKey> {
    // `worker@1.service` is made of `worker@.service`.
    let template = unit
        .split_once('@')
        .zip(unit.rsplit_once('.'))
        .map(|((name, _), (_, suffix))| format!("{name}@.{suffix}"));
    let mut found: BTreeSet<&str> = BTreeSet::new();
    for unit in [Some(unit), template.as_deref()].into_iter().flatten() {
        let folder = format!("{unit}.d/");
        found.extend(files.get(unit).copied());
        let from_here = files.range::<str, _>((Bound::Included(folder.as_str()), Bound::Unbounded));
        found.extend(from_here.copied().take_while(|name| name.starts_with(&folder)));
    }
    found.into_iter().map(|name| ResourceKey::new("systemd_unit", name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(keys: impl IntoIterator<Item = ResourceKey>) -> Vec<String> {
        keys.into_iter().map(String::from).collect()
    }

    #[test]
    fn folders_and_services_belong_to_packages() {
        assert_eq!(keys(of_path("/etc/nginx/nginx.conf")), ["package:nginx"]);
        assert_eq!(keys(of_path("/etc/ssh/sshd_config")), ["package:ssh", "package:openssh-server"]);
        assert_eq!(keys(of_path("/etc/default/haproxy")), ["package:haproxy"]);
        for path in ["/etc/motd", "/srv/nginx/a", "/etc", "/etc/"] {
            assert_eq!(keys(of_path(path)), Vec::<String>::new(), "{path}");
        }
        assert_eq!(keys(of_service("nginx.service")), ["package:nginx"]);
        assert_eq!(keys(of_service("openvpn@client.service")), ["package:openvpn"]);
    }

    #[test]
    fn a_service_restarts_after_its_unit_file_its_drop_ins_and_those_of_its_template() {
        let mut fleet = FleetConfiguration::default();
        for name in ["worker@.service", "worker@1.service.d/a.conf", "worker.service", "other.service"] {
            fleet.systemd_units.insert(name.to_owned(), Default::default());
        }
        let units = |unit| keys(units_of_service(&unit_files(&fleet), unit));
        assert_eq!(
            units("worker@1.service"),
            ["systemd_unit:worker@.service", "systemd_unit:worker@1.service.d/a.conf"]
        );
        assert_eq!(units("worker.service"), ["systemd_unit:worker.service"]);
    }
}
