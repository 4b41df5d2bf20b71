//! One controller per data folder: the folder, its lock, and the note that says where the controller can be reached.

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// Where the controller can be reached from this machine. The file appears when everything serves and goes when the stop
/// begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// REST and dashboard, HTTPS.
    pub people: String,
    /// The same over plain HTTP.
    pub people_http: Option<String>,
    /// gRPC for agents.
    pub agents: String,
    /// The port of `agents`.
    #[serde(skip)]
    pub agents_port: u16,
}

impl Addresses {
    /// What agents on other machines are told, unless the operator says better.
    pub fn agent_url(&self) -> String {
        format!("https://{}:{}", host_name(), self.agents_port)
    }
}

/// This machine's name.
pub fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// The file in the data folder that says where the controller can be reached.
pub fn addresses_file(data_dir: &Path) -> PathBuf {
    data_dir.join("run").join("addresses.json")
}

/// Reads the note of a running controller.
pub fn read_addresses(data_dir: &Path) -> Option<Addresses> {
    serde_json::from_slice(&fs::read(addresses_file(data_dir)).ok()?).ok()
}

/// The claim on a data folder. The kernel ends it with the process, however that ends.
pub struct Instance {
    data_dir: PathBuf,
    _lock: File,
}

impl Instance {
    /// Makes the folder when it is missing and claims it.
    pub fn claim(data_dir: &Path) -> anyhow::Result<Self> {
        // The private database runs as another user and has to pass through; what is secret is in folders of its own.
        DirBuilder::new().recursive(true).mode(0o755).create(data_dir).with_context(|| {
            format!("the data folder {} cannot be made; choose another with --data-dir", data_dir.display())
        })?;
        let data_dir = data_dir
            .canonicalize()
            .with_context(|| format!("the data folder {} cannot be reached", data_dir.display()))?;
        let run = data_dir.join("run");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&run)
            .with_context(|| format!("{} cannot be made", run.display()))?;
        let path = run.join("controller.lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("{} cannot be opened", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => bail!(
                "another controller runs on the data folder {}\nhint: stop it first, or choose another with --data-dir",
                data_dir.display()
            ),
            Err(fs::TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("{} cannot be locked", path.display()));
            }
        }
        let instance = Self { data_dir, _lock: lock };
        // Left behind by one that was killed.
        instance.withdraw_addresses();
        Ok(instance)
    }

    /// Says that everything serves, and where.
    pub fn publish_addresses(&self, addresses: &Addresses) -> anyhow::Result<()> {
        let path = addresses_file(&self.data_dir);
        let partial = path.with_extension("partial");
        let write = || -> std::io::Result<()> {
            let mut file =
                OpenOptions::new().create(true).truncate(true).write(true).mode(0o644).open(&partial)?;
            file.write_all(&serde_json::to_vec(addresses)?)?;
            fs::rename(&partial, &path)
        };
        write().with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Takes that back.
    pub fn withdraw_addresses(&self) {
        let path = addresses_file(&self.data_dir);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the note of addresses could not be removed")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_has_one_controller_and_a_stale_note_goes() {
        let dir = tempfile::tempdir().unwrap();
        let first = Instance::claim(dir.path()).unwrap();
        let error = Instance::claim(dir.path()).err().unwrap().to_string();
        assert!(error.contains("another controller runs"), "{error}");
        let addresses = Addresses {
            people: "https://127.0.0.1:1".into(),
            people_http: None,
            agents: "https://127.0.0.1:2".into(),
            agents_port: 0,
        };
        first.publish_addresses(&addresses).unwrap();
        assert_eq!(read_addresses(dir.path()), Some(addresses));
        drop(first);
        let _second = Instance::claim(dir.path()).unwrap();
        assert_eq!(read_addresses(dir.path()), None);
    }
}
