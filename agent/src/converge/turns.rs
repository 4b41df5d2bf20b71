//! The node's turn: what may make it unable to do its work for a moment waits until so many others of its role are done.
//! Who may go, the controller decides; without it, what drifted is put right and what is new waits.

use super::Converger;
use super::run::Run;
use crate::ledger::HeldTurn;
use futures_util::future::BoxFuture;
use muster_domain::{
    assignment::Generation,
    observed::{ChangeCause, ResourceReport, ResourceStatus},
    resource::{DesiredState, Mode, Resource, ResourceKey},
    turn::{TurnAnswer, TurnKind, TurnOutcome, TurnRequest},
};
use muster_planning::convergence::Verdict;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// So long a node may take to do its work again after what it did in its turn. Longer has failed: the next one would hang
/// in the same place.
const WELL_WITHIN: Duration = Duration::from_secs(600);

/// While that is waited for, the turn is asked for again so often.
const KEEP_EVERY: Duration = Duration::from_secs(300);

/// Whatever a controller says: it is not asked without pause.
const LEAST_RETRY: Duration = Duration::from_millis(250);

/// Gives out turns.
pub trait Turns: Send + Sync + 'static {
    /// Asks for the node's turn; whoever has it keeps it by asking again. The error says why nobody answers.
    fn request(&self, request: TurnRequest) -> BoxFuture<'_, Result<TurnAnswer, String>>;
    /// Gives it back.
    fn release(&self, generation: Generation, outcome: TurnOutcome) -> BoxFuture<'_, Result<(), String>>;
}

/// How the turn of this run stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct TurnOfRun {
    /// It is the node's turn.
    granted: Option<Granted>,
    /// Others are before it.
    waits: Option<Waits>,
    /// Nobody answers, for this reason.
    alone: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Granted {
    /// For what: putting drift right has to wait for less than what is new.
    cause: ChangeCause,
    /// Until then.
    ask_again_at: Instant,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Waits {
    cause: ChangeCause,
    reason: String,
}

impl TurnOfRun {
    /// Whether the controller was asked.
    fn asked(&self) -> bool {
        self.granted.is_some() || self.waits.is_some() || self.alone.is_some()
    }

    /// What a change of this cause waits for. What is new waits for everything that drift waits for.
    fn waits_for(&self, cause: ChangeCause) -> Option<&str> {
        let waits = self.waits.as_ref()?;
        (waits.cause == ChangeCause::Corrective || cause == ChangeCause::Intentional)
            .then_some(waits.reason.as_str())
    }

    /// With which cause the controller has to be asked before a change of this one.
    fn to_ask(&self, cause: ChangeCause) -> Option<ChangeCause> {
        if self.alone.is_some() || self.waits_for(cause).is_some() {
            return None;
        }
        match &self.granted {
            // A turn for putting drift right is none for what is new.
            Some(granted) if granted.cause == ChangeCause::Corrective => {
                let fresh = cause == ChangeCause::Corrective && Instant::now() < granted.ask_again_at;
                (!fresh).then_some(cause)
            }
            Some(granted) => (Instant::now() >= granted.ask_again_at).then_some(ChangeCause::Intentional),
            None => Some(cause),
        }
    }
}

/// How long something that was done in a turn has been on its way to work again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recovery {
    pub(super) since: Instant,
    pub(super) kept_at: Instant,
}

