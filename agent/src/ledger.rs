//! What survives a restart: the last accepted assignment, what was in force of it, what the agent is in the middle of, and
//! the reports still to be sent.
//!
//! The assignment may hold secrets, so it is sealed with a key that lies beside it: this keeps secrets out of backups of
//! single files and out of sight, not from somebody who can read the whole folder as root.
//! Nothing here trusts the disk: what cannot be opened or does not verify is set aside, kept and reported.

mod acceptance;
mod backups;
mod memory;
mod queue;
mod seal;

pub use acceptance::{AssignmentRefused, Verifier};
pub use backups::{Former, FormerState};
pub use memory::{HeldTurn, Noted, Recollection, Refused, Released};
pub use queue::{MAX_QUEUED_BYTES, MAX_QUEUED_REPORTS, QueuedReport, ReportQueue};

use crate::durable;
use crate::redact::Redactor;
use muster_domain::{
    Digest,
    assignment::{AssignmentContent, Generation, Revision},
    resource::{Mode, Resource, ResourceKey},
};
use muster_planning::convergence::{Pending, triggers};
use muster_proto::v1;
use prost::Message;
use seal::SealKey;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const ASSIGNMENT: &str = "assignment.bin";
const STATE: &str = "state.bin";
const RELEASED: &str = "released.bin";
const KEY: &str = "ledger.key";

/// The assignment in force.
#[derive(Debug)]
pub struct Accepted {
    /// Its number.
    pub generation: Generation,
    /// The digest of its content.
    pub revision: Revision,
    /// What the node should be.
    pub content: AssignmentContent,
    /// The digest of each resource, in the order of the content: tells whether a resource was asked for before.
    pub resource_digests: Vec<Digest>,
    /// Where in the content each resource stands.
    pub positions: BTreeMap<ResourceKey, usize>,
}

impl Accepted {
    /// An assignment that was checked.
    pub(crate) fn new(generation: Generation, revision: Revision, content: AssignmentContent) -> Self {
        let resource_digests = content.resources.iter().map(resource_digest).collect();
        let positions = content.resources.iter().enumerate().map(|(at, r)| (r.key.clone(), at)).collect();
        Self { generation, revision, content, resource_digests, positions }
    }
}

/// Says what was asked for. Who may do something about it is no part of that: what drifted while the node was only watched
/// has drifted, and what was refused is the same afterwards.
fn resource_digest(resource: &Resource) -> Digest {
    let wire = v1::Resource::from(&Resource { mode: Mode::default(), ..resource.clone() });
    Digest::from_bytes(*blake3::hash(&wire.encode_to_vec()).as_bytes())
}

/// What became of an assignment that was offered.
#[derive(Debug)]
pub enum Offered {
    /// It is in force now.
    Accepted(Arc<Accepted>),
    /// It already was.
    Known,
    /// It was refused, and the former one stays in force.
    Refused(AssignmentRefused),
}

/// Something odd that was found while opening the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oddity {
    /// What is wrong and what was done about it.
    pub message: String,
}

/// Why the ledger cannot be used at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct LedgerError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// What is remembered besides the assignment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// The highest generation ever accepted: nothing older is taken, even when the assignment itself is lost.
    generation: Generation,
    /// Its revision.
    revision: Option<Revision>,
    /// Resources that were as they should be, and the digest of what that was.
    converged: BTreeMap<ResourceKey, Digest>,
    /// Resources that the agent has changed, or would have.
    #[serde(default)]
    managed: BTreeSet<ResourceKey>,
    /// Reloads, restarts and commands that are due.
    #[serde(default)]
    pending: BTreeMap<ResourceKey, Pending>,
    /// Desired states that were not taken.
    #[serde(default)]
    refused: BTreeMap<ResourceKey, Refused>,
    /// The turn that the node holds.
    #[serde(default)]
    turn: Option<HeldTurn>,
    /// What failed in a turn and was not seen in place since.
    #[serde(default)]
    failed_in_turn: BTreeSet<ResourceKey>,
}

/// The durable memory of an agent.
#[derive(Debug)]
pub struct Ledger {
    dir: PathBuf,
    key: SealKey,
    inner: Mutex<Inner>,
    redactor: Arc<Redactor>,
    /// Reports still to be sent.
    pub reports: ReportQueue,
    /// How many writes go well before the agent dies in one, where a test wants that.
    #[cfg(test)]
    writes_left: Mutex<Option<u64>>,
}

#[derive(Debug)]
struct Inner {
    verifier: Verifier,
    current: Option<Arc<Accepted>>,
    state: State,
    released: Vec<Released>,
}

impl Inner {
    /// What was released, with what the run that was under way when it was left out made only then.
    fn released_as_managed(&self) -> Vec<Released> {
        let mut released = self.released.clone();
        for entry in &mut released {
            entry.managed |= self.state.managed.contains(&entry.resource.key);
        }
        released
    }
}

