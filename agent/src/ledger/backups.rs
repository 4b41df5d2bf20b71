//! What was at a path before it was changed, kept until every service that watches it has read the change: one that refuses
//! it gets the former content back. Sealed like everything here, because it may be a secret.

use super::{Ledger, LedgerError};
use crate::durable;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use muster_domain::resource::ResourceKey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// What was at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// Where.
    pub path: String,
    /// What.
    pub state: FormerState,
}

/// What was there.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FormerState {
    /// Nothing.
    Absent,
    /// A regular file.
    File {
        /// Its content.
        #[serde(with = "as_base64")]
        content: Vec<u8>,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// A symbolic link.
    Symlink {
        /// Where it pointed.
        target: String,
    },
    /// A folder: owner and mode are all that is put back of it.
    Directory {
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
}

impl std::fmt::Debug for FormerState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent => f.write_str("Absent"),
            Self::File { content, .. } => write!(f, "File({} bytes)", content.len()),
            Self::Symlink { target } => write!(f, "Symlink({target:?})"),
            Self::Directory { mode, .. } => write!(f, "Directory({mode:o})"),
        }
    }
}

mod as_base64 {
    use super::{Engine, STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}

impl Ledger {
    /// Keeps what was there before a change. What is already kept stays: it is what the services read last.
    pub fn keep_former(&self, key: &ResourceKey, former: &[Former]) -> Result<(), LedgerError> {
        let path = self.backup_path(key);
        if path.exists() {
            return Ok(());
        }
        let failed = |path: PathBuf| move |source| LedgerError { action: "write", path, source };
        durable::private_folder(&self.backups()).map_err(failed(self.backups()))?;
        let content = serde_json::to_vec(former).expect("names and text always encode");
        self.before_write();
        let sealed = self.key.seal(&backup_name(key), &content);
        durable::write(&path, &sealed).map_err(failed(path))
    }

    /// What was there before, if it is kept and can be read.
    pub fn former(&self, key: &ResourceKey) -> Option<Vec<Former>> {
        let sealed = durable::read(&self.backup_path(key)).ok()??;
        let content = self.key.open(&backup_name(key), &sealed)?;
        serde_json::from_slice(&content).ok()
    }

    /// It was put back, or is not wanted back.
    pub fn forget_former(&self, key: &ResourceKey) -> Result<(), LedgerError> {
        let path = self.backup_path(key);
        self.before_write();
        durable::remove(&path).map_err(|source| LedgerError { action: "remove", path, source })
    }

    /// Drops what no service may want back any more.
    pub(super) fn drop_backups(&self) -> Result<(), LedgerError> {
        let wanted: BTreeSet<PathBuf> = {
            let inner = self.lock();
            let services = inner.state.pending.iter().filter(|(watcher, _)| watcher.kind() == "service");
            services.flat_map(|(_, pending)| &pending.because).map(|key| self.backup_path(key)).collect()
        };
        let Ok(entries) = std::fs::read_dir(self.backups()) else { return Ok(()) };
        for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
            if !wanted.contains(&path) {
                self.before_write();
                durable::remove(&path).map_err(|source| LedgerError {
                    action: "remove",
                    path: path.clone(),
                    source,
                })?;
            }
        }
        Ok(())
    }

    fn backups(&self) -> PathBuf {
        self.dir.join("former")
    }

    fn backup_path(&self, key: &ResourceKey) -> PathBuf {
        self.backups().join(backup_name(key))
    }
}

/// A key may be longer than the name of a file, and holds slashes.
fn backup_name(key: &ResourceKey) -> String {
    format!("{}.bin", blake3::hash(key.as_str().as_bytes()).to_hex())
}
