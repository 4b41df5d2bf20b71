//! One run: resource by resource in the order of the assignment, and what became of each.

use super::Converger;
use super::sight::Sight;
use super::turns::TurnOfRun;
use crate::ledger::Accepted;
use crate::resources::Assessment;
use muster_domain::{
    Digest,
    observed::{ChangeCause, ResourceReport, ResourceStatus},
    resource::{DesiredState, Mode, Resource, ResourceKey},
};
use muster_planning::convergence::{self, Decision, Memory, Observed, Outcomes, Verdict};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A run in the making.
pub(super) struct Run<'a> {
    pub(super) converger: &'a mut Converger,
    pub(super) assignment: Arc<Accepted>,
    pub(super) sight: Arc<Sight>,
    /// What was found last of each resource.
    pub(super) looked: Vec<Assessment>,
    /// Which were as they should be, or had nothing that they could do, when the run began.
    pub(super) well_before: Vec<bool>,
    pub(super) outcomes: Outcomes,
    pub(super) reports: Vec<Option<ResourceReport>>,
    /// What is no longer declared and could not be taken away yet.
    pub(super) removed: Vec<ResourceReport>,
    /// What this run changed.
    pub(super) changed: BTreeSet<ResourceKey>,
    /// Something was changed that may have changed anything else.
    widely: bool,
    pub(super) turn: TurnOfRun,
    /// When to come again, if sooner than at the next poll.
    pub(super) again_in: Option<Duration>,
    /// What may be changed of that which can lock somebody out: it is being put to the test. Absent while nothing has to be.
    pub(super) under_test: Option<BTreeSet<usize>>,
}

/// How a resource came out of a change.
pub(super) struct Outcome {
    pub(super) status: ResourceStatus,
    pub(super) change: Option<ChangeCause>,
    pub(super) detail: String,
    pub(super) diff: Option<String>,
}

impl Outcome {
    pub(super) fn new(status: ResourceStatus, detail: impl Into<String>) -> Self {
        Self { status, change: None, detail: detail.into(), diff: None }
    }

    pub(super) fn with_diff(self, diff: Option<String>) -> Self {
        Self { diff, ..self }
    }
}

impl<'a> Run<'a> {
    /// Looks at everything.
    pub(super) async fn begin(converger: &'a mut Converger, sight: Sight) -> Self {
        let (assignment, sight) = (sight.assignment.clone(), Arc::new(sight));
        let pending = converger.ledger.recollect().pending;
        let eyes = sight.clone();
        let looked = crate::blocking(move || eyes.assess_all(&pending)).await;
        let well = |look: &Assessment| matches!(look.verdict, Verdict::InPlace | Verdict::Waiting { .. });
        Self {
            well_before: looked.iter().map(well).collect(),
            reports: looked.iter().map(|_| None).collect(),
            converger,
            assignment,
            sight,
            looked,
            outcomes: Outcomes::default(),
            removed: Vec::new(),
            changed: BTreeSet::new(),
            widely: false,
            turn: TurnOfRun::default(),
            again_in: None,
            under_test: None,
        }
    }

    /// Does what is to be done about these resources, in this order. Nothing may come before what it stands behind.
    pub(super) async fn carry_out(&mut self, order: impl IntoIterator<Item = usize>) {
        for index in order {
            // One of a transaction has been done with the first of it.
            if self.reports[index].is_none() {
                let outcome = self.step(index).await;
                self.record(index, outcome);
            }
        }
    }

    async fn step(&mut self, index: usize) -> Outcome {
        let decision = self.decide(index).await;
        match decision {
            Decision::Do { actions, reason } => self.change(index, actions, reason).await,
            Decision::Stands { status, detail } => {
                let key = &self.assignment.content.resources[index].key;
                if status == ResourceStatus::Converged {
                    self.converger.retries.succeeded(key);
                }
                let shown = status == ResourceStatus::Drifted || status == ResourceStatus::Waiting;
                let diff = if shown { self.diff(index).await } else { None };
                Outcome::new(status, detail).with_diff(diff)
            }
        }
    }

    /// Decides about a resource as things stand now.
    async fn decide(&mut self, index: usize) -> Decision {
        let resource = &self.assignment.content.resources[index];
        if resource.mode != Mode::Ignore
            && let Some(blocked) = self.outcomes.blocked_by(resource)
        {
            let (status, detail) = blocked.standing();
            return Decision::Stands { status, detail };
        }
        self.decide_unblocked(index).await
    }