impl Ledger {
    /// Opens the ledger, creating it when it is new. Damage is reported beside it and never fatal.
    pub fn open(dir: &Path, verifier: Verifier, now_ms: i64) -> Result<(Self, Vec<Oddity>), LedgerError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| LedgerError { action, path, source }
        };
        durable::private_folder(dir).map_err(failed("create", dir))?;
        let mut oddities = Vec::new();
        let key_path = dir.join(KEY);
        let key = SealKey::load_or_create(&key_path).map_err(failed("read or create", &key_path))?;
        let mut aside = Aside { dir, now_ms, oddities: &mut oddities };
        let state =
            aside.open(STATE, &key, |bytes| serde_json::from_slice(bytes).map_err(|e| e.to_string()))?;
        let state: State = state.unwrap_or_default();
        let current = aside.open(ASSIGNMENT, &key, |bytes| {
            let signed = v1::SignedAssignment::decode(bytes).map_err(|e| e.to_string())?;
            verifier.verify(&signed).map_err(|refused| refused.reason)
        })?;
        let released = aside.open(RELEASED, &key, memory::decode_released)?.unwrap_or_default();
        let reports_dir = dir.join("reports");
        let redactor = Arc::new(Redactor::default());
        let reports = ReportQueue::open(&reports_dir, now_ms, redactor.clone())
            .map_err(failed("open", &reports_dir))?;
        let current: Option<Arc<Accepted>> = current.map(Arc::new);
        if let Some(current) = &current {
            redactor.learn(&current.content);
        }
        let inner = Mutex::new(Inner { verifier, current, state, released });
        let ledger = Self {
            dir: dir.to_owned(),
            key,
            inner,
            redactor,
            reports,
            #[cfg(test)]
            writes_left: Mutex::new(None),
        };
        // A kill may have left some that nobody waits for.
        ledger.drop_backups()?;
        Ok((ledger, oddities))
    }

    /// The assignment in force.
    pub fn current(&self) -> Option<Arc<Accepted>> {
        self.lock().current.clone()
    }

    /// What keeps secrets out of reports, for whatever is told in another way.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Trusts these keys from now on.
    pub fn set_assignment_keys(&self, keys: Vec<[u8; 32]>) {
        self.lock().verifier.keys = keys;
    }

    /// Takes an assignment, or refuses it. It is durable when this returns.
    pub fn offer(&self, signed: &v1::SignedAssignment) -> Result<Offered, LedgerError> {
        let mut inner = self.lock();
        let current = inner.current.as_ref().map(|current| (current.generation, Some(current.revision)));
        let floor =
            current.unwrap_or((Generation::NONE, None)).max((inner.state.generation, inner.state.revision));
        let assignment = match inner.verifier.verify(signed) {
            Ok(assignment) => assignment,
            Err(refused) => return Ok(Offered::Refused(refused)),
        };
        if let Err(refused) = acceptance::check_order(&assignment, floor.0, floor.1) {
            return Ok(Offered::Refused(refused));
        }
        if current == Some((assignment.generation, Some(assignment.revision))) {
            return Ok(Offered::Known);
        }
        // First: what is no longer declared must not be forgotten when the agent is killed between the two. As long as the
        // former assignment is in force, nothing comes of it.
        let released = released_by(&inner, &assignment);
        if released != inner.released {
            self.write(RELEASED, &memory::encode_released(&released))?;
            inner.released = released;
        }
        self.write(ASSIGNMENT, &signed.encode_to_vec())?;
        // Before anything of it runs.
        self.redactor.learn(&assignment.content);
        let assignment = Arc::new(assignment);
        inner.current = Some(assignment.clone());
        Ok(Offered::Accepted(assignment))
    }

    /// Reads a candidate that is only to be planned, or says why not.
    pub fn candidate(&self, request: uuid::Uuid, candidate: &v1::PlanCandidate) -> Result<Accepted, String> {
        let verifier = self.lock().verifier.clone();
        verifier.verify_candidate(request, candidate)
    }

    /// What a resource was when it last was as it should be.
    pub fn converged(&self, key: &ResourceKey) -> Option<Digest> {
        self.lock().state.converged.get(key).copied()
    }

    fn write(&self, name: &'static str, content: &[u8]) -> Result<(), LedgerError> {
        let path = self.dir.join(name);
        self.before_write();
        durable::write(&path, &self.key.seal(name, content)).map_err(|source| LedgerError {
            action: "write",
            path,
            source,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(not(test))]
    const fn before_write(&self) {}

    /// Dies where a test wants it to.
    #[cfg(test)]
    fn before_write(&self) {
        let mut left = self.writes_left.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = left.as_mut() {
            if *left == 0 {
                std::panic::resume_unwind(Box::new("killed at a write of the ledger"));
            }
            *left -= 1;
        }
    }

    /// Lets so many writes go well, and dies in the next.
    #[cfg(test)]
    pub(crate) fn die_after_writes(&self, writes: Option<u64>) {
        *self.writes_left.lock().unwrap_or_else(PoisonError::into_inner) = writes;
    }
}

/// What is no longer declared once `next` is in force, in the order in which it was applied. Applications are not among it:
/// they are stopped by looking at what runs.
fn released_by(inner: &Inner, next: &Accepted) -> Vec<Released> {
    let former =
        inner.current.as_ref().map(|current| current.content.resources.as_slice()).unwrap_or_default();
    let leaves = |resource: &&Resource| {
        resource.key.kind() != "application" && !next.positions.contains_key(&resource.key)
    };
    let left = former.iter().filter(leaves).map(|resource| {
        let managed = inner.state.managed.contains(&resource.key);
        let watchers = triggers(former, &resource.key);
        let watchers = watchers.map(|(watcher, trigger)| (watcher.key.clone(), trigger)).collect();
        Released { resource: resource.clone(), managed, watchers }
    });
    let mut known = BTreeSet::new();
    let mut released: Vec<Released> = inner.released.iter().cloned().chain(left).collect();
    released.retain(|entry| !next.positions.contains_key(&entry.resource.key));
    // The newer declaration of one that left, came back and leaves again.
    released.reverse();
    released.retain(|entry| known.insert(entry.resource.key.clone()));
    released.reverse();
    released
}

/// What a look at a ledger shows. Whoever looks changes nothing.
#[derive(Debug, Default)]
pub struct Seen {
    /// The assignment in force.
    pub current: Option<Accepted>,
    /// What is remembered besides it.
    pub memory: Recollection,
    /// Reports still to be sent.
    pub queued_reports: usize,
    /// What could not be read.
    pub problems: Vec<String>,
}

/// Looks at a ledger from outside, also while an agent uses it.
pub fn look(dir: &Path, verifier: &Verifier) -> Seen {
    let mut seen = Seen::default();
    let key = match SealKey::load(&dir.join(KEY)) {
        Ok(key) => key,
        Err(error) => {
            seen.problems.push(format!("the key of the ledger cannot be read: {error}"));
            None
        }
    };
    let mut open = |name: &str| -> Option<Vec<u8>> {
        let sealed = match durable::read(&dir.join(name)) {
            Ok(sealed) => sealed?,
            Err(error) => {
                seen.problems.push(format!("{name} cannot be read: {error}"));
                return None;
            }
        };
        let opened = key.as_ref().and_then(|key| key.open(name, &sealed));
        if opened.is_none() {
            seen.problems.push(format!("{name} cannot be opened: it is damaged, or its key was lost"));
        }
        opened
    };
    let (assignment, state, released) = (open(ASSIGNMENT), open(STATE), open(RELEASED));
    if let Some(bytes) = assignment {
        let signed = v1::SignedAssignment::decode(bytes.as_slice());
        match signed
            .map_err(|e| e.to_string())
            .and_then(|s| verifier.verify(&s).map_err(|refused| refused.reason))
        {
            Ok(current) => seen.current = Some(current),
            Err(reason) => seen.problems.push(format!("the assignment does not verify: {reason}")),
        }
    }
    if let Some(state) = state.and_then(|bytes| serde_json::from_slice::<State>(&bytes).ok()) {
        let State { converged, pending, refused, .. } = state;
        seen.memory = Recollection { converged, pending, refused, released: Vec::new() };
    }
    match released.map(|bytes| memory::decode_released(&bytes)) {
        Some(Ok(released)) => seen.memory.released = released,
        Some(Err(error)) => seen.problems.push(format!("what is no longer declared cannot be read: {error}")),
        None => {}
    }
    seen.queued_reports = std::fs::read_dir(dir.join("reports")).map_or(0, |entries| {
        entries.filter_map(Result::ok).filter(|e| e.path().extension().is_some_and(|e| e == "json")).count()
    });
    seen
}

/// Opens sealed files, and sets aside what cannot be opened.
struct Aside<'a> {
    dir: &'a Path,
    now_ms: i64,
    oddities: &'a mut Vec<Oddity>,
}

impl Aside<'_> {
    fn open<T>(
        &mut self,
        name: &'static str,
        key: &SealKey,
        parse: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Result<Option<T>, LedgerError> {
        let path = self.dir.join(name);
        let failed = |action| {
            let path = path.clone();
            move |source| LedgerError { action, path, source }
        };
        let Some(sealed) = durable::read(&path).map_err(failed("read"))? else { return Ok(None) };
        let opened = key.open(name, &sealed).ok_or_else(|| "it is damaged, or its key was lost".to_owned());
        match opened.and_then(|bytes| parse(&bytes)) {
            Ok(value) => Ok(Some(value)),
            Err(reason) => {
                let kept = self.dir.join(format!("{name}.damaged-{}", self.now_ms));
                std::fs::rename(&path, &kept).map_err(failed("set aside"))?;
                let message = format!(
                    "{name} of the ledger cannot be used ({reason}); it was kept as {}",
                    kept.display()
                );
                self.oddities.push(Oddity { message });
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod test_fleet;
#[cfg(test)]
mod tests;
