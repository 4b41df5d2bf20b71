//! Packages and their sources.

use super::host::Host;
use muster_domain::{
    fleet::{PackagePresence, declared},
    host_names,
    resource::{AptRepository, DesiredState, Package, PackageEnsure, ResourceKey},
};

/// Adds the sources and packages that are meant for the node.
pub(super) fn compile(host: &mut Host<'_, '_>) {
    let configuration = host.input.configuration;
    for (entry_name, entry) in host.entries(&configuration.apt_repositories, |entry| entry.common()) {
        let at = ("apt_repositories", entry_name);
        let name = host.name(at, entry.name.as_ref(), host_names::drop_in);
        let place = format!("apt_repositories.{entry_name}");
        let Some(key) = host.text(&place, entry.key.as_ref(), entry.key_source.as_ref()) else { continue };
        entry.uris.iter().for_each(|uri| host.must(uri, host_names::source_address, &place));
        let texts = [&entry.suites, &entry.components, &entry.architectures];
        texts.into_iter().flatten().for_each(|text| host.must(text, host_names::source_word, &place));
        host.add(
            ResourceKey::new("apt_repository", name),
            DesiredState::AptRepository(AptRepository {
                name: name.to_owned(),
                uris: entry.uris.clone(),
                suites: entry.suites.clone(),
                components: entry.components.clone(),
                architectures: entry.architectures.clone(),
                key: key.into_bytes(),
            }),
        );
    }
    for (entry_name, entry) in host.entries(&configuration.packages, |entry| entry.common()) {
        let name = host.name(("packages", entry_name), entry.name.as_ref(), host_names::package);
        let ensure = match (entry.ensure, &entry.version) {
            (Some(PackagePresence::Absent), _) => PackageEnsure::Absent,
            (Some(PackagePresence::Purged), _) => PackageEnsure::Purged,
            (Some(PackagePresence::Present) | None, None) => PackageEnsure::Present,
            (Some(PackagePresence::Present) | None, Some(version)) => {
                host.must(version, host_names::package_version, &format!("packages.{entry_name}.version"));
                PackageEnsure::Version(version.clone())
            }
        };
        host.add(
            declared::package(name),
            DesiredState::Package(Package { name: name.to_owned(), ensure, hold: entry.hold }),
        );
    }
}

/// A package in whichever version.
pub(super) fn present(name: &str) -> DesiredState {
    DesiredState::Package(Package { name: name.to_owned(), ensure: PackageEnsure::Present, hold: false })
}
