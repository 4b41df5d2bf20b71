//! What a run would do, found out without changing anything: the same look, the same decisions, and a note instead of a
//! change.

use super::change::needs_turn;
use super::nudges::Nudges;
use super::released::{Fate, HELD, fate};
use super::run::cause;
use super::sight::Sight;
use crate::config::StateDir;
use crate::ledger::{Accepted, Ledger, Recollection, Released};
use crate::reboot::required;
use crate::redact::Redactor;
use crate::resources::{Assessment, Builtin, Kinds};
use crate::runner::ApplicationRunner;
use muster_domain::{
    observed::{ChangeCause, ResourceStatus},
    plan::{NodePlan, PlannedChange, PlannedResource},
    resource::{DesiredState, Mode, Resource, ResourceKey},
};
use muster_planning::convergence::{
    self, Action, Decision, Effort, Memory, Outcomes, Pending, Verdict, claims, disruptive_removal,
};
use muster_platform::Host;
use muster_supervisor_protocol::AppStatus;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Plans for whoever asks.
#[derive(Clone)]
pub struct Planner {
    host: Arc<dyn Host>,
    kinds: Arc<dyn Kinds>,
    state: StateDir,
}

impl Planner {
    /// A planner for a node.
    pub fn new(host: Arc<dyn Host>, state: StateDir) -> Self {
        Self { host, kinds: Arc::new(Builtin), state }
    }

    #[cfg(test)]
    pub(super) fn with_kinds(host: Arc<dyn Host>, state: StateDir, kinds: Arc<dyn Kinds>) -> Self {
        Self { host, kinds, state }
    }

    /// What a run of a running agent would do now, with what is in force or with a candidate.
    pub async fn plan(
        &self,
        ledger: &Ledger,
        runner: &dyn ApplicationRunner,
        nudges: &Nudges,
        candidate: Option<Accepted>,
    ) -> Result<NodePlan, String> {
        let in_force = ledger.current();
        let wanted = match candidate {
            Some(candidate) => Arc::new(candidate),
            None => in_force.clone().ok_or("this node has no assignment yet")?,
        };
        // Before anything of it is said.
        ledger.redactor().learn(&wanted.content);
        let apps = runner.list().await.map_err(|error| error.to_string());
        let _alone = nudges.alone().await;
        let mut memory = ledger.recollect();
        if let Some(in_force) = &in_force {
            memory.released = ledger.would_release(&wanted);
            let generation = in_force.generation;
            return Ok(self.plan_with(wanted, generation, memory, apps, ledger.redactor()).await);
        }
        let generation = wanted.generation;
        Ok(self.plan_with(wanted, generation, memory, apps, ledger.redactor()).await)
    }

    /// The same from what a ledger showed to somebody who looked, without an agent.
    pub async fn plan_seen(
        &self,
        current: Accepted,
        memory: Recollection,
        apps: Result<Vec<AppStatus>, String>,
    ) -> NodePlan {
        let redactor = Redactor::default();
        redactor.learn(&current.content);
        let generation = current.generation;
        self.plan_with(Arc::new(current), generation, memory, apps, &redactor).await
    }

    async fn plan_with(
        &self,
        wanted: Arc<Accepted>,
        generation: muster_domain::assignment::Generation,
        memory: Recollection,
        apps: Result<Vec<AppStatus>, String>,
        redactor: &Redactor,
    ) -> NodePlan {
        let (host, kinds, state) = (self.host.clone(), self.kinds.clone(), self.state.clone());
        let revision = wanted.revision;
        let (mut resources, reboot_required) = crate::blocking(move || {
            let cpus = host.facts(crate::VERSION).cpus;
            let effort = Effort::default();
            let sight = Sight { host, kinds, state, assignment: wanted.clone(), apps, cpus, effort };
            let resources = Foresight::new(&sight, &wanted, memory).plan();
            (resources, required(sight.look()))
        })
        .await;
        for resource in &mut resources {
            resource.detail = redactor.clean(std::mem::take(&mut resource.detail));
            resource.diff = resource.diff.take().map(|diff| redactor.clean(diff));
        }
        NodePlan { generation, revision, resources, reboot_required }
    }
}

/// A run that only says what it would do.
struct Foresight<'a> {
    sight: &'a Sight,
    wanted: &'a Accepted,
    memory: Recollection,
    outcomes: Outcomes,
    /// What would be another after what comes before: nobody can look at that now.
    unsettled: BTreeSet<ResourceKey>,
}

impl<'a> Foresight<'a> {
    fn new(sight: &'a Sight, wanted: &'a Accepted, memory: Recollection) -> Self {
        Self { sight, wanted, memory, outcomes: Outcomes::default(), unsettled: BTreeSet::new() }
    }

    fn plan(mut self) -> Vec<PlannedResource> {
        let looked = self.sight.assess_all(&self.memory.pending);
        let mut planned: Vec<PlannedResource> =
            (0..looked.len()).map(|index| self.foresee(index, &looked)).collect();
        planned.extend(self.removals());
        planned
    }

