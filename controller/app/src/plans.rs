//! Plans: what nodes would change, for what is in force or for a fleet configuration that is not applied. Connected nodes
//! are asked, look without changing anything, and answer; the answers are collected here, in memory, for the time in which
//! somebody reads them. A candidate is compiled like an assignment, in a transaction that is rolled back.
//!
//! To plan what is in force is to look, so whoever may look at the fleet may do it. To plan a candidate is to make agents
//! carry out what finding out takes (the guards of commands, the validators of files), as root: that needs the permission
//! to apply it.

mod hub;

use crate::{
    Actor, App, AppError, FleetFiles, NodeHint, Permission, applications::NODES_AT_MOST, fleet_configuration,
    hubs::Announcements, redact::Redactor, shorten,
};
use chrono::{DateTime, Utc};
use muster_db::nodes::NodeFilter;
use muster_domain::{
    Digest, EnvironmentName, NodeId, NodeName, assignment::Revision, node::Liveness, plan::NodePlan,
};
use std::collections::BTreeMap;
use uuid::Uuid;

pub(crate) use hub::PlanHub;
use hub::{Asked, Asking};

/// Nodes of one plan: so many answers with their differences can be read, and held in memory.
const NODES_OF_A_PLAN: usize = 500;

/// Candidates of one plan in all. They hold whole assignments.
const CANDIDATES_BYTES: usize = 64 * 1024 * 1024;

/// What to plan.
#[derive(Debug, Clone, Default)]
pub struct NewPlan {
    /// Fleet files that are not applied; absent: what is in force.
    pub files: Option<FleetFiles>,
    /// Only this node.
    pub node: Option<String>,
    /// Only the nodes of this environment.
    pub environment: Option<String>,
}

/// A plan as far as it has come.
#[derive(Debug, Clone)]
pub struct PlanView {
    /// Its id.
    pub id: Uuid,
    /// Who asked.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// It is of files that are not applied.
    pub candidate: bool,
    /// Nothing more will come.
    pub finished: bool,
    /// The nodes by name.
    pub nodes: Vec<NodePlanView>,
}

/// One node of a plan.
#[derive(Debug, Clone)]
pub struct NodePlanView {
    /// The node.
    pub node: NodeName,
    /// Its environment.
    pub environment: EnvironmentName,
    /// How far it is.
    pub state: PlanState,
}

/// How far a node is with its plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanState {
    /// It was asked.
    Waiting,
    /// It answered.
    Planned(NodePlan),
    /// There will be no answer, and why.
    Problem(String),
    /// It is declared, and no host has joined as it.
    Missing,
}

/// What a node is to plan instead of what is in force. No `Debug`: the content holds secrets.
#[derive(Clone)]
pub struct PlanCandidate {
    /// The digest of `content`.
    pub revision: Revision,
    /// Encoded content.
    pub content: Vec<u8>,
    /// Over node, request and revision.
    pub signature: Vec<u8>,
}

/// What a candidate makes of one node.
enum Candidate {
    /// Another assignment, encoded.
    Changed(Vec<u8>),
    /// The assignment that it has.
    Same,
    /// None, for this reason.
    Not(String),
}

impl App {
    /// Asks nodes what they would change.
    pub async fn plan_create(&self, actor: &Actor, new: NewPlan) -> Result<PlanView, AppError> {
        actor.require(Permission::FleetView)?;
        if new.files.is_some() {
            actor.require(Permission::FleetConfigurationApply)?;
        }
        self.plan_hub().check_room(self.now(), &actor.name)?;
        let targets = self.plan_targets(&new).await?;
        let is_candidate = new.files.is_some();
        let (mut candidates, missing) = match new.files.clone() {
            Some(files) => self.plan_candidates(actor, &new, files, &targets).await?,
            None => (BTreeMap::new(), Vec::new()),
        };
        if let (Some(name), true, true) = (&new.node, targets.is_empty(), missing.is_empty()) {
            return Err(crate::nodes::node_missing(name));
        }
        let id = Uuid::now_v7();
        let mut left = CANDIDATES_BYTES;
        let mut nodes = BTreeMap::new();
        for target in targets {
            let mut asked = Asked::new(&target);
            match candidates.remove(&target.id) {
                None | Some(Candidate::Same) => {}
                Some(Candidate::Not(reason)) => {
                    asked.fail(format!("its assignment cannot be compiled: {reason}"));
                }
                Some(Candidate::Changed(content)) if content.len() > left => {
                    asked.fail(
                        "the candidates of all nodes are too large together; plan fewer nodes".to_owned(),
                    );
                }
                Some(Candidate::Changed(content)) => {
                    left -= content.len();
                    let revision = Digest::from_bytes(*blake3::hash(&content).as_bytes());
                    let statement = muster_proto::signing::plan_candidate_statement(target.id, id, &revision);
                    let signature = self.identity().signer.sign(&statement);
                    asked.candidate = Some(PlanCandidate { revision, content, signature });
                }
            }
            nodes.insert(target.id, asked);
        }
        let asking = Asking {
            created_by: actor.name.clone(),
            created_at: self.now(),
            candidate: is_candidate,
            nodes,
            missing,
        };
        let to_ask = self.plan_hub().open(id, asking)?;
        for node in to_ask {
            // Behind `open`: the node may ask for its candidate before this returns.
            if !self.hints().send(node, NodeHint::PlanRequest { request_id: id }) {
                self.plan_hub().fail(self.now(), id, node, "it is not connected to this controller");
            }
        }
        self.plan_read(id)
    }

