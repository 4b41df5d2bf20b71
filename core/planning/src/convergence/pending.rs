//! Reloads, restarts and commands that a change of something else makes necessary. What is pending is kept on the disk by the
//! agent, so that a kill between the change and the reload loses none.

use super::{Action, Verdict};
use muster_domain::{
    observed::ChangeCause,
    resource::{Command, DesiredState, Mode, Resource, ResourceKey, Service},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a change makes necessary for one that watches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A reload; for a command, a run.
    Reload,
    /// A restart; for a command, a run.
    Restart,
}

/// What is pending for one service or command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The stronger of what was asked for.
    pub trigger: Trigger,
    /// What changed since it last read everything.
    pub because: BTreeSet<ResourceKey>,
    /// Intentional when one of the changes was.
    pub cause: ChangeCause,
}

impl Pending {
    /// After one change.
    pub fn new(trigger: Trigger, because: ResourceKey, cause: ChangeCause) -> Self {
        Self { trigger, because: BTreeSet::from([because]), cause }
    }

    /// One change more. Whether that says anything new.
    pub fn add(&mut self, trigger: Trigger, because: &ResourceKey, cause: ChangeCause) -> bool {
        let before = (self.trigger, self.cause, self.because.len());
        self.trigger = self.trigger.max(trigger);
        if cause == ChangeCause::Intentional {
            self.cause = cause;
        }
        self.because.insert(because.clone());
        before != (self.trigger, self.cause, self.because.len())
    }

    /// Why something has to be done, for a person.
    pub fn reason(&self) -> String {
        let mut names: Vec<&str> = self.because.iter().take(3).map(ResourceKey::as_str).collect();
        let more = self.because.len() - names.len();
        let more = format!("{more} others");
        if self.because.len() > names.len() {
            names.push(&more);
        }
        format!("{} changed", names.join(", "))
    }
}

/// Who has to be told when `changed` changes, and how: services and commands. For other kinds a watch is an order and
/// nothing else. Those that the agent must not even look at are not among them.
pub fn triggers<'a>(
    resources: &'a [Resource],
    changed: &'a ResourceKey,
) -> impl Iterator<Item = (&'a Resource, Trigger)> {
    let told = |watcher: &&Resource| {
        watcher.mode != Mode::Ignore
            && matches!(watcher.desired, DesiredState::Service(_) | DesiredState::Command(_))
    };
    resources.iter().filter(told).filter_map(move |watcher| {
        if watcher.restart_on.contains(changed) {
            Some((watcher, Trigger::Restart))
        } else {
            watcher.reload_on.contains(changed).then_some((watcher, Trigger::Reload))
        }
    })
}

/// Adds what is pending to what was decided from the look alone. For a command that was to wait for a change, the look
/// alone decides as if there had been one.
pub fn due(desired: &DesiredState, verdict: Verdict, pending: Option<&Pending>) -> Verdict {
    match (desired, pending) {
        (DesiredState::Service(wanted), Some(pending)) => service(wanted, verdict, pending),
        (DesiredState::Command(wanted), pending) => command(wanted, verdict, pending),
        (_, _) => verdict,
    }
}

fn service(wanted: &Service, verdict: Verdict, pending: &Pending) -> Verdict {
    let action = match pending.trigger {
        Trigger::Reload => Action::Reload,
        Trigger::Restart => Action::Restart,
    };
    match verdict {
        // One that is not to run reads its configuration when somebody starts it.
        _ if wanted.running == Some(false) => verdict,
        Verdict::InPlace => Verdict::Change { actions: vec![action], reason: pending.reason() },
        Verdict::Change { mut actions, reason } => {
            if !actions.iter().any(|action| action.reads_everything()) {
                actions.push(action);
            }
            Verdict::Change { actions, reason: format!("{reason}, {}", pending.reason()) }
        }
        Verdict::Waiting { .. } | Verdict::Impossible { .. } | Verdict::Unsupported { .. } => verdict,
    }
}

fn command(wanted: &Command, verdict: Verdict, pending: Option<&Pending>) -> Verdict {
    match (verdict, pending) {
        // Nothing that it watches changed: its guard was not even asked.
        (Verdict::Change { .. }, None) if wanted.only_on_change => Verdict::InPlace,
        // With a guard of its own both have to want it.
        (Verdict::InPlace, Some(pending)) if !wanted.only_on_change => {
            Verdict::Change { actions: vec![Action::RunCommand], reason: pending.reason() }
        }
        (Verdict::Change { actions, reason }, Some(pending)) => {
            let reason =
                if reason.is_empty() { pending.reason() } else { format!("{reason}, {}", pending.reason()) };
            Verdict::Change { actions, reason }
        }
        (verdict, _) => verdict,
    }
}

#[cfg(test)]
mod tests;