    /// The same for one that nothing holds up.
    pub(super) async fn decide_unblocked(&mut self, index: usize) -> Decision {
        let assignment = self.assignment.clone();
        let (resource, digest) = (&assignment.content.resources[index], assignment.resource_digests[index]);
        self.look_again(index).await;
        let pending = self.converger.ledger.pending(&resource.key);
        let verdict = self.looked[index].verdict.clone();
        let due = convergence::due(&resource.desired, verdict, pending.as_ref());
        if due == Verdict::InPlace && pending.is_some() {
            // Nothing has to follow from what changed: the guard of a command says so, or a service is not meant to run.
            self.settle(&resource.key);
        }
        let refused = self.converger.ledger.refused(&resource.key, digest);
        let refused = refused.or_else(|| self.did_not_pass(resource, &due));
        let held_back = self.held_back(index).await;
        let memory = Memory { refused: refused.as_deref(), held_back: held_back.as_deref() };
        convergence::decide(resource, due, memory)
    }

    /// Looks at a resource again when something that was done since may have changed it, or what it needs.
    async fn look_again(&mut self, index: usize) {
        let resource = &self.assignment.content.resources[index];
        let stale = resource.mode != Mode::Ignore
            && !self.changed.is_empty()
            && (self.widely
                || self.looked[index].verdict != Verdict::InPlace
                || resource.comes_after().any(|key| self.changed.contains(key)));
        if stale {
            self.looked[index] = self.assess(index).await;
        }
    }

    /// Looks at a resource now.
    pub(super) async fn assess(&self, index: usize) -> Assessment {
        let (sight, assignment) = (self.sight.clone(), self.assignment.clone());
        crate::blocking(move || sight.assess(&assignment.content.resources[index])).await
    }

    /// How it differs from what is wanted, for a person.
    pub(super) async fn diff(&self, index: usize) -> Option<String> {
        let (sight, assignment) = (self.sight.clone(), self.assignment.clone());
        let observed = self.looked[index].observed.clone();
        crate::blocking(move || sight.diff(&assignment.content.resources[index], &observed)).await
    }

    /// Why it is changed: something new was asked for, or it had drifted.
    pub(super) fn cause(&self, index: usize) -> ChangeCause {
        let (resource, digest) = self.resource(index);
        let ledger = &self.converger.ledger;
        cause(
            ledger.converged(&resource.key) == Some(digest),
            &self.looked[index].verdict,
            ledger.pending(&resource.key).map(|pending| pending.cause),
        )
    }

    pub(super) fn resource(&self, index: usize) -> (&Resource, Digest) {
        (&self.assignment.content.resources[index], self.assignment.resource_digests[index])
    }

    /// Notes that a resource was changed.
    pub(super) fn was_changed(&mut self, index: usize) {
        let resource = &self.assignment.content.resources[index];
        self.changed.insert(resource.key.clone());
        // What their scripts do, nobody declares.
        self.widely |= matches!(
            resource.desired,
            DesiredState::Package(_) | DesiredState::Command(_) | DesiredState::OsUpdates(_)
        );
    }

    /// Nothing is due any more for a service or a command.
    pub(super) fn settle(&self, key: &ResourceKey) {
        if let Err(error) = self.converger.ledger.settle(key) {
            // It is done once more at worst.
            tracing::warn!(resource = %key, error = %crate::chain(&error), "that nothing is due any more cannot be noted");
        }
    }

    /// Comes again after this time at the latest.
    pub(super) fn retry_within(&mut self, pause: Duration) {
        self.again_in = Some(self.again_in.map_or(pause, |known| known.min(pause)));
    }

    /// Notes what became of a resource.
    pub(super) fn record(&mut self, index: usize, outcome: Outcome) {
        let Outcome { status, change, detail, diff } = outcome;
        let (resource, _) = self.resource(index);
        // It may quote the application, and goes to the log as well as into the report.
        let redactor = self.converger.ledger.redactor();
        let detail = redactor.clean(detail);
        let key = resource.key.clone();
        if status == ResourceStatus::Failed && !self.converger.told.known(&key, status, &detail) {
            tracing::warn!(resource = %key, "failed: {detail}");
        } else if let Some(cause) = change {
            tracing::info!(resource = %key, cause = cause.as_str(), "changed: {detail}");
        }
        let report = ResourceReport {
            key: key.clone(),
            status,
            mode: resource.mode,
            change,
            detail,
            diff: diff.map(|diff| redactor.clean(diff)),
        };
        self.reports[index] = Some(report);
        self.outcomes.record(key, status);
    }
}

/// Why something is changed. `in_force`: this very desired state was reached before.
pub(super) fn cause(in_force: bool, verdict: &Verdict, pending: Option<ChangeCause>) -> ChangeCause {
    let own = if in_force { ChangeCause::Corrective } else { ChangeCause::Intentional };
    match pending {
        // It is as it should be and follows what changed.
        Some(pending) if *verdict == Verdict::InPlace => pending,
        Some(ChangeCause::Intentional) => ChangeCause::Intentional,
        Some(ChangeCause::Corrective) | None => own,
    }
}

/// Whether two looks found the same.
pub(super) fn same(before: &Observed, after: &Observed) -> bool {
    before == after
}
