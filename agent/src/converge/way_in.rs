//! The last way in: what is no longer declared is not taken away while nobody else who administers the node could sign in.

use super::released::{Fate, fate};
use super::run::Run;
use crate::ledger::Released;
use crate::resources::{last_way_in, of_use_to_admins};
use muster_domain::{
    observed::{ResourceReport, ResourceStatus},
    resource::{DesiredState, ResourceKey},
};
use std::collections::{BTreeMap, BTreeSet};

/// Whether it is to go, and may be what lets somebody in.
pub(super) fn lets_in(released: &Released, fate: Fate) -> bool {
    fate == Fate::Goes && of_use_to_admins(&released.resource.desired)
}

impl Run<'_> {
    /// What of that which is to go has to stay, and why: without it, and without what goes before it, nobody who
    /// administers the node could sign in any more.
    pub(super) async fn last_way_in(
        &self,
        released: &[Released],
        claimed: &BTreeSet<String>,
    ) -> BTreeMap<ResourceKey, String> {
        let resources = &self.assignment.content.resources;
        let goes = released.iter().rev().filter(|entry| lets_in(entry, fate(entry, claimed, resources)));
        let goes: Vec<_> =
            goes.map(|entry| (entry.resource.key.clone(), entry.resource.desired.clone())).collect();
        if goes.is_empty() {
            return BTreeMap::new();
        }
        let sight = self.sight.clone();
        crate::blocking(move || {
            let (mut gone, mut stays) = (Vec::<DesiredState>::new(), BTreeMap::new());
            for (key, desired) in goes {
                gone.push(desired);
                let reason = last_way_in(sight.look(), &gone).unwrap_or_else(|error| {
                    Some(format!("who could sign in without it cannot be told: {error}"))
                });
                if let Some(reason) = reason {
                    stays.insert(key, reason);
                    gone.pop();
                }
            }
            stays
        })
        .await
    }

    /// The report of what stays because of that. It is looked at again with each run.
    pub(super) fn stays_as_the_last(&self, released: &Released, reason: &str) -> ResourceReport {
        ResourceReport {
            key: released.resource.key.clone(),
            status: ResourceStatus::Failed,
            mode: released.resource.mode,
            change: None,
            detail: format!("is no longer declared and is to be removed: {reason}"),
            diff: None,
        }
    }
}
