//! A service that refuses what changed gets the former content back: what serves goes on serving, and the mistake is told
//! where it was made.

use super::run::{Outcome, Run};
use crate::ledger::{Former, FormerState, QueuedReport, Refused};
use muster_domain::{
    event::Severity,
    observed::{ChangeCause, ResourceStatus},
    resource::{DesiredState, Mode, ResourceKey},
};
use muster_planning::convergence::{self, Action, Verdict};
use muster_platform::{Host, Ownership, WriteFile};
use std::path::Path;

/// One resource that gets its former content back.
struct Guilty {
    index: usize,
    former: Vec<Former>,
}

impl Run<'_> {
    /// After a service failed to take what changed. `None` when there is nothing that could be put back.
    pub(super) async fn put_back(&mut self, index: usize, tried: Action, reason: &str) -> Option<Outcome> {
        let assignment = self.assignment.clone();
        let service = &assignment.content.resources[index];
        if !matches!(service.desired, DesiredState::Service(_)) {
            return None;
        }
        let ledger = self.converger.ledger.clone();
        let pending = ledger.pending(&service.key)?;
        let mut guilty: Vec<Guilty> = pending
            .because
            .iter()
            .filter_map(|key| {
                let index = *assignment.positions.get(key)?;
                Some(Guilty { index, former: ledger.former(key)? })
            })
            .collect();
        if guilty.is_empty() {
            return None;
        }
        guilty.sort_by_key(|guilty| guilty.index);
        let first_line = reason.lines().next().unwrap_or_default();
        let told = format!(
            "{} refused it: {reason}\nthe former content is back; declare another, or converge the node now to try this one again",
            service.key
        );
        // First: whoever is killed before the content is back finds it among what is due and does the same again.
        let refused = guilty.iter().map(|guilty| {
            let (resource, digest) = self.resource(guilty.index);
            (resource.key.clone(), Refused { digest, reason: told.clone() })
        });
        if let Err(error) = ledger.refuse(refused.collect::<Vec<_>>()) {
            return Some(Outcome::new(
                ResourceStatus::Failed,
                format!("{reason}; the former content was not put back: {}", crate::chain(&error)),
            ));
        }
        if let Err(error) = self.restore(&guilty).await {
            return Some(Outcome::new(
                ResourceStatus::Failed,
                format!("{reason}; the former content cannot be put back: {error}"),
            ));
        }
        for Guilty { index: at, .. } in &guilty {
            self.forget_kept(*at, &service.key);
            self.changed.insert(assignment.content.resources[*at].key.clone());
            let diff = self.reports[*at].take().and_then(|report| report.diff);
            self.record(*at, Outcome::new(ResourceStatus::Failed, told.clone()).with_diff(diff));
        }
        let names: Vec<&str> =
            guilty.iter().map(|guilty| assignment.content.resources[guilty.index].key.as_str()).collect();
        let names = names.join(", ");
        let message = format!("{} refused {names}: {first_line}; the former content is back", service.key);
        tracing::error!("{message}");
        let now_ms = self.converger.config.clock.now().timestamp_millis();
        ledger.reports.push(QueuedReport::event("resource.reverted", Severity::Error, message, now_ms));
        Some(self.serve_again(index, tried, &names).await)
    }

    /// Has the service read the former content.
    async fn serve_again(&mut self, index: usize, tried: Action, names: &str) -> Outcome {
        self.looked[index] = self.assess(index).await;
        let actions = match &self.looked[index].verdict {
            // It went down over it.
            Verdict::Change { actions, .. } => actions.clone(),
            _ => vec![tried],
        };
        for action in actions {
            if let Err(reason) = self.act(index, action).await {
                let detail =
                    self.hold_back(index, format!("{reason} (with the former content of {names})")).await;
                return Outcome::new(ResourceStatus::Failed, detail);
            }
        }
        let key = self.resource(index).0.key.clone();
        self.settle(&key);
        self.converger.retries.succeeded(&key);
        Outcome::new(ResourceStatus::Converged, format!("runs with the former content of {names}"))
    }

    async fn restore(&self, guilty: &[Guilty]) -> Result<(), String> {
        let former: Vec<Former> =
            guilty.iter().rev().flat_map(|guilty| guilty.former.iter().rev()).cloned().collect();
        let host = self.sight.host.clone();
        crate::blocking(move || former.iter().try_for_each(|former| write_back(host.as_ref(), former)))
            .await?;
        for Guilty { index, .. } in guilty {
            if matches!(self.resource(*index).0.desired, DesiredState::SystemdUnit(_)) {
                self.act(*index, Action::DaemonReload).await?;
            }
        }
        Ok(())
    }

    /// What was kept is used up; others who may have read the new content have to read the former again.
    fn forget_kept(&mut self, index: usize, refused_by: &ResourceKey) {
        let assignment = self.assignment.clone();
        let resources = &assignment.content.resources;
        let key = &resources[index].key;
        let ledger = &self.converger.ledger;
        let others: Vec<_> = convergence::triggers(resources, key)
            .filter(|(watcher, _)| watcher.key != *refused_by && watcher.mode == Mode::Enforce)
            .collect();
        let told = others.iter().map(|(watcher, trigger)| (&watcher.key, *trigger));
        let noted = ledger.note_change(key, told, ChangeCause::Corrective).map(drop);
        if let Err(error) = noted.and_then(|()| ledger.forget_former(key)) {
            tracing::warn!(resource = %key, error = %crate::chain(&error), "that the former content is back cannot be noted");
        }
        if !others.is_empty() {
            self.retry_within(std::time::Duration::ZERO);
        }
    }
}

/// Makes a path what it was.
fn write_back(host: &dyn Host, former: &Former) -> Result<(), String> {
    let path = Path::new(&former.path);
    let done = match &former.state {
        FormerState::Absent => host.remove(path),
        FormerState::File { content, mode, uid, gid } => {
            let ownership = ownership(host, *uid, *gid);
            host.write(&WriteFile { path, content, mode: *mode, ownership })
        }
        FormerState::Symlink { target } => host.make_symlink(path, target),
        FormerState::Directory { mode, uid, gid } => {
            host.set_attributes(path, *mode, ownership(host, *uid, *gid))
        }
    };
    done.map_err(|error| error.to_string())
}

/// An agent without root leaves the owner as it is.
fn ownership(host: &dyn Host, uid: u32, gid: u32) -> Ownership {
    if host.privileged() { Ownership { uid: Some(uid), gid: Some(gid) } } else { Ownership::default() }
}
