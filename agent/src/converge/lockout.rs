//! What can lock somebody out is done in one go, under a timer that brings back what was there unless the controller is
//! reached with it.

use super::Converger;
use super::run::{Outcome, Run};
use crate::ledger::QueuedReport;
use crate::safe_apply::{Change, NotBegun, Proof};
use muster_domain::{
    Digest,
    event::Severity,
    observed::{ChangeCause, ResourceStatus},
    resource::{DesiredState, Mode, Resource, ResourceKey},
};
use muster_planning::convergence::{self, Action, Decision, Phases, Verdict, lockout_risk, phases};
use std::collections::{BTreeMap, BTreeSet};

impl Run<'_> {
    /// Does what is to be done about every resource: what is risky in one part, everything else before or after it.
    pub(super) async fn carry_out_all(&mut self) {
        let Phases { before, risky, after } = phases(&self.assignment.content.resources);
        self.carry_out(before).await;
        self.put_to_the_test(risky).await;
        self.carry_out(after).await;
    }

    async fn put_to_the_test(&mut self, risky: Vec<usize>) {
        let Some(safe) = self.converger.safe.clone() else { return self.carry_out(risky).await };
        let tested = self.what_to_test(&risky).await;
        self.under_test = Some(BTreeSet::new());
        if tested.is_empty() {
            return self.carry_out(risky).await;
        }
        let assignment = self.assignment.clone();
        let changes: Vec<Change<'_>> = tested
            .iter()
            .map(|(index, cause)| Change {
                resource: &assignment.content.resources[*index],
                digest: assignment.resource_digests[*index],
                corrective: *cause == ChangeCause::Corrective,
            })
            .collect();
        match safe.begin(&changes).await {
            Ok(armed) => {
                self.under_test = Some(tested.keys().copied().collect());
                self.carry_out(risky).await;
                match armed.finish().await {
                    Proof::Confirmed => {}
                    Proof::Reverted(reason) | Proof::StillCutOff(reason) => {
                        self.was_reverted(&tested, &reason)
                    }
                }
                self.converger.tell_reverted();
            }
            Err(not_begun) => {
                let (status, reason) = not_begun.standing();
                for index in tested.into_keys() {
                    let diff = self.diff(index).await;
                    self.record(index, Outcome::new(status, reason.clone()).with_diff(diff));
                }
                self.carry_out(risky).await;
            }
        }
    }

    /// What this run is going to change of it, and why; empty when nothing of that can lock anybody out. What waits for the
    /// node's turn is left out: it is not changed.
    async fn what_to_test(&mut self, risky: &[usize]) -> BTreeMap<usize, ChangeCause> {
        let assignment = self.assignment.clone();
        let resources = &assignment.content.resources;
        let mut tested: BTreeMap<usize, ChangeCause> = BTreeMap::new();
        for &index in risky {
            let resource = &resources[index];
            let held_up = resource.depends_on.iter().any(|key| {
                use ResourceStatus::{Failed, Skipped, Waiting};
                matches!(self.outcomes.of(key), Some(Failed | Skipped | Waiting))
            });
            if held_up || resource.mode == Mode::Ignore {
                continue;
            }
            let Decision::Do { actions, reason } = self.decide_unblocked(index).await else { continue };
            let cause = self.cause(index);
            if self.its_turn(index, &actions, cause, &reason).await.is_ok() {
                tested.insert(index, cause);
            }
        }
        if !tested.keys().any(|index| lockout_risk(&resources[*index].desired)) {
            return BTreeMap::new();
        }
        // Whoever reads it as well; each stands behind what it reads.
        for &index in risky {
            let told = tested
                .iter()
                .find(|(changed, _)| {
                    let key = &resources[**changed].key;
                    convergence::triggers(resources, key)
                        .any(|(watcher, _)| watcher.key == resources[index].key)
                })
                .map(|(_, cause)| *cause);
            if let Some(cause) = told.filter(|_| resources[index].mode == Mode::Enforce) {
                tested.entry(index).or_insert(cause);
            }
        }
        tested
    }

    /// Whether a change can lock somebody out and nothing would bring back what was there.
    pub(super) fn has_to_be_tested_first(&self, index: usize) -> bool {
        let untested = |tested: &BTreeSet<usize>| !tested.contains(&index);
        lockout_risk(&self.resource(index).0.desired) && self.under_test.as_ref().is_some_and(untested)
    }

    /// What was there before is back, and in force.
    fn was_reverted(&mut self, tested: &BTreeMap<usize, ChangeCause>, reason: &str) {
        let assignment = self.assignment.clone();
        for index in tested.keys() {
            self.converger.forget_tested(&assignment.content.resources[*index].key);
            let diff = match self.reports[*index].take() {
                // It failed before it could be tested, and says why.
                Some(report) if report.change.is_none() => {
                    self.reports[*index] = Some(report);
                    continue;
                }
                Some(report) => report.diff,
                None => None,
            };
            self.was_changed(*index);
            self.record(*index, Outcome::new(ResourceStatus::Failed, reason).with_diff(diff));
        }
    }

    /// Why this desired state did not pass a test before, if it did not.
    pub(super) fn did_not_pass(&self, resource: &Resource, due: &Verdict) -> Option<String> {
        let safe = self.converger.safe.as_ref()?;
        let Verdict::Change { actions, .. } = due else { return None };
        // A service that was tested with what it reads may be started at any time.
        let stops = || actions.iter().any(|action| matches!(action, Action::Stop | Action::Disable));
        let service = matches!(resource.desired, DesiredState::Service(_));
        if !lockout_risk(&resource.desired) || (service && !stops()) {
            return None;
        }
        let declared = |key: &ResourceKey| -> Option<Digest> {
            let index = *self.assignment.positions.get(key)?;
            Some(self.assignment.resource_digests[index])
        };
        safe.held_back(&resource.key, declared)
    }
}

