//! What comes before what: references that people wrote, and what goes without saying. Also how far the agent goes with a
//! resource, and what becomes of it in the end.

use super::CompileProblem;
use muster_domain::{
    fleet::declared::{Declared, Reference, Sharing},
    resource::{DesiredState, Mode, OnRemoval, Resource, ResourceKey},
};
use std::collections::{BTreeMap, BTreeSet};

/// Finds resources that are declared twice for the node. `declared` is what is declared for this node.
pub(super) fn twice(declared: &[Declared<'_>], problems: &mut Vec<CompileProblem>) {
    let mut claims: BTreeMap<String, &Declared<'_>> = BTreeMap::new();
    for entry in declared.iter().filter(|entry| entry.sharing == Sharing::Own) {
        let mut claimed: Vec<String> = entry.paths().into_iter().map(Into::into).collect();
        claimed.push(entry.key.to_string());
        for claim in claimed {
            match claims.get(&claim) {
                None => {
                    claims.insert(claim, entry);
                }
                // Two files are compared where their content is read.
                Some(first) if first.at[0] == "files" && entry.at[0] == "files" => {}
                Some(first) => {
                    let by = [first.at.join("."), entry.at.join(".")];
                    problems.push(CompileProblem::Duplicate { key: entry.key.clone(), by });
                    break;
                }
            }
        }
    }
}

/// Adds what each resource comes after, and what its entry says of it. References to what is not on this node are left out:
/// an entry may be meant for more nodes than what it refers to.
pub(super) fn connect(declared: &[Declared<'_>], resources: &mut [Resource]) {
    let keys: BTreeSet<ResourceKey> = resources.iter().map(|resource| resource.key.clone()).collect();
    let mut by_key: BTreeMap<&ResourceKey, Vec<&Declared<'_>>> = BTreeMap::new();
    for entry in declared {
        by_key.entry(&entry.key).or_default().push(entry);
    }
    let meant = |text: &String, of: &ResourceKey| -> Vec<ResourceKey> {
        match Reference::parse(text) {
            None => Vec::new(),
            Some(Reference::One(key)) => keys.get(&key).cloned().into_iter().collect(),
            Some(below) => keys.iter().filter(|key| *key != of && below.means(key)).cloned().collect(),
        }
    };
    // Who is said to come after whom: what goes without saying gives way to it.
    let mut said: BTreeSet<(ResourceKey, ResourceKey)> = BTreeSet::new();
    for entry in declared {
        let common = &entry.common;
        for text in common.depends_on.iter().chain(common.reload_on).chain(common.restart_on) {
            said.extend(meant(text, &entry.key).into_iter().map(|first| (entry.key.clone(), first)));
        }
    }
    let unsaid = |candidates: &[ResourceKey], of: &ResourceKey| -> Vec<ResourceKey> {
        let here = candidates.iter().filter(|key| *key != of && keys.contains(*key));
        here.filter(|key| !said.contains(&((*key).clone(), of.clone()))).cloned().collect()
    };
    for resource in resources {
        let own = resource.key.clone();
        for entry in by_key.get(&own).into_iter().flatten() {
            let common = &entry.common;
            let all = |texts: &[String]| texts.iter().flat_map(|text| meant(text, &own)).collect::<Vec<_>>();
            resource.depends_on.extend(all(common.depends_on));
            resource.depends_on.extend(unsaid(&entry.after, &own));
            resource.reload_on.extend(all(common.reload_on));
            resource.restart_on.extend(all(common.restart_on));
            resource.restart_on.extend(unsaid(&entry.restarts_after, &own));
            // What comes with something else was most likely there before, and stays.
            if entry.sharing != Sharing::Implied && common.on_removal == Some(OnRemoval::Remove) {
                resource.on_removal = OnRemoval::Remove;
            }
        }
        resource.mode = by_key.get(&own).map_or(Mode::Enforce, |entries| mode(entries));
        if let DesiredState::Application(application) = &resource.desired {
            let user = application.user.as_ref().map(|name| ResourceKey::new("user", name));
            let group = application.process.group.as_ref().map(|name| ResourceKey::new("group", name));
            resource.depends_on.extend(user.into_iter().chain(group).filter(|key| keys.contains(key)));
        }
        // What restarts after something need not reload after it.
        let restarts: BTreeSet<&ResourceKey> = resource.restart_on.iter().collect();
        resource.reload_on.retain(|key| !restarts.contains(key));
    }
}

/// How far the agent goes with a resource. Entries that declare it are as strict as the strictest; where it only comes with
/// others, one of them that is enforced needs it.
fn mode(entries: &[&Declared<'_>]) -> Mode {
    let modes = |implied: bool| {
        let of = entries.iter().filter(move |entry| (entry.sharing == Sharing::Implied) == implied);
        of.map(|entry| entry.common.enforcement.unwrap_or_default())
    };
    modes(false).max().or_else(|| modes(true).min()).unwrap_or_default()
}

/// Keeps every resource as strict as its node and environment.
pub(super) fn hold(resources: &mut [Resource], mode: Mode) {
    for resource in resources {
        resource.mode = resource.mode.max(mode);
    }
}
