//! Packages: all that need a change and may be changed go into one transaction, because each costs seconds and a lock.

use super::run::{Outcome, Run};
use crate::ledger::Noted;
use muster_domain::{
    observed::{ChangeCause, ResourceStatus},
    resource::{DesiredState, Package, ResourceKey},
};
use muster_planning::convergence::Decision;
use std::collections::BTreeSet;

/// One package of a transaction.
struct Member {
    index: usize,
    cause: ChangeCause,
    reason: String,
    diff: Option<String>,
    noted: Noted,
}

impl Run<'_> {
    /// Brings a package to what it should be, and with it every later one that can be. The turn was taken.
    pub(super) async fn install(&mut self, first: usize, reason: String, diff: Option<String>) -> Outcome {
        let mut members = Vec::new();
        let mut failed = None;
        for (index, reason, diff) in self.together_with(first, reason, diff).await {
            let cause = self.cause(index);
            match self.note(index, cause).await {
                Ok(noted) => members.push(Member { index, cause, reason, diff, noted }),
                // What cannot be remembered is not done.
                Err(reason) => {
                    let outcome = Outcome::new(ResourceStatus::Failed, reason).with_diff(diff);
                    if index == first {
                        failed = Some(outcome);
                        break;
                    }
                    self.record(index, outcome);
                }
            }
        }
        if let Some(outcome) = failed {
            return outcome;
        }
        let (sight, assignment) = (self.sight.clone(), self.assignment.clone());
        let indices: Vec<usize> = members.iter().map(|member| member.index).collect();
        let mut results = crate::blocking(move || {
            let wanted: Vec<&Package> = indices
                .iter()
                .filter_map(|index| match &assignment.content.resources[*index].desired {
                    DesiredState::Package(package) => Some(package),
                    _ => None,
                })
                .collect();
            sight.kinds.install_packages(sight.look(), &wanted)
        })
        .await;
        let mut own = Outcome::new(ResourceStatus::Failed, "apt was not asked for it");
        for Member { index, cause, reason, diff, noted } in members {
            let DesiredState::Package(package) = &self.resource(index).0.desired else { continue };
            let result = results
                .remove(&package.name)
                .unwrap_or_else(|| Err("apt did not say what became of it".to_owned()));
            let outcome = match result {
                Ok(note) => {
                    let key = self.resource(index).0.key.clone();
                    self.converger.retries.succeeded(&key);
                    self.was_changed(index);
                    let detail = [Some(reason), note].into_iter().flatten().collect::<Vec<_>>().join("; ");
                    Outcome { status: ResourceStatus::Converged, change: Some(cause), detail, diff }
                }
                Err(reason) => {
                    if self.unchanged(index).await {
                        self.take_back(noted);
                    } else {
                        self.was_changed(index);
                    }
                    let detail = self.hold_back(index, reason).await;
                    Outcome::new(ResourceStatus::Failed, detail).with_diff(diff)
                }
            };
            if index == first {
                own = outcome;
            } else {
                self.record(index, outcome);
            }
        }
        own
    }

    /// The packages that go into the transaction of the first one, in the order of the assignment. Those whose dependencies
    /// come later have to wait for another.
    async fn together_with(
        &mut self,
        first: usize,
        reason: String,
        diff: Option<String>,
    ) -> Vec<(usize, String, Option<String>)> {
        let assignment = self.assignment.clone();
        let resources = &assignment.content.resources;
        let mut keys: BTreeSet<&ResourceKey> = BTreeSet::from([&resources[first].key]);
        let mut members = vec![(first, reason, diff)];
        for (index, resource) in resources.iter().enumerate().skip(first + 1) {
            let ready = |key: &ResourceKey| {
                keys.contains(key)
                    || matches!(
                        self.outcomes.of(key),
                        Some(
                            ResourceStatus::Converged | ResourceStatus::Unsupported | ResourceStatus::Drifted
                        )
                    )
            };
            if self.reports[index].is_some()
                || !matches!(resource.desired, DesiredState::Package(_))
                || !resource.comes_after().all(ready)
            {
                continue;
            }
            let Decision::Do { reason, .. } = self.decide_unblocked(index).await else { continue };
            let diff = self.diff(index).await;
            keys.insert(&resource.key);
            members.push((index, reason, diff));
        }
        members
    }
}
