//! How many events a node may leave: one whose application starts and ends all day, or whose owner means harm, must not
//! fill the disk of the controller nor push what other nodes said out of the list.

use chrono::{DateTime, TimeDelta, Utc};
use muster_domain::NodeId;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Events of one node that are kept per window: a run that changes a thousand files is told in full.
pub(super) const EVENTS_PER_WINDOW: u32 = 2_000;
/// The window.
pub(super) const WINDOW: TimeDelta = TimeDelta::minutes(10);

/// What is left of it, per node. In memory: a controller that starts anew begins to count anew.
#[derive(Default)]
pub(crate) struct EventBudget {
    nodes: Mutex<HashMap<NodeId, (DateTime<Utc>, u32)>>,
}

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is kept.
    Keep,
    /// It is the first that is not: people are told until when.
    Announce(DateTime<Utc>),
    /// It is not kept.
    Drop,
}

impl EventBudget {
    pub(super) fn take(&self, node: NodeId, now: DateTime<Utc>) -> Verdict {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, taken) = nodes.entry(node).or_insert((now, 0));
        if now - *since >= WINDOW || now < *since {
            (*since, *taken) = (now, 0);
        }
        *taken = taken.saturating_add(1);
        match *taken {
            n if n <= EVENTS_PER_WINDOW => Verdict::Keep,
            n if n == EVENTS_PER_WINDOW + 1 => Verdict::Announce(*since + WINDOW),
            _ => Verdict::Drop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_node_that_talks_too_much_is_cut_off_alone_and_for_a_while() {
        let budget = EventBudget::default();
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let node = |n: u128| NodeId::from_uuid(Uuid::from_u128(n));
        for _ in 0..EVENTS_PER_WINDOW {
            assert_eq!(budget.take(node(1), now), Verdict::Keep);
        }
        assert_eq!(budget.take(node(1), now), Verdict::Announce(now + WINDOW));
        assert_eq!(budget.take(node(1), now), Verdict::Drop);
        assert_eq!(budget.take(node(2), now), Verdict::Keep);
        assert_eq!(budget.take(node(1), now + WINDOW), Verdict::Keep);
    }
}
