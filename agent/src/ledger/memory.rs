//! What the agent remembers of its own work, besides the assignment: what it has in hand, which reloads are still due, what
//! was refused, what is no longer declared, and whether the node's turn is held. Written before a change is made, so that a
//! kill at any point loses nothing that has to follow from it.

use super::{Accepted, Ledger, LedgerError, STATE, State};
use muster_domain::{
    Digest,
    assignment::Generation,
    observed::ChangeCause,
    resource::{Mode, Resource, ResourceKey},
    turn::TurnKind,
};
use muster_planning::convergence::{Pending, Trigger};
use muster_proto::convert;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A desired state that was tried and that whoever uses it did not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Which desired state of the resource.
    pub digest: Digest,
    /// Who did not take it and why, for a person.
    pub reason: String,
}

/// The turn that the node holds for disruptive changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldTurn {
    /// The generation that it was asked for.
    pub generation: Generation,
    /// What for.
    pub kind: TurnKind,
    /// What was changed under it, to be looked at before it is given back.
    pub changed: BTreeSet<ResourceKey>,
    /// What did the node's work when it was taken, and has to do it again.
    #[serde(default)]
    pub well: BTreeSet<ResourceKey>,
    /// It ended so, and the controller was not told yet; absent: it goes on.
    #[serde(default)]
    pub failed: Option<String>,
}

/// A resource that is no longer declared, and what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// Its last declaration.
    pub resource: Resource,
    /// The agent made it what it was, or found it so and would have.
    pub managed: bool,
    /// Who watched it.
    pub watchers: Vec<(ResourceKey, Trigger)>,
}

/// Everything that bears on what a run does, at one moment.
#[derive(Debug, Clone, Default)]
pub struct Recollection {
    /// Resources that were as they should be, and the digest of what that was.
    pub converged: BTreeMap<ResourceKey, Digest>,
    /// Reloads, restarts and commands that are due.
    pub pending: BTreeMap<ResourceKey, Pending>,
    /// What was not taken.
    pub refused: BTreeMap<ResourceKey, Refused>,
    /// What is no longer declared, in the order in which it was applied.
    pub released: Vec<Released>,
}

/// A change that was noted, and what was pending before for those who watch: for the case that nothing changed after all.
#[derive(Debug)]
pub struct Noted {
    key: ResourceKey,
    watchers: Vec<(ResourceKey, Option<Pending>)>,
}

/// As it is written: the wire form outlives versions of the agent.
#[derive(Debug, Serialize, Deserialize)]
struct StoredReleased {
    resource: String,
    managed: bool,
    watchers: Vec<(ResourceKey, Trigger)>,
}

pub(super) fn encode_released(released: &[Released]) -> Vec<u8> {
    use base64::Engine;
    let stored = released.iter().map(|entry| {
        let content =
            muster_domain::assignment::AssignmentContent { resources: vec![entry.resource.clone()] };
        let bytes = convert::encode_content(&content);
        let resource = base64::engine::general_purpose::STANDARD.encode(bytes);
        StoredReleased { resource, managed: entry.managed, watchers: entry.watchers.clone() }
    });
    serde_json::to_vec(&stored.collect::<Vec<_>>()).expect("text and flags always encode")
}

pub(super) fn decode_released(bytes: &[u8]) -> Result<Vec<Released>, String> {
    use base64::Engine;
    let stored: Vec<StoredReleased> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let mut released = Vec::with_capacity(stored.len());
    for entry in stored {
        let bytes = base64::engine::general_purpose::STANDARD.decode(&entry.resource);
        let content = convert::decode_content(&bytes.map_err(|error| error.to_string())?);
        let resources = content.map_err(|error| error.to_string())?.resources;
        released.extend(resources.into_iter().map(|resource| {
            let (managed, watchers) = (entry.managed, entry.watchers.clone());
            Released { resource, managed, watchers }
        }));
    }
    Ok(released)
}

impl Ledger {
    /// Everything that bears on what a run does.
    pub fn recollect(&self) -> Recollection {
        let inner = self.lock();
        Recollection {
            converged: inner.state.converged.clone(),
            pending: inner.state.pending.clone(),
            refused: inner.state.refused.clone(),
            released: inner.released_as_managed(),
        }
    }

    /// What is pending for a service or command.
    pub fn pending(&self, watcher: &ResourceKey) -> Option<Pending> {
        self.lock().state.pending.get(watcher).cloned()
    }

