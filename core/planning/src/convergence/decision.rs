//! From what is due to what a run may do about it: modes, what was refused or held back, and whose turn it needs.

use super::{Action, Observed, Trigger, Verdict, Weight};
use muster_domain::{
    observed::ResourceStatus,
    resource::{DesiredState, Mode, Resource},
};

/// What the node remembers of a resource that bears on the decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory<'a> {
    /// This very desired state was tried, and whoever uses it did not take it; why. Not tried again by itself.
    pub refused: Option<&'a str>,
    /// It failed a moment ago and costs much; what to say until it is tried again.
    pub held_back: Option<&'a str>,
}

/// What a run does about a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing. This is how it stands, and why, for a person.
    Stands {
        /// How it stands.
        status: ResourceStatus,
        /// Why; empty when it is as it should be.
        detail: String,
    },
    /// This, in this order.
    Do {
        /// What to do.
        actions: Vec<Action>,
        /// Why, for a person.
        reason: String,
    },
}

impl Decision {
    fn stands(status: ResourceStatus, detail: impl Into<String>) -> Self {
        Self::Stands { status, detail: detail.into() }
    }
}

/// Decides what a run may do about what is due.
pub fn decide(resource: &Resource, due: Verdict, memory: Memory<'_>) -> Decision {
    use ResourceStatus as Status;
    match (resource.mode, due) {
        (Mode::Ignore, _) => Decision::stands(Status::Converged, "ignored"),
        (_, Verdict::InPlace) => Decision::stands(Status::Converged, ""),
        (_, Verdict::Unsupported { reason }) => Decision::stands(Status::Unsupported, reason),
        // Nobody is asked to mend what may only be told.
        (
            Mode::Report,
            Verdict::Change { reason, .. } | Verdict::Waiting { reason } | Verdict::Impossible { reason },
        ) => Decision::stands(Status::Drifted, reason),
        (Mode::Enforce, Verdict::Waiting { reason }) => Decision::stands(Status::Waiting, reason),
        (Mode::Enforce, Verdict::Impossible { reason }) => Decision::stands(Status::Failed, reason),
        (Mode::Enforce, Verdict::Change { actions, reason }) => match memory.refused.or(memory.held_back) {
            Some(detail) => Decision::stands(Status::Failed, detail),
            None => Decision::Do { actions, reason },
        },
    }
}

/// Whether doing this may make the node unable to do its work for a moment.
pub fn disruptive(desired: &DesiredState, observed: &Observed, actions: &[Action]) -> bool {
    if actions.iter().any(|action| action.weight() == Weight::Disruptive) {
        return true;
    }
    match (desired, observed) {
        // A maintainer's script restarts what it likes, and a rule may cut off whoever uses the node.
        (DesiredState::Package(_) | DesiredState::Firewall(_) | DesiredState::Sshd(_), _) => {
            !actions.is_empty()
        }
        // One that cannot read its configuration again is restarted for it.
        (DesiredState::Service(_), Observed::Service(found)) => {
            actions.contains(&Action::Reload) && found.restarts_to_reload()
        }
        // One that runs is replaced for its configuration. For another release the rollout has chosen this node, and one that
        // does not run takes nothing from anybody.
        (DesiredState::Application(wanted), Observed::Application(found)) => {
            let runs = |processes: &&super::ObservedProcesses| {
                !processes.awaiting_apply && !processes.stopped && processes.ready > 0
            };
            actions.contains(&Action::RunRelease)
                && found
                    .processes
                    .as_ref()
                    .filter(runs)
                    .is_some_and(|processes| processes.release == wanted.release_version.as_str())
        }
        _ => false,
    }
}

/// Whether one that watches what is about to change will be restarted for it. `observed`: how it was found.
pub fn restarts_for_change(watcher: &Resource, trigger: Trigger, observed: Option<&Observed>) -> bool {
    let DesiredState::Service(service) = &watcher.desired else { return false };
    let restarts = match (trigger, observed) {
        (Trigger::Restart, _) => true,
        (Trigger::Reload, Some(Observed::Service(found))) => found.restarts_to_reload(),
        (Trigger::Reload, _) => false,
    };
    restarts && watcher.mode == Mode::Enforce && service.running != Some(false)
}

/// The same for taking something away.
pub fn disruptive_removal(desired: &DesiredState) -> bool {
    matches!(
        desired,
        DesiredState::Package(_)
            | DesiredState::Service(_)
            | DesiredState::Firewall(_)
            | DesiredState::Sshd(_)
            | DesiredState::SystemdUnit(_)
    )
}
