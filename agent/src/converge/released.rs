//! What is no longer declared: it stays and is told, or is taken away, as its last declaration said.

use super::run::{Run, same};
use crate::ledger::{QueuedReport, Released};
use crate::safe_apply::{Armed, Change, NotBegun, Proof};
use muster_domain::{
    Digest,
    event::Severity,
    observed::{ChangeCause, ResourceReport, ResourceStatus},
    resource::{Mode, OnRemoval, Resource, ResourceKey},
    turn::TurnKind,
};
use muster_planning::convergence::{claims, disruptive_removal, lockout_risk};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// One digest for all: a removal is not tried again sooner because the declaration was another.
const REMOVED: Digest = Digest::from_bytes([0; 32]);

/// What is to become of something that is no longer declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Another resource has come to have it: it is nobody's business here any more.
    TakenOver,
    /// It stays.
    Stays,
    /// It is taken away.
    Goes,
    /// It would be, and nothing is changed on this node now.
    Held,
}

/// Why something that is to be removed is still there.
pub(super) const HELD: &str =
    "is no longer declared and is to be removed; nothing is enforced on this node now";

/// Decides that. `claimed` is what the resources of the assignment, which are these, have for themselves.
pub(super) fn fate(released: &Released, claimed: &BTreeSet<String>, declared: &[Resource]) -> Fate {
    let Released { resource, managed, .. } = released;
    if claims(&resource.desired).iter().any(|claim| claimed.contains(claim)) {
        return Fate::TakenOver;
    }
    // What was only to be watched was never the agent's to take away.
    let goes = resource.on_removal == OnRemoval::Remove && resource.mode == Mode::Enforce && *managed;
    // Somebody said so for the whole node, after this was declared last.
    let hands_off = !declared.is_empty() && declared.iter().all(|resource| resource.mode != Mode::Enforce);
    match (goes, hands_off) {
        (false, _) => Fate::Stays,
        (true, false) => Fate::Goes,
        (true, true) => Fate::Held,
    }
}