    fn foresee(&mut self, index: usize, looked: &[Assessment]) -> PlannedResource {
        let wanted = self.wanted;
        let mut look = looked[index].clone();
        let (resource, digest) = (&wanted.content.resources[index], wanted.resource_digests[index]);
        let key = &resource.key;
        let mut planned = PlannedResource {
            key: key.clone(),
            change: PlannedChange::None,
            mode: resource.mode,
            cause: None,
            disruptive: false,
            detail: String::new(),
            diff: None,
        };
        if resource.mode != Mode::Ignore
            && let Some(blocked) = self.outcomes.blocked_by(resource)
        {
            let (status, detail) = blocked.standing();
            self.outcomes.record(key.clone(), status);
            return PlannedResource { change: PlannedChange::Skip, detail, ..planned };
        }
        let pending = self.memory.pending.get(key).cloned();
        if pending.is_some()
            && resource.mode != Mode::Ignore
            && matches!(&resource.desired, DesiredState::Command(command) if command.only_on_change)
        {
            // It was not looked at before it was clear that there will be a change.
            look = self.sight.assess(resource);
        }
        let due = convergence::due(&resource.desired, look.verdict.clone(), pending.as_ref());
        let refused = self.memory.refused.get(key).filter(|refused| refused.digest == digest);
        let memory = Memory { refused: refused.map(|refused| refused.reason.as_str()), held_back: None };
        let decision = convergence::decide(resource, due.clone(), memory);
        let (status, change, detail) = self.judge(resource, decision, &due);
        let after = resource.comes_after().find(|before| self.unsettled.contains(*before));
        let (status, detail) = match after {
            Some(before) if change == PlannedChange::Unknown => {
                (ResourceStatus::Converged, format!("can only be told after {before}: now {detail}"))
            }
            _ => (status, detail),
        };
        if change != PlannedChange::None {
            self.unsettled.insert(key.clone());
        }
        if let Verdict::Change { actions, .. } = &due
            && change.changes()
        {
            let in_force = self.memory.converged.get(key) == Some(&digest);
            let cause = cause(in_force, &look.verdict, pending.map(|pending| pending.cause));
            planned.cause = Some(cause);
            planned.disruptive = needs_turn(wanted, looked, index, actions);
            planned.diff = self.sight.diff(resource, &look.observed);
            if resource.mode == Mode::Enforce {
                self.follow(key, cause);
            }
        }
        self.outcomes.record(key.clone(), status);
        (planned.change, planned.detail) = (change, detail);
        planned
    }

    /// What a decision means for whoever reads the plan, and for what depends on the resource.
    fn judge(
        &self,
        resource: &Resource,
        decision: Decision,
        due: &Verdict,
    ) -> (ResourceStatus, PlannedChange, String) {
        match (decision, due) {
            (Decision::Do { actions, reason }, _) => (ResourceStatus::Converged, change_of(&actions), reason),
            // Shown and not made.
            (
                Decision::Stands { status: ResourceStatus::Drifted, detail },
                Verdict::Change { actions, .. },
            ) => {
                debug_assert_eq!(resource.mode, Mode::Report);
                (ResourceStatus::Drifted, change_of(actions), detail)
            }
            (Decision::Stands { status, detail }, due) => {
                let change = match status {
                    ResourceStatus::Converged => PlannedChange::None,
                    ResourceStatus::Unsupported | ResourceStatus::Waiting | ResourceStatus::Skipped => {
                        PlannedChange::Skip
                    }
                    // It is known how it differs, and that it is not tried again.
                    ResourceStatus::Failed if matches!(due, Verdict::Change { .. }) => PlannedChange::Skip,
                    ResourceStatus::Failed | ResourceStatus::Drifted => PlannedChange::Unknown,
                };
                (status, change, detail)
            }
        }
    }

    /// Notes what follows from a change.
    fn follow(&mut self, key: &ResourceKey, cause: ChangeCause) {
        let pending: &mut BTreeMap<ResourceKey, Pending> = &mut self.memory.pending;
        for (watcher, trigger) in convergence::triggers(&self.wanted.content.resources, key) {
            pending
                .entry(watcher.key.clone())
                .and_modify(|pending| {
                    pending.add(trigger, key, cause);
                })
                .or_insert_with(|| Pending::new(trigger, key.clone(), cause));
        }
    }

    /// What would become of what is no longer declared, the last applied first.
    fn removals(&self) -> Vec<PlannedResource> {
        let resources = &self.wanted.content.resources;
        let claimed: BTreeSet<String> =
            resources.iter().flat_map(|resource| claims(&resource.desired)).collect();
        let planned = |entry: &Released| {
            let mut mode = entry.resource.mode;
            let (change, detail, disruptive) = match fate(entry, &claimed, resources) {
                Fate::TakenOver => return None,
                Fate::Stays => (PlannedChange::Release, "is no longer declared and stays as it is", false),
                Fate::Held => {
                    mode = Mode::Report;
                    (PlannedChange::Remove, HELD, disruptive_removal(&entry.resource.desired))
                }
                Fate::Goes => (
                    PlannedChange::Remove,
                    "is no longer declared and is removed",
                    disruptive_removal(&entry.resource.desired),
                ),
            };
            Some(PlannedResource {
                key: entry.resource.key.clone(),
                change,
                mode,
                cause: (change == PlannedChange::Remove).then_some(ChangeCause::Intentional),
                disruptive,
                detail: detail.to_owned(),
                diff: None,
            })
        };
        self.memory.released.iter().rev().filter_map(planned).collect()
    }
}

fn change_of(actions: &[Action]) -> PlannedChange {
    match actions {
        [Action::Reload] => PlannedChange::Reload,
        [Action::Restart] => PlannedChange::Restart,
        [Action::RunCommand] => PlannedChange::Run,
        _ => PlannedChange::Change,
    }
}
