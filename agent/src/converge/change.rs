//! Changing one resource: its turn, what has to be remembered before, the actions, what follows from them.

use super::run::{Outcome, Run, same};
use crate::ledger::{Accepted, Former, FormerState, Noted};
use crate::resources::{Assessment, issue_certificate, nodejs};
use muster_domain::{
    observed::{ChangeCause, ResourceStatus},
    resource::{DesiredState, Mode, Resource},
    turn::TurnKind,
};
use muster_planning::convergence::{self, Action, Trigger, Weight};
use muster_platform::{FileKind, Host};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

/// The longest content that is kept to be put back.
const MAX_FORMER_BYTES: u64 = 8 * 1024 * 1024;

impl Run<'_> {
    /// Does what was decided about a resource.
    pub(super) async fn change(&mut self, index: usize, actions: Vec<Action>, reason: String) -> Outcome {
        let cause = self.cause(index);
        let diff = self.diff(index).await;
        if let Err(waits) = self.its_turn(index, &actions, cause, &reason).await {
            return Outcome::new(ResourceStatus::Waiting, waits).with_diff(diff);
        }
        if self.has_to_be_tested_first(index) {
            // It became possible only now, by what was done before it.
            let waits = "it can lock somebody out, and is put to the test with the next run";
            return Outcome::new(ResourceStatus::Waiting, waits).with_diff(diff);
        }
        if matches!(self.resource(index).0.desired, DesiredState::Package(_)) {
            return self.install(index, reason, diff).await;
        }
        let noted = match self.note(index, cause).await {
            Ok(noted) => noted,
            Err(reason) => return Outcome::new(ResourceStatus::Failed, reason).with_diff(diff),
        };
        let mut done: Vec<String> = if reason.is_empty() { Vec::new() } else { vec![reason] };
        for action in actions {
            match self.act(index, action).await {
                Ok(note) => done.extend(note),
                Err(reason) => return self.failed(index, action, noted, reason).await.with_diff(diff),
            }
        }
        let key = self.resource(index).0.key.clone();
        self.settle_after(index);
        self.converger.retries.succeeded(&key);
        self.was_changed(index);
        Outcome { status: ResourceStatus::Converged, change: Some(cause), detail: done.join("; "), diff }
    }

    /// Waits for the node's turn, where the change needs it.
    pub(super) async fn its_turn(
        &mut self,
        index: usize,
        actions: &[Action],
        cause: ChangeCause,
        reason: &str,
    ) -> Result<(), String> {
        let assignment = self.assignment.clone();
        let resource = &assignment.content.resources[index];
        if !needs_turn(&assignment, &self.looked, index, actions) {
            return Ok(());
        }
        self.take_turn(&resource.key, cause, TurnKind::Change, reason).await
    }

    /// Remembers, before a change is made, what has to follow from it, and what was there before.
    pub(super) async fn note(&self, index: usize, cause: ChangeCause) -> Result<Noted, String> {
        let assignment = self.assignment.clone();
        let (ledger, host) = (self.converger.ledger.clone(), self.sight.host.clone());
        crate::blocking(move || {
            let resources = &assignment.content.resources;
            let resource = &resources[index];
            let watchers: Vec<(&Resource, Trigger)> =
                convergence::triggers(resources, &resource.key).collect();
            let may_refuse = |watcher: &Resource| {
                watcher.mode == Mode::Enforce && matches!(watcher.desired, DesiredState::Service(_))
            };
            if watchers.iter().any(|(watcher, _)| may_refuse(watcher)) {
                let former = former(host.as_ref(), &resource.desired);
                if !former.is_empty() {
                    ledger.keep_former(&resource.key, &former).map_err(|error| crate::chain(&error))?;
                }
            }
            let watchers = watchers.iter().map(|(watcher, trigger)| (&watcher.key, *trigger));
            ledger.note_change(&resource.key, watchers, cause).map_err(|error| crate::chain(&error))
        })
        .await
    }

    /// What becomes of a resource whose change failed. When nothing changed, nothing has to follow.
    async fn failed(&mut self, index: usize, action: Action, noted: Noted, reason: String) -> Outcome {
        if self.unchanged(index).await {
            self.take_back(noted);
        } else {
            self.was_changed(index);
        }
        if let Some(outcome) = self.put_back(index, action, &reason).await {
            return outcome;
        }
        let detail =
            if action.weight() > Weight::Light { self.hold_back(index, reason).await } else { reason };
        Outcome::new(ResourceStatus::Failed, detail)
    }

    /// Whether a resource is as it was when it was looked at last.
    pub(super) async fn unchanged(&mut self, index: usize) -> bool {
        let now = self.assess(index).await;
        let unchanged = same(&self.looked[index].observed, &now.observed);
        self.looked[index] = now;
        unchanged
    }

    pub(super) fn take_back(&self, noted: Noted) {
        if let Err(error) = self.converger.ledger.take_back(noted) {
            // A service reloads once too often at worst.
            tracing::warn!(error = %crate::chain(&error), "that nothing changed cannot be noted");
        }
    }

    /// Holds a resource back that failed and costs much, and says when it is tried again.
    pub(super) async fn hold_back(&mut self, index: usize, reason: String) -> String {
        let circumstances = Some(self.circumstances(index).await);
        let (key, digest) = (self.resource(index).0.key.clone(), self.assignment.resource_digests[index]);
        let now = (Instant::now(), self.converger.config.clock.now());
        self.converger.retries.failed(&key, digest, circumstances, reason, now)
    }

    fn settle_after(&self, index: usize) {
        let (resource, _) = self.resource(index);
        if matches!(resource.desired, DesiredState::Service(_) | DesiredState::Command(_)) {
            self.settle(&resource.key);
        }
    }

    /// Does one thing, and says what a person should know about it.
    pub(super) async fn act(&self, index: usize, action: Action) -> Result<Option<String>, String> {
        use crate::resources::deploy;
        let assignment = self.assignment.clone();
        let converger = &*self.converger;
        let config = &converger.config;
        match (&assignment.content.resources[index].desired, action) {
            (DesiredState::Nodejs(wanted), Action::InstallNodejs) => {
                let (host, state, wanted) =
                    (self.sight.host.clone(), config.state_dir.clone(), wanted.clone());
                let version =
                    crate::blocking(move || nodejs::install(host.as_ref(), &state, &wanted)).await?;
                Ok(Some(format!("installed Node.js {version}")))
            }
            (DesiredState::Application(wanted), Action::FetchRelease) => {
                converger.releases.install(wanted).await.map(|()| None).map_err(|error| error.to_string())
            }
            (DesiredState::Application(wanted), Action::RunRelease) => {
                let (host, cpus) = (self.sight.host.clone(), self.sight.cpus);
                deploy::run_release(host, converger.runner.as_ref(), config, wanted, cpus).await
            }
            (DesiredState::Application(wanted), Action::StartAgain) => {
                let started = converger.runner.start(wanted.name.as_str()).await;
                started.map(|()| None).map_err(|error| error.to_string())
            }
            (DesiredState::Application(wanted), Action::PointCurrent) => {
                deploy::point_current(&config.state_dir, wanted).map_err(|error| error.to_string())?;
                let in_use = BTreeSet::from([wanted.release_id]);
                match converger.releases.prune(&wanted.name, &in_use) {
                    Ok(removed) if removed.is_empty() => {}
                    Ok(removed) => {
                        tracing::info!(application = %wanted.name, ?removed, "removed old releases")
                    }
                    Err(error) => {
                        tracing::warn!(application = %wanted.name, %error, "cannot remove old releases")
                    }
                }
                Ok(None)
            }
            (DesiredState::Certificate(wanted), Action::IssueCertificate) => {
                let Some(source) = &converger.certificates else {
                    return Err("this agent has no controller to ask for certificates".into());
                };
                let (host, state) = (self.sight.host.clone(), config.state_dir.clone());
                issue_certificate(host, state, source.as_ref(), wanted).await
            }
            _ => {
                let (sight, assignment) = (self.sight.clone(), assignment.clone());
                crate::blocking(move || {
                    let resources = &assignment.content.resources;
                    sight.kinds.apply(sight.look(), &resources[index].desired, action)
                })
                .await
            }
        }
    }
}