impl Run<'_> {
    /// Makes sure that it is the node's turn for a change. The error says what it waits for.
    pub(super) async fn take_turn(
        &mut self,
        key: &ResourceKey,
        cause: ChangeCause,
        kind: TurnKind,
        what: &str,
    ) -> Result<(), String> {
        // A turn that was lost is asked for as what is left of it.
        while let Some(cause) = self.turn.to_ask(cause) {
            self.ask_for_turn(cause, kind, format!("{key}: {what}")).await;
        }
        let held = self.converger.ledger.held_turn();
        if let Some(reason) = self.turn.waits_for(cause) {
            return Err(reason.to_owned());
        }
        match &self.turn.alone {
            // What it began it may end; what drifted cannot wait for a controller that may be away for days.
            Some(reason) if held.is_none() && cause == ChangeCause::Intentional => {
                return Err(format!("waits for the controller, which gives out turns: {reason}"));
            }
            Some(_) if held.is_none() => return Ok(()),
            Some(_) | None => {}
        }
        let generation = self.assignment.generation;
        let mut held = held.unwrap_or_else(|| {
            let (changed, well) = (BTreeSet::new(), self.well_keys());
            HeldTurn { generation, kind, changed, well, failed: None }
        });
        (held.generation, held.kind) = (generation, kind);
        held.changed.insert(key.clone());
        // Before the change: who is killed in the middle still knows what to look at before the turn is given back.
        self.converger.ledger.hold_turn(Some(held)).map_err(|error| crate::chain(&error))
    }

    async fn ask_for_turn(&mut self, cause: ChangeCause, kind: TurnKind, reason: String) {
        let reason = self.converger.ledger.redactor().clean(reason);
        let request = TurnRequest { generation: self.assignment.generation, kind, cause, reason };
        let answer = self.converger.turns.request(request).await;
        let turn = &mut self.turn;
        match answer {
            Ok(TurnAnswer::Granted { lease_ms }) => {
                let half = Duration::from_millis(u64::from(lease_ms) / 2).max(LEAST_RETRY);
                turn.granted = Some(Granted { cause, ask_again_at: Instant::now() + half });
                turn.waits = turn.waits.take().filter(|waits| waits.cause != cause);
                self.converger.in_row = false;
            }
            Ok(TurnAnswer::Waiting { reason, holders: _, retry_after_ms }) => {
                // One that puts drift right goes on with that while it waits with what is new.
                turn.granted = turn.granted.take().filter(|granted| granted.cause != cause);
                turn.waits = Some(Waits { cause, reason });
                self.converger.in_row = true;
                self.retry_within(Duration::from_millis(u64::from(retry_after_ms)).max(LEAST_RETRY));
            }
            Err(reason) => turn.alone = Some(reason),
        }
    }

    /// Gives the turn back when what it was for is done and the node does its work again, or when it failed.
    pub(super) async fn finish_turn(&mut self) {
        let Some(held) = self.converger.ledger.held_turn() else { return self.leave_row().await };
        let (mut outcome, mut failed) = self.failed_under(&held);
        if let Some(detail) = held.failed.clone() {
            outcome = Some(TurnOutcome::Failed { detail });
        }
        if outcome.is_none() {
            outcome = match self.unwell(&held).await {
                Wellness::Well => Some(TurnOutcome::Done),
                Wellness::Waits(index, reason) => {
                    let key = self.found_since(index, ResourceStatus::Waiting, &reason);
                    self.recovers_too_long().await.then(|| {
                        let detail = format!("{key}: {reason} for {} min", WELL_WITHIN.as_secs() / 60);
                        failed.insert(key);
                        TurnOutcome::Failed { detail }
                    })
                }
                Wellness::Unwell(index, reason) => {
                    let key = self.found_since(index, ResourceStatus::Failed, &reason);
                    let detail = format!("{key}: {reason}");
                    failed.insert(key);
                    Some(TurnOutcome::Failed { detail })
                }
            };
        }
        let outcome = match outcome {
            // Not yet: the next run looks again, and comes soon.
            None => return,
            Some(TurnOutcome::Failed { detail }) => {
                TurnOutcome::Failed { detail: self.converger.ledger.redactor().clean(detail) }
            }
            Some(TurnOutcome::Done) => TurnOutcome::Done,
        };
        self.converger.recovery = None;
        if let Err(reason) = self.converger.turns.release(held.generation, outcome).await {
            tracing::debug!("the turn cannot be given back yet: {reason}");
            return;
        }
        if let Err(error) = self.converger.ledger.end_turn(failed) {
            tracing::warn!(error = %crate::chain(&error), "that the turn was given back cannot be noted");
        }
    }

    /// A node that waited for its turn and wants it no more does not stand before others.
    async fn leave_row(&mut self) {
        self.converger.recovery = None;
        if !self.converger.in_row || self.turn.asked() {
            return;
        }
        if self.converger.turns.release(self.assignment.generation, TurnOutcome::Done).await.is_ok() {
            self.converger.in_row = false;
        }
    }

    /// What failed in this turn; and what failed in an earlier one and is not in place yet, because a turn for something
    /// else mends nothing.
    fn failed_under(&self, held: &HeldTurn) -> (Option<TurnOutcome>, BTreeSet<ResourceKey>) {
        let earlier = self.converger.ledger.failed_in_turn();
        let failed = |report: &&ResourceReport| match report.status {
            ResourceStatus::Failed => held.changed.contains(&report.key) || earlier.contains(&report.key),
            ResourceStatus::Skipped | ResourceStatus::Waiting => earlier.contains(&report.key),
            ResourceStatus::Converged | ResourceStatus::Unsupported | ResourceStatus::Drifted => false,
        };
        let failed: Vec<_> = self.reports.iter().flatten().chain(&self.removed).filter(failed).collect();
        let outcome = failed.first().map(|report| {
            let detail = report.detail.lines().next().unwrap_or_default();
            TurnOutcome::Failed { detail: format!("{}: {detail}", report.key) }
        });
        (outcome, failed.into_iter().map(|report| report.key.clone()).collect())
    }

    /// Reports a resource as it was found at the end of the run, when it was well a moment before: a node of which everything
    /// is said to be in place would be taken for mended.
    fn found_since(&mut self, index: usize, status: ResourceStatus, reason: &str) -> ResourceKey {
        let key = self.resource(index).0.key.clone();
        if let Some(report) = &mut self.reports[index]
            && report.status == ResourceStatus::Converged
        {
            report.status = status;
            report.detail = self.converger.ledger.redactor().clean(reason.to_owned());
        }
        key
    }

    /// Whether what is on its way to work again has been so for too long. The turn is kept meanwhile.
    async fn recovers_too_long(&mut self) -> bool {
        let now = Instant::now();
        let recovery = self.converger.recovery.unwrap_or(Recovery { since: now, kept_at: now });
        self.converger.recovery = Some(recovery);
        if now.duration_since(recovery.since) >= WELL_WITHIN {
            return true;
        }
        if now.duration_since(recovery.kept_at) >= KEEP_EVERY {
            self.converger.recovery = Some(Recovery { kept_at: now, ..recovery });
            let reason = "it does not do its work again yet".to_owned();
            self.ask_for_turn(ChangeCause::Corrective, TurnKind::Change, reason).await;
        }
        false
    }

    /// What does the node's work, with its place in the assignment.
    fn works(&self) -> impl Iterator<Item = (usize, &Resource)> {
        let works = |(_, resource): &(usize, &Resource)| {
            resource.mode == Mode::Enforce
                && matches!(resource.desired, DesiredState::Service(_) | DesiredState::Application(_))
        };
        self.assignment.content.resources.iter().enumerate().filter(works)
    }

    /// Those of it that did so when the run began.
    fn well_keys(&self) -> BTreeSet<ResourceKey> {
        let well = self.works().filter(|(index, _)| self.well_before.get(*index).copied().unwrap_or(true));
        well.map(|(_, resource)| resource.key.clone()).collect()
    }

    /// Looks whether what does the node's work is as it was before the turn, or better.
    async fn unwell(&self, held: &HeldTurn) -> Wellness {
        let resources: Vec<(usize, Resource)> =
            self.works().map(|(index, resource)| (index, resource.clone())).collect();
        if resources.is_empty() {
            return Wellness::Well;
        }
        let sight = self.converger.sight(self.assignment.clone(), self.sight.effort).await;
        let well_before: BTreeSet<ResourceKey> = self.well_keys().union(&held.well).cloned().collect();
        crate::blocking(move || {
            let mut wellness = Wellness::Well;
            for (index, resource) in resources {
                match sight.assess(&resource).verdict {
                    Verdict::InPlace | Verdict::Unsupported { .. } => {}
                    Verdict::Waiting { reason } => wellness = Wellness::Waits(index, reason),
                    Verdict::Change { reason, .. } | Verdict::Impossible { reason }
                        if well_before.contains(&resource.key) =>
                    {
                        return Wellness::Unwell(index, reason);
                    }
                    // It was no better before, and is no work of this turn.
                    Verdict::Change { .. } | Verdict::Impossible { .. } => {}
                }
            }
            wellness
        })
        .await
    }
}

impl Converger {
    /// Forgets what failed in a turn and is in place by now, or is nobody's business any more.
    pub(super) fn note_mended(&self, reports: &[ResourceReport]) {
        use ResourceStatus::{Failed, Skipped, Waiting};
        let mut still = self.ledger.failed_in_turn();
        if still.is_empty() {
            return;
        }
        let unwell = reports.iter().filter(|report| matches!(report.status, Failed | Skipped | Waiting));
        let unwell: BTreeSet<&ResourceKey> = unwell.map(|report| &report.key).collect();
        still.retain(|key| unwell.contains(key));
        if let Err(error) = self.ledger.still_failed(still) {
            tracing::warn!(error = %crate::chain(&error), "what works again cannot be noted");
        }
    }
}

/// Whether the node does its work.
enum Wellness {
    Well,
    Waits(usize, String),
    Unwell(usize, String),
}
