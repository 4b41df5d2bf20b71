//! Where labs keep their files, and what their things are called on the machine.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Where everything is kept unless [`VARIABLE`] says otherwise. Outside of any checkout: the base is built once per
/// machine, and labs of several checkouts must know of each other.
const FOLDER: &str = "/var/cache/muster-lab";
/// Names another folder. It must not be on an overlay file system.
const VARIABLE: &str = "MUSTER_LAB_DIR";
/// Which labs there are on the machine, whatever their folders, and the locks of all of them.
const RUNTIME: &str = "/run/muster-lab";

/// Begins the name of every bridge, network namespace and container.
const PREFIX: &str = "ml";
/// Begins the name of every table of nftables.
const TABLE_PREFIX: &str = "muster_lab_";
/// The folder in each hierarchy of control groups.
pub(crate) const GROUP: &str = "muster-lab";

/// Which of the labs of the machine: its names and its addresses follow from this number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub(crate) struct Slot(pub(crate) u8);

/// Every number that a lab can have.
pub(crate) const SLOTS: std::ops::RangeInclusive<u8> = 0..=254;

impl Slot {
    /// The first three numbers of its addresses.
    pub(crate) fn subnet(self) -> String {
        format!("10.90.{}", self.0)
    }

    pub(crate) fn bridge(self) -> String {
        format!("{PREFIX}{}", self.0)
    }

    /// What the network namespace of a host, the machine's end of its cable and its container are called.
    pub(crate) fn device(self, host: &str) -> String {
        format!("{PREFIX}{}-{host}", self.0)
    }

    pub(crate) fn table(self) -> String {
        format!("{TABLE_PREFIX}{}", self.0)
    }

    /// Where a lab with this number has its files if it is made now.
    pub(crate) fn dir(self) -> PathBuf {
        labs().join(self.0.to_string())
    }

    /// Where the machine's list of labs has this one.
    pub(crate) fn record(self) -> Result<PathBuf> {
        runtime(&format!("lab-{self}.json"))
    }

    /// The lab that a bridge, device, container or table belongs to.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let rest = name.strip_prefix(TABLE_PREFIX).or_else(|| name.strip_prefix(PREFIX))?;
        let digits = rest.split('-').next()?;
        // "007" is nobody's.
        let number: u8 = digits.parse().ok().filter(|number: &u8| number.to_string() == digits)?;
        Some(Self(number))
    }
}

impl std::fmt::Display for Slot {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Where everything is kept.
pub(crate) fn root() -> PathBuf {
    std::env::var_os(VARIABLE).map_or_else(|| PathBuf::from(FOLDER), PathBuf::from)
}

pub(crate) fn labs() -> PathBuf {
    root().join("labs")
}

pub(crate) fn bases() -> PathBuf {
    root().join("bases")
}

/// What has to outlive a lab but not the machine's boot.
pub(crate) fn runtime(name: &str) -> Result<PathBuf> {
    let dir = Path::new(RUNTIME);
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(dir.join(name))
}

/// Holds a lock of the machine for as long as the value lives; waits for whoever has it.
pub(crate) fn lock(name: &str) -> Result<File> {
    let file = lock_file(name)?;
    file.lock().with_context(|| format!("cannot take the lock `{name}`"))?;
    Ok(file)
}

/// The same without waiting: `None` when somebody has it.
pub(crate) fn try_lock(name: &str) -> Result<Option<File>> {
    let file = lock_file(name)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot take the lock `{name}`"))
        }
    }
}

fn lock_file(name: &str) -> Result<File> {
    let path = runtime(&format!("{name}.lock"))?;
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))
}

/// Reads a record; `None` when there is no such file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let record =
        serde_json::from_slice(&bytes).with_context(|| format!("cannot understand {}", path.display()))?;
    Ok(Some(record))
}

pub(crate) fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a record, whole or not at all.
pub(crate) fn write<T: Serialize>(path: &Path, record: &T) -> Result<()> {
    let bytes = serde_json::to_vec(record).with_context(|| format!("cannot encode {}", path.display()))?;
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    std::fs::write(&beside, bytes).with_context(|| format!("cannot write {}", beside.display()))?;
    std::fs::rename(&beside, path).with_context(|| format!("cannot rename to {}", path.display()))
}

/// Removes a file that may not be there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// The names of what is in a folder, sorted; nothing when there is no folder.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Checks the name of a host. With the prefix it has to fit a network interface's, which takes 15 bytes.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if !first || name.len() > 9 || !name.bytes().all(allowed) {
        bail!("`{name}` is no name of a host: a letter, then letters, digits and hyphens, at most 9 in all");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_the_machine_lead_back_to_their_lab() {
        for slot in [Slot(0), Slot(7), Slot(254)] {
            for name in [slot.bridge(), slot.device("web-1"), slot.table()] {
                assert_eq!(Slot::of_name(&name), Some(slot), "{name}");
                assert!(name.starts_with(TABLE_PREFIX) || name.len() <= 15, "{name}");
            }
        }
        for foreign in ["ml", "ml300", "ml07", "mlx", "ml-1", "eth0", "mlan0", "muster_lab_", "ml7x-web"] {
            assert_eq!(Slot::of_name(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn names_of_hosts_fit_an_interface() {
        for good in ["a", "web-1", "balancer1"] {
            check_name(good).unwrap();
            assert!(Slot(254).device(good).len() <= 15);
        }
        for bad in ["", "1a", "-a", "Web", "web_1", "ten-letter", "a/b", "ä"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