/// Whether a change needs the node's turn: for itself, or for the restart that follows from it. Then both happen within one
/// turn, and no service is left with a configuration that it has not read.
pub(super) fn needs_turn(
    assignment: &Accepted,
    looked: &[Assessment],
    index: usize,
    actions: &[Action],
) -> bool {
    let resources = &assignment.content.resources;
    let resource = &resources[index];
    let restarts = |(watcher, trigger): (&Resource, Trigger)| {
        let look = assignment.positions.get(&watcher.key).and_then(|at| looked.get(*at));
        convergence::restarts_for_change(watcher, trigger, look.map(|look| &look.observed))
    };
    convergence::disruptive(&resource.desired, &looked[index].observed, actions)
        || convergence::triggers(resources, &resource.key).any(restarts)
}

/// What is at the paths of a resource. What cannot be read, or is too long, is not kept: then nothing is put back.
fn former(host: &dyn Host, desired: &DesiredState) -> Vec<Former> {
    let mut kept = Vec::new();
    for path in convergence::paths_of(desired) {
        let at = Path::new(&path);
        let state = match host.stat(at) {
            Ok(None) => FormerState::Absent,
            Ok(Some(stat)) => {
                let (mode, uid, gid) = (stat.mode, stat.uid, stat.gid);
                match stat.kind {
                    FileKind::File => match host.read(at, MAX_FORMER_BYTES) {
                        Ok(content) => FormerState::File { content, mode, uid, gid },
                        Err(_) => return Vec::new(),
                    },
                    FileKind::Symlink { target } => FormerState::Symlink { target },
                    FileKind::Directory => FormerState::Directory { mode, uid, gid },
                    FileKind::Other => return Vec::new(),
                }
            }
            Err(_) => return Vec::new(),
        };
        kept.push(Former { path, state });
    }
    kept
}
