//! The node's turn: what may make it unable to do its work for a moment waits until so many others of its role are done.
//! Who may go, the controller decides; without it, what drifted is put right and what is new waits.

use super::run::Run;
use crate::ledger::HeldTurn;
use futures_util::future::BoxFuture;
use muster_domain::{
    assignment::Generation,
    observed::{ChangeCause, ResourceStatus},
    resource::{DesiredState, Mode, Resource, ResourceKey},
    turn::{TurnAnswer, TurnKind, TurnOutcome, TurnRequest},
};
use muster_planning::convergence::Verdict;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Gives out turns.
pub trait Turns: Send + Sync + 'static {
    /// Asks for the node's turn; whoever has it keeps it by asking again. The error says why nobody answers.
    fn request(&self, request: TurnRequest) -> BoxFuture<'_, Result<TurnAnswer, String>>;
    /// Gives it back.
    fn release(&self, generation: Generation, outcome: TurnOutcome) -> BoxFuture<'_, Result<(), String>>;
}

/// How the turn of this run stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum TurnOfRun {
    /// Nothing disruptive came up yet.
    #[default]
    NotAsked,
    /// It is the node's turn, until it has to be asked again.
    Granted { ask_again_at: Instant },
    /// Others are before it.
    Waits { reason: String },
    /// Nobody answers.
    Alone { reason: String },
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
        let stale = match &self.turn {
            TurnOfRun::NotAsked => true,
            TurnOfRun::Granted { ask_again_at } => Instant::now() >= *ask_again_at,
            TurnOfRun::Waits { .. } | TurnOfRun::Alone { .. } => false,
        };
        if stale {
            self.turn = self.ask_for_turn(cause, kind, format!("{key}: {what}")).await;
        }
        let held = self.converger.ledger.held_turn();
        match &self.turn {
            TurnOfRun::Waits { reason } => return Err(reason.clone()),
            // What it began it may end; what drifted cannot wait for a controller that may be away for days.
            TurnOfRun::Alone { reason } if held.is_none() && cause == ChangeCause::Intentional => {
                return Err(format!("waits for the controller, which gives out turns: {reason}"));
            }
            TurnOfRun::Alone { .. } if held.is_none() => return Ok(()),
            TurnOfRun::Alone { .. } | TurnOfRun::Granted { .. } | TurnOfRun::NotAsked => {}
        }
        let generation = self.assignment.generation;
        let mut held = held.unwrap_or(HeldTurn { generation, kind, changed: BTreeSet::new() });
        (held.generation, held.kind) = (generation, kind);
        held.changed.insert(key.clone());
        // Before the change: who is killed in the middle still knows what to look at before the turn is given back.
        self.converger.ledger.hold_turn(Some(held)).map_err(|error| crate::chain(&error))
    }

    async fn ask_for_turn(&mut self, cause: ChangeCause, kind: TurnKind, reason: String) -> TurnOfRun {
        let reason = self.converger.ledger.redactor().clean(reason);
        let request = TurnRequest { generation: self.assignment.generation, kind, cause, reason };
        match self.converger.turns.request(request).await {
            Ok(TurnAnswer::Granted { lease_ms }) => {
                let half = Duration::from_millis(u64::from(lease_ms) / 2);
                TurnOfRun::Granted { ask_again_at: Instant::now() + half }
            }
            Ok(TurnAnswer::Waiting { reason, holders: _, retry_after_ms }) => {
                self.retry_within(Duration::from_millis(u64::from(retry_after_ms)));
                TurnOfRun::Waits { reason }
            }
            Err(reason) => TurnOfRun::Alone { reason },
        }
    }

    /// Gives the turn back when what it was for is done and the node does its work again, or when it failed.
    pub(super) async fn finish_turn(&mut self) {
        let Some(held) = self.converger.ledger.held_turn() else { return };
        let outcome = match self.failure_under(&held) {
            Some(detail) => TurnOutcome::Failed { detail },
            None => match self.unwell().await {
                Wellness::Well => TurnOutcome::Done,
                // Not yet: the next run looks again, and comes soon.
                Wellness::Waits => return self.retry_within(self.converger.config.intervals.waiting),
                Wellness::Unwell(detail) => TurnOutcome::Failed { detail },
            },
        };
        let outcome = match outcome {
            TurnOutcome::Failed { detail } => {
                TurnOutcome::Failed { detail: self.converger.ledger.redactor().clean(detail) }
            }
            TurnOutcome::Done => TurnOutcome::Done,
        };
        if let Err(reason) = self.converger.turns.release(held.generation, outcome).await {
            tracing::debug!("the turn cannot be given back yet: {reason}");
            return;
        }
        if let Err(error) = self.converger.ledger.hold_turn(None) {
            tracing::warn!(error = %crate::chain(&error), "that the turn was given back cannot be noted");
        }
    }

    fn failure_under(&self, held: &HeldTurn) -> Option<String> {
        let reports = self.reports.iter().flatten().chain(&self.removed);
        let mut failed = reports
            .filter(|report| report.status == ResourceStatus::Failed && held.changed.contains(&report.key));
        failed
            .next()
            .map(|report| format!("{}: {}", report.key, report.detail.lines().next().unwrap_or_default()))
    }

    /// Looks whether what does the node's work is as it was before the run, or better.
    async fn unwell(&self) -> Wellness {
        let works = |resource: &&Resource| {
            resource.mode == Mode::Enforce
                && matches!(resource.desired, DesiredState::Service(_) | DesiredState::Application(_))
        };
        let resources: Vec<(usize, Resource)> = self
            .assignment
            .content
            .resources
            .iter()
            .enumerate()
            .filter(|(_, resource)| works(resource))
            .map(|(index, resource)| (index, resource.clone()))
            .collect();
        if resources.is_empty() {
            return Wellness::Well;
        }
        let sight = self.converger.sight(self.assignment.clone(), self.sight.effort).await;
        let before: Vec<bool> = resources
            .iter()
            .map(|(index, _)| self.well_before.get(*index).copied().unwrap_or(true))
            .collect();
        crate::blocking(move || {
            let mut wellness = Wellness::Well;
            for ((_, resource), well_before) in resources.iter().zip(before) {
                match sight.assess(resource).verdict {
                    Verdict::InPlace | Verdict::Unsupported { .. } => {}
                    Verdict::Waiting { .. } => wellness = Wellness::Waits,
                    Verdict::Change { reason, .. } | Verdict::Impossible { reason } if well_before => {
                        return Wellness::Unwell(format!("{}: {reason}", resource.key));
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

/// Whether the node does its work.
enum Wellness {
    Well,
    Waits,
    Unwell(String),
}
