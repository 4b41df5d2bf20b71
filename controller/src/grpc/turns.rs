//! Shares per node, or per address, so that one of them, broken or hostile, cannot take the places of all others.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Entries that may be left over from those who hold no place any more: strangers' addresses are without number.
const LEFT_OVER_AT_MOST: usize = 1_024;

/// So many places for each.
#[derive(Clone)]
pub(super) struct Turns<K> {
    most: usize,
    each: Arc<Mutex<Each<K>>>,
}

struct Each<K> {
    places: HashMap<K, Weak<Semaphore>>,
    /// With so many entries those that are left over are taken out.
    sweep_at: usize,
}

impl<K: Eq + Hash> Turns<K> {
    pub(super) fn new(most: usize) -> Self {
        let each = Each { places: HashMap::new(), sweep_at: LEFT_OVER_AT_MOST };
        Self { most, each: Arc::new(Mutex::new(each)) }
    }

    /// Waits for a place.
    pub(super) async fn take(&self, of: K) -> OwnedSemaphorePermit {
        self.places(of).acquire_owned().await.expect("the semaphore is never closed")
    }

    /// A place, if one is free.
    pub(super) fn try_take(&self, of: K) -> Option<OwnedSemaphorePermit> {
        self.places(of).try_acquire_owned().ok()
    }

    /// Its places. Whoever holds one, or these, keeps them alive: who holds none costs an entry of the map for a while.
    pub(super) fn places(&self, of: K) -> Arc<Semaphore> {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = each.places.get(&of).and_then(Weak::upgrade) {
            return places;
        }
        if each.places.len() >= each.sweep_at {
            each.places.retain(|_, places| places.strong_count() > 0);
            // So that looking through all of them is seldom, however many hold places.
            each.sweep_at = LEFT_OVER_AT_MOST.max(2 * each.places.len());
        }
        let places = Arc::new(Semaphore::new(self.most));
        each.places.insert(of, Arc::downgrade(&places));
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_domain::NodeId;
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
    #[test]
    fn those_who_hold_nothing_are_forgotten() {
        let turns = Turns::new(1);
        let held = turns.try_take(0).unwrap();
        for stranger in 1..=10 * LEFT_OVER_AT_MOST {
            drop(turns.try_take(stranger).unwrap());
        }
        assert!(turns.each.lock().unwrap().places.len() <= LEFT_OVER_AT_MOST);
        assert!(turns.try_take(0).is_none(), "who holds a place is not");
        drop(held);
        assert!(turns.try_take(0).is_some());
    }
}
