//! Who wants to know that something changed: agents (hints) and people (live messages). Both may lose messages; readers
//! that must not miss anything read the state itself.

use muster_domain::{ApplicationName, NodeId, NodeName, RolloutId, event::Event};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::broadcast;
use uuid::Uuid;

/// Something an agent should look into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeHint {
    /// There may be a new assignment.
    AssignmentChanged,
    /// A person asked for a convergence run now.
    ConvergeNow,
    /// A person wants to read logs.
    LogRequest {
        /// Names the answer.
        request_id: Uuid,
        /// The application.
        application: ApplicationName,
        /// Absent: every instance.
        instance: Option<u32>,
        /// How many past lines per instance.
        lines: u32,
        /// Go on with new lines.
        follow: bool,
    },
    /// Nobody reads them any more.
    LogRequestEnded {
        /// Which request.
        request_id: Uuid,
    },
    /// A person wants to know what a run would change.
    PlanRequest {
        /// Names the answer.
        request_id: Uuid,
    },
    /// A person wants to know what is on the host.
    InspectRequest {
        /// Names the answer.
        request_id: Uuid,
    },
    /// A node that waits for its turn should ask again.
    TurnChanged,
}

/// Hints to the agents that watch this controller.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    nodes: Arc<Mutex<HashMap<NodeId, broadcast::Sender<NodeHint>>>>,
}

/// A watcher that is so many hints behind misses some, and polls.
const HINTS_BUFFERED: usize = 64;

impl Hints {
    fn nodes(&self) -> MutexGuard<'_, HashMap<NodeId, broadcast::Sender<NodeHint>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a node something; `false` when it is not watching here.
    pub fn send(&self, node: NodeId, hint: NodeHint) -> bool {
        let mut nodes = self.nodes();
        let Some(sender) = nodes.get(&node) else { return false };
        let heard = sender.send(hint).is_ok();
        if !heard {
            nodes.remove(&node);
        }
        heard
    }

    /// Watches as a node.
    pub fn subscribe(&self, node: NodeId) -> broadcast::Receiver<NodeHint> {
        self.nodes().entry(node).or_insert_with(|| broadcast::channel(HINTS_BUFFERED).0).subscribe()
    }
}

/// What changed, for people who look at it now.
#[derive(Debug, Clone)]
pub enum LiveMessage {
    /// A node's state, resources, processes or figures.
    Node(NodeName),
    /// A rollout moved.
    Rollout(RolloutId, ApplicationName),
    /// Releases or targets of an application changed.
    Application(ApplicationName),
    /// The fleet configuration has a new version.
    FleetConfiguration(i64),
    /// Something happened.
    Event(Event),
}

/// Live messages to the dashboards and command lines that are connected here.
#[derive(Debug, Clone)]
pub struct Live {
    sender: broadcast::Sender<LiveMessage>,
}

/// A reader that is so many messages behind is told to read everything again.
const LIVE_BUFFERED: usize = 1024;

impl Default for Live {
    fn default() -> Self {
        Self { sender: broadcast::channel(LIVE_BUFFERED).0 }
    }
}

impl Live {
    /// Tells whoever listens.
    pub fn send(&self, message: LiveMessage) {
        // An error means that nobody listens, which is fine.
        drop(self.sender.send(message));
    }

    /// Listens.
    pub fn subscribe(&self) -> broadcast::Receiver<LiveMessage> {
        self.sender.subscribe()
    }
}

/// What a use case has to tell once its transaction is committed.
#[derive(Debug, Default)]
pub(crate) struct Announcements {
    pub(crate) live: Vec<LiveMessage>,
    pub(crate) hints: Vec<(NodeId, NodeHint)>,
    pub(crate) rollouts_touched: bool,
}

impl Announcements {
    pub(crate) fn live(&mut self, message: LiveMessage) {
        self.live.push(message);
    }

    pub(crate) fn hint(&mut self, node: NodeId, hint: NodeHint) {
        self.hints.push((node, hint));
    }
}
