//! Keeps what became of each resource during a run, and says who must be skipped for it.

use muster_domain::{
    observed::ResourceStatus,
    resource::{Resource, ResourceKey},
};
use std::collections::BTreeMap;

/// What became of the resources so far.
#[derive(Debug, Clone, Default)]
pub struct Outcomes {
    statuses: BTreeMap<ResourceKey, ResourceStatus>,
}

impl Outcomes {
    /// Notes what became of a resource.
    pub fn record(&mut self, key: ResourceKey, status: ResourceStatus) {
        self.statuses.insert(key, status);
    }

    /// The dependency because of which a resource must not be tried: it failed, was skipped itself, or has not been
    /// tried. One that cannot be managed here, or that the supervisor is still mending, holds nobody up.
    pub fn blocked_by<'a>(&self, resource: &'a Resource) -> Option<&'a ResourceKey> {
        resource.depends_on.iter().find(|dependency| match self.statuses.get(*dependency) {
            None | Some(ResourceStatus::Failed | ResourceStatus::Skipped | ResourceStatus::Waiting) => true,
            Some(ResourceStatus::Converged | ResourceStatus::Unsupported | ResourceStatus::Drifted) => false,
        })
    }
}