    /// Notes that a resource is about to be changed, and what is due for those who watch it.
    pub fn note_change<'a>(
        &self,
        key: &ResourceKey,
        watchers: impl IntoIterator<Item = (&'a ResourceKey, Trigger)>,
        cause: ChangeCause,
    ) -> Result<Noted, LedgerError> {
        let mut before = Vec::new();
        let watchers: Vec<_> = watchers.into_iter().collect();
        self.update(|state| {
            // That goes to the disk with the next news: forgotten, it only means that something is left rather than removed.
            state.managed.insert(key.clone());
            let mut news = false;
            for (watcher, trigger) in watchers {
                before.push((watcher.clone(), state.pending.get(watcher).cloned()));
                match state.pending.get_mut(watcher) {
                    Some(pending) => news |= pending.add(trigger, key, cause),
                    None => {
                        state.pending.insert(watcher.clone(), Pending::new(trigger, key.clone(), cause));
                        news = true;
                    }
                }
            }
            news
        })?;
        Ok(Noted { key: key.clone(), watchers: before })
    }

    /// Nothing changed after all. What was noted of others since stays.
    pub fn take_back(&self, noted: Noted) -> Result<(), LedgerError> {
        let Noted { key, watchers } = noted;
        self.update(|state| {
            let mut news = false;
            for (watcher, before) in watchers {
                let Some(mut rest) = state.pending.get(&watcher).cloned() else { continue };
                if before.as_ref().is_none_or(|before| !before.because.contains(&key)) {
                    rest.because.remove(&key);
                }
                let rest = match before {
                    Some(before) if before.because == rest.because => Some(before),
                    _ => Some(rest).filter(|rest| !rest.because.is_empty()),
                };
                news |= state.pending.get(&watcher) != rest.as_ref();
                match rest {
                    Some(rest) => state.pending.insert(watcher, rest),
                    None => state.pending.remove(&watcher),
                };
            }
            news
        })?;
        self.drop_backups()
    }

    /// A service has read everything that changed, or a command was run.
    pub fn settle(&self, watcher: &ResourceKey) -> Result<(), LedgerError> {
        self.update(|state| state.pending.remove(watcher).is_some())?;
        self.drop_backups()
    }

    /// Why a desired state is not tried again by itself, if it is not.
    pub fn refused(&self, key: &ResourceKey, digest: Digest) -> Option<String> {
        let inner = self.lock();
        inner.state.refused.get(key).filter(|refused| refused.digest == digest).map(|r| r.reason.clone())
    }

    /// Notes desired states that were not taken.
    pub fn refuse(
        &self,
        refused: impl IntoIterator<Item = (ResourceKey, Refused)>,
    ) -> Result<(), LedgerError> {
        self.update(|state| {
            let before = state.refused.clone();
            state.refused.extend(refused);
            state.refused != before
        })
    }

    /// A person wants everything to be tried again.
    pub fn forgive(&self) -> Result<(), LedgerError> {
        self.update(|state| !std::mem::take(&mut state.refused).is_empty())
    }

    /// The turn that the node holds.
    pub fn held_turn(&self) -> Option<HeldTurn> {
        self.lock().state.turn.clone()
    }

    /// Changes it.
    pub fn hold_turn(&self, turn: Option<HeldTurn>) -> Result<(), LedgerError> {
        self.update(|state| {
            let news = state.turn != turn;
            state.turn = turn;
            news
        })
    }

    /// The turn was given back, and this failed in it.
    pub fn end_turn(&self, failed: BTreeSet<ResourceKey>) -> Result<(), LedgerError> {
        self.update(|state| {
            let before = state.failed_in_turn.len();
            state.failed_in_turn.extend(failed);
            state.turn.take().is_some() || state.failed_in_turn.len() != before
        })
    }

    /// What failed in a turn and was not seen in place since.
    pub fn failed_in_turn(&self) -> BTreeSet<ResourceKey> {
        self.lock().state.failed_in_turn.clone()
    }

    /// Only this of it still is not in place.
    pub fn still_failed(&self, failed: BTreeSet<ResourceKey>) -> Result<(), LedgerError> {
        self.update(|state| {
            let news = state.failed_in_turn != failed;
            state.failed_in_turn = failed;
            news
        })
    }