impl NotBegun {
    /// How a resource stands for it, and why.
    pub(super) fn standing(self) -> (ResourceStatus, String) {
        match self {
            Self::Waiting(reason) => (ResourceStatus::Waiting, reason),
            Self::Unsupported(reason) => (ResourceStatus::Unsupported, reason),
            Self::Failed(reason) => (ResourceStatus::Failed, reason),
        }
    }
}

impl Converger {
    /// Takes up what a former life left under test.
    pub(super) async fn recover(&self) {
        let Some(safe) = &self.safe else { return };
        if let Some(left) = safe.recover().await {
            let keys: Vec<&str> = left.resources.keys().map(ResourceKey::as_str).collect();
            tracing::info!(proof = ?left.proof, "what was left under test: {}", keys.join(", "));
        }
        self.tell_reverted();
    }

    /// Tells what was put back, by this agent, by a former one or by a timer.
    pub(super) fn tell_reverted(&self) {
        let Some(safe) = &self.safe else { return };
        let untold = match safe.untold() {
            Ok(untold) => untold,
            Err(error) => return tracing::warn!("what was put back cannot be read: {error}"),
        };
        for reverted in untold {
            reverted.resources.keys().for_each(|key| self.forget_tested(key));
            let keys: Vec<&str> = reverted.resources.keys().map(ResourceKey::as_str).collect();
            let message = format!("{}: {}", keys.join(", "), reverted.reason);
            tracing::error!("{message}");
            let event = QueuedReport::event("resource.reverted", Severity::Error, message, reverted.at_ms);
            self.ledger.reports.push(event);
        }
    }
    /// What was put back is in force: nothing has to follow from the change, and nothing else is put back for it.
    fn forget_tested(&self, key: &ResourceKey) {
        let service = matches!(key.kind(), "service" | "command");
        let forgotten = if service { self.ledger.settle(key) } else { self.ledger.forget_former(key) };
        if let Err(error) = forgotten {
            tracing::warn!(resource = %key, error = %crate::chain(&error), "what is not needed any more stays");
        }
    }
}
