//! The decisions of a rollout: moving an environment to a release, one node at a time, and back when it fails.
//!
//! Holds: [`step`], one total function from a record and an event to the next record and the effects to carry out.
//! Must not: know how a node is reached or how a record is stored. `now` and who is reachable come with the context.
//! Start here: [`step`], then [`preflight`], which answers before a rollout is accepted.
//!
//! ```text
//! Planned -> Running -> Completed
//!    |          |----> RollingBack -> RolledBack | Aborted
//!    '---------------------------> RolledBack (nothing reachable) | Aborted
//! ```

mod advance;
mod step;
#[cfg(test)]
mod tests;

pub use step::{preflight, step};

use chrono::{DateTime, Utc};
use muster_domain::{
    NodeId, NodeName, ReleaseId,
    event::Severity,
    rollout::{NodeProgress, RolloutNode, RolloutState},
};
use std::collections::{BTreeMap, BTreeSet};

/// How long a node may take by default: a fetch of some hundred megabytes over a slow line, and the start of every
/// instance one after another.
pub const NODE_DEADLINE_MS: u32 = 5 * 60 * 1000;

/// What a step needs to know of the world.
#[derive(Debug, Clone, Copy)]
pub struct RolloutCtx<'a> {
    /// The time of the event.
    pub now: DateTime<Utc>,
    /// How long a node may take to move, and to return.
    pub node_deadline_ms: u32,
    /// Since when nodes could be heard. Who could not say that it is ready has not missed its deadline, so a node's time
    /// begins here at the earliest.
    pub listening_since: DateTime<Utc>,
    /// Nodes that are heard from (up or late).
    pub reachable: &'a BTreeSet<NodeId>,
    /// Nodes that cannot be started with now, because too many of their role are changing, and why.
    pub held_back: &'a BTreeMap<NodeId, String>,
    /// Names for the texts that people read; a node without one is called by its id.
    pub names: &'a BTreeMap<NodeId, NodeName>,
}

/// A rollout as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutRecord {
    /// How it stands.
    pub state: RolloutState,
    /// The release that it moves to.
    pub target: ReleaseId,
    /// Its nodes, in the order in which they move.
    pub nodes: Vec<RolloutNode>,
}

impl RolloutRecord {
    /// A rollout that has not begun. Nodes appear once each.
    pub fn planned(target: ReleaseId, nodes: impl IntoIterator<Item = (NodeId, Option<ReleaseId>)>) -> Self {
        Self {
            state: RolloutState::Planned,
            target,
            nodes: nodes
                .into_iter()
                .map(|(node, former_release)| RolloutNode {
                    node,
                    former_release,
                    progress: NodeProgress::Pending,
                })
                .collect(),
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolloutEvent {
    /// It is its turn.
    Start,
    /// A node answered for the release that it was last given.
    NodeReported {
        /// The node.
        node: NodeId,
        /// The release that the reported generation asks for (none: the application is not to be there). A report for
        /// anything but what the node was last given is stale and changes nothing.
        release: Option<ReleaseId>,
        /// How that went.
        outcome: NodeOutcome,
    },
    /// Time passed: deadlines are looked at.
    Tick,
    /// A person wants it undone.
    Abort {
        /// Who.
        by: String,
    },
}

impl RolloutEvent {
    /// A word for messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::NodeReported { .. } => "node_reported",
            Self::Tick => "tick",
            Self::Abort { .. } => "abort",
        }
    }
}

/// How a node fared with the release that it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeOutcome {
    /// It is converged and every instance is ready.
    Ready,
    /// It cannot.
    Failed {
        /// Why, for a person.
        reason: String,
    },
}

/// What the controller has to carry out, at least once and in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolloutEffect {
    /// From now on the node's assignment holds this release of the application; `None`: not the application.
    AssignRelease {
        /// The node.
        node: NodeId,
        /// The release.
        release: Option<ReleaseId>,
    },
    /// Tell people.
    Announce {
        /// How much they should care.
        severity: Severity,
        /// Stable dotted word of the event.
        kind: &'static str,
        /// One line.
        message: String,
        /// The node that it is about, when it is about one.
        node: Option<NodeId>,
    },
    /// It is over: the environment's target follows `completed`, and the next rollout of the queue may start.
    Finish {
        /// It ended as `Completed`: every reachable node runs the release.
        completed: bool,
    },
}

/// The record after an event, and what to carry out because of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The record to store.
    pub record: RolloutRecord,
    /// What to carry out. Empty when the event said nothing new.
    pub effects: Vec<RolloutEffect>,
}

/// A transition that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing happens after the end.
    #[error("the rollout is {state} already, so {event:?} has no effect")]
    Terminal {
        /// How it ended.
        state: &'static str,
        /// What was asked.
        event: &'static str,
    },
    /// The node is not part of the rollout.
    #[error("node {node} is not part of this rollout")]
    ForeignNode {
        /// The node.
        node: NodeId,
    },
    /// No node of the environment runs the application.
    #[error("no node of the environment is meant to run the application")]
    NoNodes,
    /// Every node is down.
    #[error("none of its {count} nodes can be reached: {names}")]
    NothingReachable {
        /// How many nodes there are.
        count: usize,
        /// Their names.
        names: String,
    },
}
