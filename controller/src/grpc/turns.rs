//! Shares per node, so that one node, broken or hostile, cannot take the places of all others.

use muster_domain::NodeId;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many places for each node.
#[derive(Clone)]
pub(super) struct Turns {
    most: usize,
    nodes: Arc<Mutex<HashMap<NodeId, Weak<Semaphore>>>>,
}

impl Turns {
    pub(super) fn new(most: usize) -> Self {
        Self { most, nodes: Arc::default() }
    }

    /// Waits for a place of this node.
    pub(super) async fn take(&self, node: NodeId) -> OwnedSemaphorePermit {
        self.places(node).acquire_owned().await.expect("the semaphore is never closed")
    }

    /// A place of this node, if one is free.
    pub(super) fn try_take(&self, node: NodeId) -> Option<OwnedSemaphorePermit> {
        self.places(node).try_acquire_owned().ok()
    }

    /// The permits keep it alive: a node that holds none costs an entry of the map and no more.
    fn places(&self, node: NodeId) -> Arc<Semaphore> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = nodes.get(&node).and_then(Weak::upgrade) {
            return places;
        }
        let places = Arc::new(Semaphore::new(self.most));
        nodes.insert(node, Arc::downgrade(&places));
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_node_has_its_own_places_and_gets_them_back() {
        let turns = Turns::new(2);
        let node = |n| NodeId::from_uuid(Uuid::from_u128(n));
        let held = (turns.try_take(node(1)).unwrap(), turns.try_take(node(1)).unwrap());
        assert!(turns.try_take(node(1)).is_none());
        assert!(turns.try_take(node(2)).is_some());
        drop(held);
        assert!(turns.try_take(node(1)).is_some());
    }
}
