//! Keeps what became of each resource during a run, and says who must be skipped, or has to wait, for it.

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

/// Why a resource must not be tried now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocked<'a> {
    /// What it depends on failed, was skipped itself, or has not been tried.
    Failed(&'a ResourceKey),
    /// What it depends on has to wait.
    Waits(&'a ResourceKey),
}

impl Blocked<'_> {
    /// How the resource stands for it, and why, for a person.
    pub fn standing(self) -> (ResourceStatus, String) {
        match self {
            Self::Failed(dependency) => {
                let detail = format!("{dependency}, which it depends on, is not in place");
                (ResourceStatus::Skipped, detail)
            }
            Self::Waits(dependency) => (ResourceStatus::Waiting, format!("waits for {dependency}")),
        }
    }
}

impl Outcomes {
    /// Notes what became of a resource.
    pub fn record(&mut self, key: ResourceKey, status: ResourceStatus) {
        self.statuses.insert(key, status);
    }

    /// What became of a resource, if it was its turn already.
    pub fn of(&self, key: &ResourceKey) -> Option<ResourceStatus> {
        self.statuses.get(key).copied()
    }

    /// The dependency because of which a resource must not be tried. A failure counts before a wait: it needs somebody. One
    /// that cannot be managed here, or may not be changed, holds nobody up.
    pub fn blocked_by<'a>(&self, resource: &'a Resource) -> Option<Blocked<'a>> {
        let mut waits = None;
        for dependency in &resource.depends_on {
            match self.of(dependency) {
                None | Some(ResourceStatus::Failed | ResourceStatus::Skipped) => {
                    return Some(Blocked::Failed(dependency));
                }
                Some(ResourceStatus::Waiting) => waits = waits.or(Some(Blocked::Waits(dependency))),
                Some(ResourceStatus::Converged | ResourceStatus::Unsupported | ResourceStatus::Drifted) => {}
            }
        }
        waits
    }
}
