//! The order of application: a resource stands behind everything that it depends on, and apart from that the order is
//! fixed by kind and key alone, so that the order of declaration never shows.

use super::CompileProblem;
use muster_domain::resource::{DesiredState, Resource, ResourceKey};
use std::collections::{BTreeMap, BTreeSet};

/// What comes first among resources that do not depend on each other. Files are in place before an application starts,
/// although it does not depend on them: an unrelated file that fails must not hold a release back.
const fn rank(desired: &DesiredState) -> u8 {
    match desired {
        DesiredState::Hostname(_)
        | DesiredState::Hosts(_)
        | DesiredState::Timezone(_)
        | DesiredState::AptRepository(_) => 0,
        DesiredState::Package(_) => 1,
        DesiredState::OsUpdates(_) => 2,
        DesiredState::Group(_) => 3,
        DesiredState::User(_) => 4,
        DesiredState::AuthorizedKey(_) => 5,
        DesiredState::Sysctl(_) => 6,
        DesiredState::Directory(_) => 7,
        DesiredState::File(_) | DesiredState::SecretFile(_) => 8,
        DesiredState::Symlink(_) => 9,
        DesiredState::Certificate(_) => 10,
        DesiredState::SystemdUnit(_) | DesiredState::Logrotate(_) => 11,
        // Before anything that listens is started, and after the keys with which people sign in.
        DesiredState::Sshd(_) | DesiredState::Firewall(_) => 12,
        DesiredState::Service(_) => 13,
        DesiredState::Nodejs(_) => 14,
        DesiredState::Command(_) => 15,
        DesiredState::Application(_) => 16,
        DesiredState::CronJob(_) => 17,
    }
}

/// Sorts resources topologically and stably; dependencies are sorted and free of duplicates in the result. A dependency on
/// something that is not among the resources is an error of the compiler's own modules and shows as a circle.
pub(super) fn sort(resources: Vec<Resource>) -> Result<Vec<Resource>, CompileProblem> {
    let mut waiting: BTreeMap<(u8, ResourceKey), Resource> = BTreeMap::new();
    let mut ranks: BTreeMap<ResourceKey, u8> = BTreeMap::new();
    for mut resource in resources {
        for keys in [&mut resource.depends_on, &mut resource.reload_on, &mut resource.restart_on] {
            keys.sort();
            keys.dedup();
        }
        let rank = rank(&resource.desired);
        ranks.insert(resource.key.clone(), rank);
        waiting.insert((rank, resource.key.clone()), resource);
    }
    let mut missing: BTreeMap<ResourceKey, usize> = BTreeMap::new();
    let mut dependants: BTreeMap<ResourceKey, Vec<ResourceKey>> = BTreeMap::new();
    let mut ready: BTreeSet<(u8, ResourceKey)> = BTreeSet::new();
    for (place, resource) in &waiting {
        let before: BTreeSet<&ResourceKey> = resource.comes_after().collect();
        missing.insert(resource.key.clone(), before.len());
        if before.is_empty() {
            ready.insert(place.clone());
        }
        for dependency in before {
            dependants.entry(dependency.clone()).or_default().push(resource.key.clone());
        }
    }
    let mut sorted = Vec::with_capacity(waiting.len());
    while let Some(place) = ready.pop_first() {
        for dependant in dependants.remove(&place.1).unwrap_or_default() {
            let left = missing.get_mut(&dependant).expect("every dependant was counted above");
            *left -= 1;
            if *left == 0 {
                ready.insert((ranks[&dependant], dependant));
            }
        }
        sorted.extend(waiting.remove(&place));
    }
    if waiting.is_empty() {
        Ok(sorted)
    } else {
        let mut keys: Vec<_> = waiting.into_values().map(|resource| resource.key).collect();
        keys.sort();
        Err(CompileProblem::Cycle { keys })
    }
}
