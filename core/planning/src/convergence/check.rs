//! What no assignment may look like, whoever signed it.

use super::claims::claims;
use muster_domain::resource::{Resource, ResourceKey};
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

/// A contradiction in an assignment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssignmentFault {
    /// Two resources have one key.
    #[error("resource {0} is listed twice")]
    Duplicate(ResourceKey),
    /// Two resources want the same thing (a path, a package, a service) to be different.
    #[error("resources {first} and {second} both claim {claim}")]
    SameClaim {
        /// The earlier one.
        first: ResourceKey,
        /// The later one.
        second: ResourceKey,
        /// What both claim.
        claim: String,
    },
    /// A dependency is not part of the assignment.
    #[error("resource {resource} depends on {missing}, which is not part of the assignment")]
    MissingDependency {
        /// Who depends.
        resource: ResourceKey,
        /// On what.
        missing: ResourceKey,
    },
    /// Resources depend on each other in a circle.
    #[error("resources depend on each other in a circle: {}", circle.iter().map(ResourceKey::as_str).collect::<Vec<_>>().join(" -> "))]
    Circle {
        /// The circle; the first is repeated at the end.
        circle: Vec<ResourceKey>,
    },
    /// A resource stands before something that it depends on.
    #[error("resource {resource} stands before {dependency}, which it depends on")]
    OutOfOrder {
        /// Who depends.
        resource: ResourceKey,
        /// On what.
        dependency: ResourceKey,
    },
}

/// Finds every contradiction; an empty list means that the resources can be applied in their order.
pub fn check(resources: &[Resource]) -> Vec<AssignmentFault> {
    let mut faults = Vec::new();
    let mut position: BTreeMap<&ResourceKey, usize> = BTreeMap::new();
    let mut claimed: BTreeMap<String, &ResourceKey> = BTreeMap::new();
    for (index, resource) in resources.iter().enumerate() {
        if position.insert(&resource.key, index).is_some() {
            faults.push(AssignmentFault::Duplicate(resource.key.clone()));
            continue;
        }
        for claim in claims(&resource.desired) {
            match claimed.entry(claim) {
                Entry::Vacant(free) => {
                    free.insert(&resource.key);
                }
                // One resource that names a path twice contradicts itself no less.
                Entry::Occupied(taken) => {
                    let (first, second) = ((*taken.get()).clone(), resource.key.clone());
                    faults.push(AssignmentFault::SameClaim { first, second, claim: taken.key().clone() });
                }
            }
        }
    }
    if let Some(circle) = circle(resources, &position) {
        faults.push(AssignmentFault::Circle { circle });
        return faults;
    }
    for (index, resource) in resources.iter().enumerate() {
        for dependency in resource.comes_after() {
            let resource = resource.key.clone();
            match position.get(dependency) {
                None => {
                    let missing = dependency.clone();
                    faults.push(AssignmentFault::MissingDependency { resource, missing });
                }
                Some(at) if *at >= index => {
                    let dependency = dependency.clone();
                    faults.push(AssignmentFault::OutOfOrder { resource, dependency });
                }
                Some(_) => {}
            }
        }
    }
    faults
}

/// The first circle, found without recursion: an assignment may be as deep as it is long.
fn circle(resources: &[Resource], position: &BTreeMap<&ResourceKey, usize>) -> Option<Vec<ResourceKey>> {
    let mut done = BTreeSet::new();
    for start in 0..resources.len() {
        let mut path: Vec<(usize, usize)> = vec![(start, 0)];
        while let Some((index, next)) = path.last_mut() {
            let index = *index;
            let Some(dependency) = resources[index].comes_after().nth(*next) else {
                done.insert(index);
                path.pop();
                continue;
            };
            *next += 1;
            let Some(&target) = position.get(dependency) else { continue };
            if let Some(from) = path.iter().position(|(on_path, _)| *on_path == target) {
                let mut circle: Vec<ResourceKey> =
                    path[from..].iter().map(|(index, _)| resources[*index].key.clone()).collect();
                circle.push(resources[target].key.clone());
                return Some(circle);
            }
            if !done.contains(&target) {
                path.push((target, 0));
            }
        }
    }
    None
}
