//! Whose a lab is, and whether that one is still there.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// A process, told apart from a later one with the same id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pub(crate) pid: u32,
    /// When it began, in clock ticks since the machine's boot.
    started: u64,
}

impl ProcessId {
    /// This process.
    pub(crate) fn own() -> Result<Self> {
        Self::of(std::process::id()).context("this process is not in /proc")
    }

    /// The process that has this id now; `None` when there is none or it has ended.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(Self { pid, started: started(&stat)? })
    }

    pub(crate) fn alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}

/// When the process of a line of `/proc/PID/stat` began; `None` for a dead one that nobody has waited for.
fn started(stat: &str) -> Option<u64> {
    // The name is in parentheses and may hold any character.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Whose a lab is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Owner {
    /// A process: when it ends, so does the lab.
    Process { process: ProcessId, boot: String },
    /// People, under this name: the lab stays until they destroy it or the machine boots.
    Kept { name: String, boot: String },
}

impl Owner {
    pub(crate) fn this_process() -> Result<Self> {
        Ok(Self::Process { process: ProcessId::own()?, boot: boot()? })
    }

    pub(crate) fn kept(name: &str) -> Result<Self> {
        Ok(Self::Kept { name: name.to_owned(), boot: boot()? })
    }

    /// Whether the lab is still wanted.
    pub(crate) fn present(&self) -> bool {
        let Ok(now) = boot() else { return true };
        match self {
            Self::Process { process, boot } => *boot == now && process.alive(),
            Self::Kept { boot, .. } => *boot == now,
        }
    }

    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Process { .. } => None,
            Self::Kept { name, .. } => Some(name),
        }
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Process { process, .. } => write!(formatter, "process {}", process.pid),
            Self::Kept { name, .. } => name.fmt(formatter),
        }
    }
}

fn boot() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    let id = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    Ok(id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_does_not_confuse() {
        let line = "42 (a ) Z (b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20";
        assert_eq!(started(line), Some(777));
        assert_eq!(started(&line.replace(" S ", " Z ")), None);
        assert_eq!(started("nonsense"), None);
    }

    #[test]
    fn a_later_process_with_the_same_id_is_another() {
        let own = ProcessId::own().unwrap();
        assert!(own.alive());
        assert!(!ProcessId { started: own.started + 1, ..own }.alive());
    }

    #[test]
    fn a_lab_of_a_former_boot_is_not_wanted() {
        assert!(Owner::kept("checkout").unwrap().present());
        assert!(!Owner::Kept { name: "checkout".into(), boot: "another".into() }.present());
        assert!(Owner::this_process().unwrap().present());
    }
}
