//! With what a run, or a plan, looks at the node. Everything here blocks.

use crate::config::StateDir;
use crate::ledger::Accepted;
use crate::resources::{Assessment, Kinds, Look, View, units_of};
use muster_domain::resource::{DesiredState, Mode, Resource, ResourceKey};
use muster_planning::convergence::{Effort, Observed, Pending, Verdict};
use muster_platform::Host;
use muster_supervisor_protocol::AppStatus;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What looking needs.
pub(super) struct Sight {
    pub(super) host: Arc<dyn Host>,
    pub(super) kinds: Arc<dyn Kinds>,
    pub(super) state: StateDir,
    pub(super) assignment: Arc<Accepted>,
    /// What the supervisor runs, or why it does not say.
    pub(super) apps: Result<Vec<AppStatus>, String>,
    pub(super) cpus: u32,
    pub(super) effort: Effort,
}

impl Sight {
    pub(super) fn look(&self) -> Look<'_> {
        let assigned = &self.assignment.content.resources;
        Look { host: self.host.as_ref(), state: &self.state, assigned }
    }

    /// Looks at one resource.
    pub(super) fn assess(&self, resource: &Resource) -> Assessment {
        let view = View { state: &self.state, apps: &self.apps, cpus: self.cpus };
        self.kinds.assess(self.host.as_ref(), view, resource, self.effort)
    }

    /// Looks at all of the assignment, at the price of few questions. One that is to be ignored, and a command that waits
    /// for a change which did not come, are not looked at.
    pub(super) fn assess_all(&self, pending: &BTreeMap<ResourceKey, Pending>) -> Vec<Assessment> {
        let resources = &self.assignment.content.resources;
        self.host.units_wanted(&units_of(resources));
        resources
            .iter()
            .map(|resource| match &resource.desired {
                _ if resource.mode == Mode::Ignore => not_looked_at(),
                DesiredState::Command(command)
                    if command.only_on_change && !pending.contains_key(&resource.key) =>
                {
                    not_looked_at()
                }
                _ => self.assess(resource),
            })
            .collect()
    }

    /// The difference, for a person.
    pub(super) fn diff(&self, resource: &Resource, observed: &Observed) -> Option<String> {
        self.kinds.diff(self.look(), &resource.desired, observed)
    }
}

fn not_looked_at() -> Assessment {
    Assessment { observed: Observed::Unreadable("it was not looked at".into()), verdict: Verdict::InPlace }
}
