//! Restarts of the node, at the end of a run: the turn that they need, and the words for the fleet.

use super::{Converger, Turns};
use crate::ledger::{Accepted, HeldTurn, Ledger, QueuedReport};
use crate::reboot::{AfterRun, RebootShell, required, window};
use crate::resources::Look;
use futures_util::future::BoxFuture;
use muster_domain::{
    assignment::Generation,
    event::Severity,
    observed::ChangeCause,
    turn::{TurnAnswer, TurnKind, TurnOutcome, TurnRequest},
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a restart needs of the agent around it.
struct Shell {
    turns: Arc<dyn Turns>,
    ledger: Arc<Ledger>,
    generation: Generation,
    now_ms: i64,
}

impl Converger {
    /// Restarts the node when it is time for it, and says why it has to be restarted, when it has to.
    pub(super) async fn restart(&mut self, assignment: &Accepted, converged: bool) -> Option<String> {
        let now = self.config.clock.now();
        let shell = Shell {
            turns: self.turns.clone(),
            ledger: self.ledger.clone(),
            generation: assignment.generation,
            now_ms: now.timestamp_millis(),
        };
        let (host, state) = (self.host.clone(), self.config.state_dir.clone());
        let needed =
            crate::blocking(move || required(Look { host: host.as_ref(), state: &state, assigned: &[] }))
                .await;
        let window = window(&assignment.content.resources).cloned();
        let after_run = AfterRun { now, window, converged };
        let waits_for = self.reboots.after_run(&self.host, after_run, &shell).await;
        needed.map(|needed| match waits_for {
            Some(waits_for) => format!("{needed}; waits for {waits_for}"),
            None => needed,
        })
    }
}

impl RebootShell for Shell {
    fn take_turn(&self, reason: String) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let (generation, kind) = (self.generation, TurnKind::Reboot);
            let request = TurnRequest { generation, kind, cause: ChangeCause::Intentional, reason };
            match self.turns.request(request).await? {
                TurnAnswer::Granted { .. } => {
                    let (changed, well) = (BTreeSet::new(), BTreeSet::new());
                    let held = HeldTurn { generation, kind, changed, well, failed: None };
                    self.ledger.hold_turn(Some(held)).map_err(|error| crate::chain(&error))
                }
                TurnAnswer::Waiting { reason, .. } => Err(reason),
            }
        })
    }

    fn give_turn_back(&self, outcome: TurnOutcome) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let held = self.ledger.held_turn();
            let generation = held.as_ref().map_or(self.generation, |held| held.generation);
            if let Err(reason) = self.turns.release(generation, outcome.clone()).await {
                // It stays noted with its end, and the next run gives it back: a node that comes back without its network
                // must not let the next one go the same way.
                if let (Some(held), TurnOutcome::Failed { detail }) = (held, outcome)
                    && let Err(error) = self.ledger.hold_turn(Some(HeldTurn { failed: Some(detail), ..held }))
                {
                    tracing::warn!(error = %crate::chain(&error), "how the turn ended cannot be noted");
                }
                return tracing::debug!("the turn cannot be given back yet: {reason}");
            }
            if let Err(error) = self.ledger.hold_turn(None) {
                tracing::warn!(error = %crate::chain(&error), "that the turn was given back cannot be noted");
            }
        })
    }

    fn tell(&self, kind: &'static str, severity: Severity, message: String) {
        tracing::info!(kind, "{message}");
        self.ledger.reports.push(QueuedReport::event(kind, severity, message, self.now_ms));
    }
}
