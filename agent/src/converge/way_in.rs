//! The last way in: what is no longer declared is not taken away while nobody else who administers the node could sign in.

use super::released::{Fate, fate};
use super::run::Run;
use crate::ledger::Released;
use crate::resources::{last_way_in, of_use_to_admins};
use muster_domain::{
    observed::{ResourceReport, ResourceStatus},
    resource::DesiredState,
};
use std::collections::BTreeSet;

/// Whether it is to go, and may be what lets somebody in.
pub(super) fn lets_in(released: &Released, fate: Fate) -> bool {
    fate == Fate::Goes && of_use_to_admins(&released.resource.desired)
}

impl Run<'_> {
    /// Why nobody who administers the node could sign in any more if all that is to go went.
    pub(super) async fn last_way_in(
        &self,
        released: &[Released],
        claimed: &BTreeSet<String>,
    ) -> Option<String> {
        let goes = released
            .iter()
            .filter(|entry| lets_in(entry, fate(entry, claimed, &self.assignment.content.resources)));
        let gone: Vec<DesiredState> = goes.map(|entry| entry.resource.desired.clone()).collect();
        if gone.is_empty() {
            return None;
        }
        let sight = self.sight.clone();
        let found = crate::blocking(move || last_way_in(sight.look(), &gone)).await;
        found.unwrap_or_else(|error| Some(format!("who could sign in without it cannot be told: {error}")))
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