    /// The enrolled nodes that a plan is about.
    async fn plan_targets(&self, new: &NewPlan) -> Result<Vec<muster_db::nodes::NodeOverview>, AppError> {
        let mut conn = self.db().conn().await?;
        if let Some(environment) = &new.environment {
            // Of a candidate it may be a new one.
            if new.files.is_none() {
                self.environment_require(&mut conn, &environment.parse()?).await?;
            }
        }
        let filter = NodeFilter {
            environment: new.environment.as_deref(),
            name: new.node.as_deref(),
            ..NodeFilter::default()
        };
        let mut nodes = self.node_overviews(&mut conn, &filter, NODES_AT_MOST).await?;
        nodes.retain(|node| node.liveness != Liveness::Revoked);
        if let (Some(name), true, true) = (&new.node, nodes.is_empty(), new.files.is_none()) {
            return Err(crate::nodes::node_missing(name));
        }
        if nodes.len() > NODES_OF_A_PLAN {
            return Err(AppError::invalid(
                "too_many_nodes",
                format!("{} nodes are too many for one plan; {NODES_OF_A_PLAN} are the most", nodes.len()),
            )
            .with_hint("name an environment or a node"));
        }
        Ok(nodes)
    }

    /// What files would make of nodes; and nodes that they declare and that no host has joined as.
    async fn plan_candidates(
        &self,
        actor: &Actor,
        new: &NewPlan,
        files: FleetFiles,
        targets: &[muster_db::nodes::NodeOverview],
    ) -> Result<(BTreeMap<NodeId, Candidate>, Vec<(NodeName, EnvironmentName)>), AppError> {
        let parsed = fleet_configuration::parse(&files.files).await?;
        if let Some(name) = &new.environment
            && targets.is_empty()
            && !parsed.configuration.environments.keys().any(|environment| environment.as_str() == name)
        {
            return Err(AppError::not_found("environment", shorten(name))
                .with_hint("neither these files nor what is in force has it"));
        }
        let missing: Vec<_> = parsed
            .configuration
            .nodes
            .iter()
            .filter(|(name, node)| {
                !targets.iter().any(|target| target.name == **name)
                    && new.node.as_ref().is_none_or(|only| only == name.as_str())
                    && new.environment.as_ref().is_none_or(|only| only == node.environment.as_str())
            })
            .map(|(name, node)| (name.clone(), node.environment.clone()))
            .take(NODES_OF_A_PLAN)
            .collect();
        let mut announcements = Announcements::default();
        let mut tx = self.compile_begin().await?;
        let applied = self.configuration_put(&mut tx, &mut announcements, &actor.name, parsed, files).await?;
        let mut candidates = BTreeMap::new();
        for target in targets {
            let not = applied.not_compiled.iter().find(|(name, _)| name == target.name.as_str());
            let candidate = if let Some((_, reason)) = not {
                Candidate::Not(reason.clone())
            } else if applied.affected_nodes.iter().any(|name| name == target.name.as_str()) {
                match self.assignment_open(&mut tx, target.id).await? {
                    Some(assignment) => Candidate::Changed(assignment.content),
                    None => Candidate::Same,
                }
            } else {
                Candidate::Same
            };
            candidates.insert(target.id, candidate);
        }
        // Nodes of one environment only may be asked for, and another that has joined as a declared one is no news.
        let joined = muster_db::reports::nodes(&mut tx).await?;
        tx.rollback().await.map_err(muster_db::DbError::from)?;
        let missing =
            missing.into_iter().filter(|(name, _)| !joined.iter().any(|node| node.name == *name)).collect();
        let mut conn = self.db().conn().await?;
        let subject = new.node.as_ref().or(new.environment.as_ref()).map_or("the fleet", String::as_str);
        let detail = serde_json::json!({ "nodes": targets.len() });
        self.audit(&mut conn, &actor.name, "plan_create", shorten(subject), detail).await?;
        Ok((candidates, missing))
    }

    /// A plan as far as it has come.
    pub async fn plan_get(&self, actor: &Actor, id: Uuid) -> Result<PlanView, AppError> {
        actor.require(Permission::FleetView)?;
        self.plan_read(id)
    }

    fn plan_read(&self, id: Uuid) -> Result<PlanView, AppError> {
        self.plan_hub().view(self.now(), id).ok_or_else(|| {
            AppError::not_found("plan", id).with_hint(
                "plans are kept for some minutes, by the controller that made them; make a new one",
            )
        })
    }

    /// A node takes up a plan request. `None`: it plans what it has.
    pub fn plan_candidate(&self, node: NodeId, plan: Uuid) -> Result<Option<PlanCandidate>, AppError> {
        self.plan_hub()
            .take_up(self.now(), plan, node)
            .ok_or_else(|| AppError::not_found("plan of this node", plan))
    }

    /// A node answers.
    pub async fn plan_deliver(
        &self,
        node: NodeId,
        plan: Uuid,
        answer: Result<NodePlan, String>,
    ) -> Result<(), AppError> {
        if !self.plan_hub().expects(self.now(), plan, node) {
            return Err(AppError::not_found("plan of this node", plan));
        }
        // The agent masks what it knows to be secret; this masks what anybody was given to keep.
        let mut conn = self.db().conn().await?;
        let redactor = Redactor::of(&self.secrets_open(&mut conn).await?);
        let state = match answer {
            Ok(mut plan) => {
                for resource in &mut plan.resources {
                    redactor.text(&mut resource.detail);
                    redactor.optional(&mut resource.diff);
                }
                PlanState::Planned(plan)
            }
            Err(mut reason) => {
                redactor.text(&mut reason);
                PlanState::Problem(reason)
            }
        };
        self.plan_hub().answer(self.now(), plan, node, state);
        Ok(())
    }
}
