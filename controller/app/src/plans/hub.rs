//! Plans under way and just made, in memory. Bounded in number, in time and in what they hold.

use super::{NodePlanView, PlanCandidate, PlanState, PlanView};
use crate::AppError;
use chrono::{DateTime, TimeDelta, Utc};
use muster_db::nodes::NodeOverview;
use muster_domain::{EnvironmentName, NodeId, NodeName};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use uuid::Uuid;

/// An agent that knows what a plan request is takes it up at once, even in the middle of a run.
const TAKEN_UP_WITHIN: TimeDelta = TimeDelta::seconds(8);
/// Looking at some hundred resources takes milliseconds; a command that guards another may take a while.
const ANSWERED_WITHIN: TimeDelta = TimeDelta::seconds(45);
/// For so long the answers can be read.
const KEPT_FOR: TimeDelta = TimeDelta::minutes(10);
/// Plans at a time that somebody still waits for.
const OPEN_AT_ONCE: usize = 16;
/// The same of one person.
const OPEN_AT_ONCE_EACH: usize = 4;
/// Plans that are kept, those that are open included.
const KEPT_AT_MOST: usize = 32;
/// Differences that one plan holds in all; the answers of nodes beyond it come without.
const DIFFS_BYTES: usize = 64 * 1024 * 1024;

/// A plan that is about to be opened.
pub(crate) struct Asking {
    pub(crate) created_by: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) candidate: bool,
    pub(crate) nodes: BTreeMap<NodeId, Asked>,
    /// Declared nodes that no host has joined as.
    pub(crate) missing: Vec<(NodeName, EnvironmentName)>,
}

/// A node that is asked.
pub(crate) struct Asked {
    name: NodeName,
    environment: EnvironmentName,
    agent_version: String,
    pub(crate) candidate: Option<PlanCandidate>,
    taken_up: bool,
    state: PlanState,
}

impl Asked {
    pub(crate) fn new(node: &NodeOverview) -> Self {
        Self {
            name: node.name.clone(),
            environment: node.environment.clone(),
            agent_version: node.facts.agent_version.clone(),
            candidate: None,
            taken_up: false,
            state: PlanState::Waiting,
        }
    }

    pub(crate) fn fail(&mut self, reason: String) {
        self.state = PlanState::Problem(reason);
        self.candidate = None;
    }

    /// Gives up on what took too long.
    fn look_at_the_time(&mut self, passed: TimeDelta) {
        if self.state != PlanState::Waiting {
            return;
        }
        if !self.taken_up && passed >= TAKEN_UP_WITHIN {
            self.fail(format!(
                "it did not take the request up within {} s; its agent ({}) may be too old to plan on request",
                TAKEN_UP_WITHIN.num_seconds(),
                if self.agent_version.is_empty() { "of an unknown version" } else { &self.agent_version }
            ));
        } else if passed >= ANSWERED_WITHIN {
            self.fail(format!("it did not answer within {} s", ANSWERED_WITHIN.num_seconds()));
        }
    }
}

struct Plan {
    asking: Asking,
    diffs_bytes: usize,
}

impl Plan {
    fn look_at_the_time(&mut self, now: DateTime<Utc>) {
        let passed = now - self.asking.created_at;
        for asked in self.asking.nodes.values_mut() {
            asked.look_at_the_time(passed);
        }
    }

    fn finished(&self) -> bool {
        self.asking.nodes.values().all(|asked| asked.state != PlanState::Waiting)
    }
}

/// The plans of this controller, by id, which is by age.
#[derive(Clone, Default)]
pub(crate) struct PlanHub {
    plans: Arc<Mutex<BTreeMap<Uuid, Plan>>>,
}

