//! The numbers of instances, and what stays the same while processes come and go.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use muster_supervisor_protocol::AppSpec;
use serde::{Deserialize, Serialize};

use super::App;

/// Gives every instance a number that no other instance of this supervisor has: upwards, and from 0 again when none is
/// left.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ids(Arc<Mutex<Given>>);

#[derive(Debug, Default)]
struct Given {
    next: u32,
    used: BTreeSet<u32>,
}

impl Ids {
    fn next(&self) -> Id {
        let mut given = self.lock();
        let number = given.next;
        given.next = given.next.saturating_add(1);
        given.used.insert(number);
        drop(given);
        Id { number, ids: self.clone() }
    }

    /// A number that was given under another supervisor.
    fn again(&self, number: u32, next: u32) -> Id {
        let mut given = self.lock();
        given.used.insert(number);
        given.next = given.next.max(next).max(number.saturating_add(1));
        drop(given);
        Id { number, ids: self.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Given> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number; free again when this is dropped.
#[derive(Debug)]
struct Id {
    number: u32,
    ids: Ids,
}

impl Drop for Id {
    fn drop(&mut self) {
        let mut given = self.ids.lock();
        given.used.remove(&self.number);
        if given.used.is_empty() {
            given.next = 0;
        }
    }
}

/// What belongs to an instance whatever process it has.
#[derive(Debug)]
pub(crate) struct Place {
    id: Id,
    /// Value of its `increment_var`.
    counter: Option<i64>,
    /// Restarts of the process that had this place last, once there was one.
    pub(super) restarts: Option<u32>,
}

impl Place {
    /// Number of the instance under this supervisor.
    pub(super) fn number(&self) -> u32 {
        self.id.number
    }
}

/// The part of a place that an instance knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers {
    pub(crate) id: u32,
    pub(crate) counter: Option<i64>,
}

/// For the next supervisor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SavedPlace {
    index: u32,
    id: u32,
    /// The number that would be given next.
    next_id: u32,
    counter: Option<i64>,
    restarts: Option<u32>,
}

impl App {
    /// The place of a number, which is made when it is new.
    pub(super) fn place(&mut self, index: u32, spec: &AppSpec) -> Numbers {
        let highest = self.places.values().filter_map(|place| place.counter).max();
        let place = self.places.entry(index).or_insert_with(|| Place {
            id: self.shared.ids.next(),
            counter: None,
            restarts: None,
        });
        if let Some(variable) = &spec.increment_var
            && place.counter.is_none()
        {
            let first = || spec.env.get(variable).and_then(|value| value.trim().parse().ok()).unwrap_or(0);
            place.counter = Some(highest.map_or_else(first, |highest: i64| highest.saturating_add(1)));
        }
        Numbers { id: place.id.number, counter: place.counter }
    }

    pub(super) fn save_places(&self) -> Vec<SavedPlace> {
        let next_id = self.shared.ids.lock().next;
        let save = |(index, place): (&u32, &Place)| SavedPlace {
            index: *index,
            id: place.id.number,
            next_id,
            counter: place.counter,
            restarts: place.restarts,
        };
        self.places.iter().map(save).collect()
    }

    pub(super) fn resume_places(&mut self, saved: Vec<SavedPlace>) {
        for SavedPlace { index, id, next_id, counter, restarts } in saved {
            let id = self.shared.ids.again(id, next_id);
            self.places.insert(index, Place { id, counter, restarts });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_upwards_and_begin_again_when_nothing_is_left() {
        let ids = Ids::default();
        let (first, second) = (ids.next(), ids.next());
        assert_eq!((first.number, second.number), (0, 1));
        drop(first);
        let third = ids.next();
        assert_eq!(third.number, 2, "holes stay");
        drop((second, third));
        assert_eq!(ids.next().number, 0);
        let taken_over = ids.again(7, 9);
        assert_eq!(ids.next().number, 9);
        drop(taken_over);
    }
}
