//! What is on disk while changes are put to the test: what was there before, and what becomes of it. One file for the
//! changes that are under test, one for those that did not pass; both are whole or not there.

use crate::config::StateDir;
use crate::durable;
use muster_domain::{Digest, resource::ResourceKey};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Reverted changes that are remembered. Each is forgotten when its declaration changes.
const MAX_REVERTED: usize = 32;

/// Changes that are under test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    /// Names the timer.
    pub(super) id: String,
    /// When it began, by the node's clock.
    pub(super) at_ms: i64,
    /// What is changed, and the digest of what it is to be.
    pub(super) resources: BTreeMap<ResourceKey, Digest>,
    /// What was there before, in the order in which it is changed.
    pub(super) paths: Vec<FormerPath>,
    /// What makes it take effect again, each a program with its arguments.
    pub(super) steps: Vec<Vec<String>>,
    /// Timers that may be armed.
    pub(super) timers: Vec<String>,
    /// Why it is being put back, once it is.
    pub(super) reverting: Option<String>,
    /// The controller could not be reached before, either: what is put back is tried again when it can.
    pub(super) was_cut_off: bool,
    /// How often putting it back was tried.
    pub(super) attempts: u32,
}

/// What was at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FormerPath {
    pub(super) path: String,
    pub(super) was: Was,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Was {
    Nothing,
    File {
        #[serde(with = "in_base64")]
        content: Vec<u8>,
        mode: u32,
        uid: u32,
        gid: u32,
    },
    Symlink {
        target: String,
    },
}

/// Changes that did not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reverted {
    /// Which test it was.
    pub id: String,
    /// When they were put back, by the node's clock.
    pub at_ms: i64,
    /// What was changed, and the digest of what it was to be.
    pub resources: BTreeMap<ResourceKey, Digest>,
    /// Why, for a person.
    pub reason: String,
    /// They were tried to heal a node that was cut off already: they may be tried again when it is not.
    pub was_cut_off: bool,
    /// It was told to the controller.
    pub told: bool,
}

/// The folder of both.
#[derive(Debug, Clone)]
pub(super) struct Files(PathBuf);

/// Held by whoever changes what is under test, or puts it back.
#[derive(Debug)]
pub(super) struct Turn {
    _file: File,
}

impl Files {
    pub(super) fn new(state: &StateDir) -> Self {
        Self(state.safe_apply())
    }

    /// Waits until nobody else changes what is under test.
    pub(super) fn turn(&self, patience: Duration) -> io::Result<Turn> {
        durable::private_folder(&self.0)?;
        let path = self.0.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        let deadline = Instant::now() + patience;
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Turn { _file: file }),
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    pub(super) fn journal(&self) -> io::Result<Option<Journal>> {
        read(&self.0.join("journal.json"))
    }

    pub(super) fn write_journal(&self, journal: &Journal) -> io::Result<()> {
        durable::private_folder(&self.0)?;
        durable::write(&self.0.join("journal.json"), &serde_json::to_vec(journal)?)
    }

    pub(super) fn remove_journal(&self) -> io::Result<()> {
        durable::remove(&self.0.join("journal.json"))?;
        File::open(&self.0)?.sync_all()
    }

    pub(super) fn reverted(&self) -> io::Result<Vec<Reverted>> {
        Ok(read(&self.0.join("reverted.json"))?.unwrap_or_default())
    }

    pub(super) fn write_reverted(&self, mut reverted: Vec<Reverted>) -> io::Result<()> {
        let excess = reverted.len().saturating_sub(MAX_REVERTED);
        reverted.drain(..excess);
        durable::private_folder(&self.0)?;
        durable::write(&self.0.join("reverted.json"), &serde_json::to_vec(&reverted)?)
    }
}

fn read<T: for<'de> Deserialize<'de>>(path: &std::path::Path) -> io::Result<Option<T>> {
    durable::read(path)?.map(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::from)).transpose()
}

mod in_base64 {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