impl PlanHub {
    /// Under the lock, with what is over taken away.
    fn lock(&self, now: DateTime<Utc>) -> MutexGuard<'_, BTreeMap<Uuid, Plan>> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        plans.retain(|_, plan| now - plan.asking.created_at < KEPT_FOR);
        for plan in plans.values_mut() {
            plan.look_at_the_time(now);
        }
        plans
    }

    fn room(plans: &BTreeMap<Uuid, Plan>, person: &str) -> Result<(), AppError> {
        let open = || plans.values().filter(|plan| !plan.finished());
        let own = open().filter(|plan| plan.asking.created_by == person).count();
        if open().count() < OPEN_AT_ONCE && own < OPEN_AT_ONCE_EACH {
            return Ok(());
        }
        Err(AppError::TooManyRequests {
            detail: format!(
                "{OPEN_AT_ONCE} plans at a time, and {OPEN_AT_ONCE_EACH} of one person, are the most"
            ),
            retry_after_s: 5,
        })
    }

    /// Refuses before any work is done.
    pub(crate) fn check_room(&self, now: DateTime<Utc>, person: &str) -> Result<(), AppError> {
        Self::room(&self.lock(now), person)
    }

    /// Opens a plan; gives back the nodes to ask.
    pub(crate) fn open(&self, id: Uuid, asking: Asking) -> Result<Vec<NodeId>, AppError> {
        let mut plans = self.lock(asking.created_at);
        Self::room(&plans, &asking.created_by)?;
        while plans.len() >= KEPT_AT_MOST {
            // Open ones are fewer than that, so there is one that was read or will not be.
            let oldest = plans.iter().find(|(_, plan)| plan.finished()).map(|(id, _)| *id);
            let Some(oldest) = oldest else { break };
            plans.remove(&oldest);
        }
        let to_ask = asking.nodes.iter().filter(|(_, asked)| asked.state == PlanState::Waiting);
        let to_ask = to_ask.map(|(node, _)| *node).collect();
        plans.insert(id, Plan { asking, diffs_bytes: 0 });
        Ok(to_ask)
    }

    /// Notes that a node will not answer.
    pub(crate) fn fail(&self, now: DateTime<Utc>, id: Uuid, node: NodeId, reason: &str) {
        self.answer(now, id, node, PlanState::Problem(reason.to_owned()));
    }

    /// A node takes up its request; `None` when nobody waits for it.
    pub(crate) fn take_up(
        &self,
        now: DateTime<Utc>,
        id: Uuid,
        node: NodeId,
    ) -> Option<Option<PlanCandidate>> {
        let mut plans = self.lock(now);
        let asked = plans.get_mut(&id)?.asking.nodes.get_mut(&node)?;
        if asked.state != PlanState::Waiting {
            return None;
        }
        asked.taken_up = true;
        Some(asked.candidate.clone())
    }

    /// Whether somebody waits for this node's answer.
    pub(crate) fn expects(&self, now: DateTime<Utc>, id: Uuid, node: NodeId) -> bool {
        let plans = self.lock(now);
        let asked = plans.get(&id).and_then(|plan| plan.asking.nodes.get(&node));
        asked.is_some_and(|asked| asked.state == PlanState::Waiting)
    }

    /// Stores an answer, if it is still waited for.
    pub(crate) fn answer(&self, now: DateTime<Utc>, id: Uuid, node: NodeId, mut state: PlanState) {
        let mut plans = self.lock(now);
        let Some(plan) = plans.get_mut(&id) else { return };
        let Some(asked) = plan.asking.nodes.get_mut(&node) else { return };
        if asked.state != PlanState::Waiting {
            return;
        }
        if let PlanState::Planned(answer) = &mut state {
            for resource in &mut answer.resources {
                let bytes = resource.diff.as_ref().map_or(0, String::len);
                if plan.diffs_bytes + bytes > DIFFS_BYTES {
                    resource.diff = Some("(left out: the plan is too long; plan fewer nodes)".to_owned());
                } else {
                    plan.diffs_bytes += bytes;
                }
            }
        }
        asked.state = state;
        asked.candidate = None;
    }

    /// A plan as far as it has come.
    pub(crate) fn view(&self, now: DateTime<Utc>, id: Uuid) -> Option<PlanView> {
        let plans = self.lock(now);
        let plan = plans.get(&id)?;
        let Asking { created_by, created_at, candidate, nodes, missing } = &plan.asking;
        let mut shown: Vec<NodePlanView> = nodes
            .values()
            .map(|asked| NodePlanView {
                node: asked.name.clone(),
                environment: asked.environment.clone(),
                state: asked.state.clone(),
            })
            .collect();
        shown.extend(missing.iter().map(|(node, environment)| NodePlanView {
            node: node.clone(),
            environment: environment.clone(),
            state: PlanState::Missing,
        }));
        shown.sort_by(|a, b| a.node.cmp(&b.node));
        Some(PlanView {
            id,
            created_by: created_by.clone(),
            created_at: *created_at,
            candidate: *candidate,
            finished: plan.finished(),
            nodes: shown,
        })
    }
}