impl Run<'_> {
    /// Deals with what is no longer declared, the last applied first.
    pub(super) async fn remove_released(&mut self) {
        let mut released = self.converger.ledger.released();
        // What this run's own assignment declares was left out by one that came meanwhile: that is for its run to deal with.
        released.retain(|entry| !self.assignment.positions.contains_key(&entry.resource.key));
        if released.is_empty() {
            return;
        }
        let claimed: BTreeSet<String> =
            self.assignment.content.resources.iter().flat_map(|resource| claims(&resource.desired)).collect();
        let needed = self.last_way_in(&released, &claimed).await;
        for entry in released.into_iter().rev() {
            let key = entry.resource.key.clone();
            let fate = fate(&entry, &claimed, &self.assignment.content.resources);
            if let Some(reason) = needed.get(&key) {
                self.removed.push(self.stays_as_the_last(&entry, reason));
                continue;
            }
            let dealt_with = match fate {
                Fate::TakenOver => true,
                Fate::Held => {
                    self.removed.push(ResourceReport {
                        key: key.clone(),
                        status: ResourceStatus::Drifted,
                        mode: Mode::Report,
                        change: None,
                        detail: HELD.to_owned(),
                        diff: None,
                    });
                    false
                }
                Fate::Stays => {
                    let message = format!("{key} is no longer declared and was left as it is");
                    self.tell("resource.released", message);
                    true
                }
                Fate::Goes => match self.take_away(entry).await {
                    Ok(message) => {
                        self.tell("resource.removed", message);
                        true
                    }
                    Err(report) => {
                        self.removed.push(report);
                        false
                    }
                },
            };
            if dealt_with && let Err(error) = self.converger.ledger.forget_released(&BTreeSet::from([key])) {
                // It is told once more at worst.
                tracing::warn!(error = %crate::chain(&error), "what became of an undeclared resource cannot be noted");
            }
        }
    }

    async fn take_away(&mut self, entry: Released) -> Result<String, ResourceReport> {
        let Released { resource, watchers, .. } = entry;
        let key = resource.key.clone();
        let digest = REMOVED;
        let report = |run: &Self, status, detail: String| ResourceReport {
            key: key.clone(),
            status,
            mode: resource.mode,
            change: None,
            detail: run
                .converger
                .ledger
                .redactor()
                .clean(format!("is no longer declared and is to be removed: {detail}")),
            diff: None,
        };
        if let Some(detail) = self.converger.retries.held_back(&key, digest, Instant::now()) {
            return Err(report(self, ResourceStatus::Failed, detail));
        }
        if disruptive_removal(&resource.desired) {
            let turn = self.take_turn(&key, ChangeCause::Intentional, TurnKind::Change, "remove it").await;
            if let Err(waits) = turn {
                return Err(report(self, ResourceStatus::Waiting, waits));
            }
        }
        // Who watched it, and still is declared, has to notice that it is gone.
        let positions = &self.assignment.positions;
        let told = watchers.iter().filter(|(watcher, _)| positions.contains_key(watcher));
        let told: Vec<_> = told.map(|(watcher, trigger)| (watcher, *trigger)).collect();
        let due = !told.is_empty();
        let noted = match self.converger.ledger.note_change(&key, told, ChangeCause::Intentional) {
            Ok(noted) => noted,
            Err(error) => return Err(report(self, ResourceStatus::Failed, crate::chain(&error))),
        };
        let armed = match self.arm_removal(&resource).await {
            Ok(armed) => armed,
            Err((status, reason)) => {
                self.take_back(noted);
                return Err(report(self, status, reason));
            }
        };
        let (sight, removed) = (self.sight.clone(), resource.clone());
        let (result, unchanged) = crate::blocking(move || {
            let before = sight.assess(&removed).observed;
            let result = sight.kinds.remove(sight.look(), &removed.desired);
            let unchanged = result.is_err() && same(&before, &sight.assess(&removed).observed);
            (result, unchanged)
        })
        .await;
        let mut reverted = None;
        if let Some(armed) = armed {
            let proof = armed.finish().await;
            self.converger.tell_reverted();
            reverted = match proof {
                Proof::Confirmed => None,
                Proof::Reverted(reason) | Proof::StillCutOff(reason) => Some(reason),
            };
        }
        if unchanged || reverted.is_some() {
            // Nobody has to read again what is as it was.
            self.take_back(noted);
        }
        if let Some(reason) = reverted {
            return Err(report(self, ResourceStatus::Failed, reason));
        }
        match result {
            Ok(note) => {
                self.converger.retries.succeeded(&key);
                if due {
                    self.retry_within(Duration::ZERO);
                }
                let note = note.unwrap_or_else(|| "there was nothing left to remove".to_owned());
                Ok(format!("{key} is no longer declared: {note}"))
            }
            Err(reason) => {
                let now = (Instant::now(), self.converger.config.clock.now());
                let detail = self.converger.retries.failed(&key, digest, None, reason, now);
                Err(report(self, ResourceStatus::Failed, detail))
            }
        }
    }

    /// What can lock somebody out is taken away under test, like a change of it. `None`: it cannot.
    async fn arm_removal(&self, resource: &Resource) -> Result<Option<Armed>, (ResourceStatus, String)> {
        let Some(safe) = self.converger.safe.clone().filter(|_| lockout_risk(&resource.desired)) else {
            return Ok(None);
        };
        let removed = |key: &ResourceKey| (*key == resource.key).then_some(REMOVED);
        if let Some(reason) = safe.held_back(&resource.key, removed) {
            return Err((ResourceStatus::Failed, reason));
        }
        let change = Change { resource, digest: REMOVED, corrective: false };
        safe.begin(&[change]).await.map(Some).map_err(NotBegun::standing)
    }

    fn tell(&self, event: &str, message: String) {
        tracing::info!(event, "{message}");
        let now_ms = self.converger.config.clock.now().timestamp_millis();
        self.converger.ledger.reports.push(QueuedReport::event(event, Severity::Info, message, now_ms));
    }
}