    /// What is no longer declared and has not been dealt with, in the order in which it was applied. An agent that was
    /// killed while it took an assignment noted what that lets go, and still has the former one in force.
    pub fn released(&self) -> Vec<Released> {
        let inner = self.lock();
        let declared =
            |key: &ResourceKey| inner.current.as_ref().is_some_and(|now| now.positions.contains_key(key));
        inner.released_as_managed().into_iter().filter(|entry| !declared(&entry.resource.key)).collect()
    }

    /// What would have to be dealt with if `next` were in force.
    pub fn would_release(&self, next: &Accepted) -> Vec<Released> {
        super::released_by(&self.lock(), next)
    }

    /// It was dealt with.
    pub fn forget_released(&self, keys: &BTreeSet<ResourceKey>) -> Result<(), LedgerError> {
        let mut inner = self.lock();
        let mut released = inner.released.clone();
        released.retain(|entry| !keys.contains(&entry.resource.key));
        if released.len() != inner.released.len() {
            self.write(super::RELEASED, &encode_released(&released))?;
            inner.released = released;
        }
        Ok(())
    }

    /// Notes which resources are as they should be. Writes only when that is news.
    pub fn note_converged<'a>(
        &self,
        assignment: &Accepted,
        converged: impl IntoIterator<Item = (&'a Resource, Digest)>,
    ) -> Result<(), LedgerError> {
        let positions = &assignment.positions;
        let converged: Vec<(&Resource, Digest)> = converged.into_iter().collect();
        self.remember_managed()?;
        if self.lock().state.says(assignment, &converged) {
            return Ok(());
        }
        self.update(|state| {
            let mut news = false;
            if assignment.generation > state.generation
                || (assignment.generation == state.generation && state.revision != Some(assignment.revision))
            {
                (state.generation, state.revision) = (assignment.generation, Some(assignment.revision));
                news = true;
            }
            for (resource, digest) in converged {
                if state.converged.get(&resource.key) != Some(&digest) {
                    state.converged.insert(resource.key.clone(), digest);
                    news = true;
                }
                // It is in place: whoever did not take it then has been given what it needs.
                news |= state.refused.remove(&resource.key).is_some();
                if resource.mode == Mode::Enforce && !state.managed.contains(&resource.key) {
                    news |= state.managed.insert(resource.key.clone());
                }
            }
            let mut keep = |key: &ResourceKey| {
                let known = positions.contains_key(key);
                news |= !known;
                known
            };
            state.converged.retain(|key, _| keep(key));
            state.pending.retain(|key, _| keep(key));
            state.refused.retain(|key, _| keep(key));
            state.managed.retain(|key| keep(key));
            news
        })
    }

    /// Keeps who was managed with what was released: the rest forgets what is no longer declared.
    fn remember_managed(&self) -> Result<(), LedgerError> {
        let mut inner = self.lock();
        let released = inner.released_as_managed();
        if released != inner.released {
            self.write(super::RELEASED, &encode_released(&released))?;
            inner.released = released;
        }
        Ok(())
    }

    /// Changes what is remembered, and writes it when the change says that there is news. News that could not be written is
    /// not remembered either.
    pub(super) fn update(&self, change: impl FnOnce(&mut State) -> bool) -> Result<(), LedgerError> {
        let mut inner = self.lock();
        let mut state = inner.state.clone();
        if change(&mut state) {
            let bytes = serde_json::to_vec(&state).expect("names, numbers and digests always encode");
            self.write(STATE, &bytes)?;
        }
        inner.state = state;
        Ok(())
    }
}

impl State {
    /// Whether this is just what is remembered: the usual end of a run.
    fn says(&self, assignment: &Accepted, converged: &[(&Resource, Digest)]) -> bool {
        let known = |(resource, digest): &(&Resource, Digest)| {
            let key = &resource.key;
            self.converged.get(key) == Some(digest)
                && !self.refused.contains_key(key)
                && (resource.mode != Mode::Enforce || self.managed.contains(key))
        };
        let belongs = |key: &ResourceKey| assignment.positions.contains_key(key);
        self.generation == assignment.generation
            && self.revision == Some(assignment.revision)
            && converged.iter().all(known)
            && self.converged.keys().all(belongs)
            && self.managed.iter().all(belongs)
            && self.pending.keys().all(belongs)
            && self.refused.keys().all(belongs)
    }
}
