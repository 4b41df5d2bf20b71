//! The control group of a process that runs, as the supervisor sees it.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use muster_supervisor_protocol::Limits;

use super::decide::{Enforcer, Held};
use super::hierarchy::{Dirs, Hierarchies};
use super::scope;
use crate::process::tree;

/// A group is looked at this often for processes that are still to be killed.
const MAX_KILL_ROUNDS: usize = 256;
/// After this time systemd should have removed a scope that is empty.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(1);
/// A folder whose processes are still ending is removed later: this often, with this wait in between.
const REMOVAL_TRIES: usize = 100;
const REMOVAL_WAIT: Duration = Duration::from_millis(50);

/// The group that was made for one process and holds everything it started. Nothing leaves it by way of another
/// session or parent.
#[derive(Debug, Clone)]
pub(crate) struct Enclosure {
    dirs: Dirs,
    /// The scope, when systemd made it.
    unit: Option<String>,
    /// Counts what the kernel ended for want of memory; open, because the scope may be gone when it matters.
    oom_events: Option<Arc<File>>,
}

impl Enclosure {
    /// The group of a process, if one was made for it.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let dirs = Hierarchies::mounted().dirs_of(pid).of_group(pid);
        let unit = dirs.all().first()?.file_name()?.to_str()?;
        let unit = unit.ends_with(".scope").then(|| unit.to_owned());
        let events = match (&dirs.v2, &dirs.memory) {
            (_, Some(v1)) => Some(v1.join("memory.oom_control")),
            (Some(v2), None) => Some(v2.join("memory.events")),
            (None, None) => None,
        };
        let oom_events = events.and_then(|path| File::open(path).ok()).map(Arc::new);
        Some(Self { dirs, unit, oom_events })
    }

    pub(super) fn unit(&self) -> Option<&str> {
        self.unit.as_deref()
    }

    /// Which of the limits the kernel holds.
    pub(super) fn held(&self, limits: &Limits) -> Held {
        let by = |version| if self.unit.is_some() { Enforcer::Scope } else { version };
        let number = |dir: &Option<PathBuf>, file: &str| -> Option<i64> {
            let text = std::fs::read_to_string(dir.as_ref()?.join(file)).ok()?;
            text.split_ascii_whitespace().next()?.parse().ok()
        };
        let Dirs { v2, memory, cpu, pids, .. } = &self.dirs;
        let find = |wanted: Option<i64>, in_v2: Option<i64>, in_v1: Option<i64>| {
            // The kernel rounds, and knows "no limit" as a huge or a negative number.
            let holds = |found: Option<i64>| Some((1..=wanted?.saturating_add(4_096)).contains(&found?));
            if holds(in_v2) == Some(true) {
                Some(by(Enforcer::V2))
            } else if holds(in_v1) == Some(true) {
                Some(by(Enforcer::V1))
            } else {
                None
            }
        };
        let wanted = |value: Option<u64>| value.map(|value| i64::try_from(value).unwrap_or(i64::MAX));
        let quota = limits.cpu_percent.map(super::cpu_quota_us);
        Held {
            memory: find(
                wanted(limits.memory_bytes),
                number(v2, "memory.max"),
                number(memory, "memory.limit_in_bytes"),
            ),
            cpu: find(wanted(quota), number(v2, "cpu.max"), number(cpu, "cpu.cfs_quota_us")),
            pids: find(wanted(limits.pids.map(u64::from)), number(v2, "pids.max"), number(pids, "pids.max")),
            pids_of_user: false,
        }
    }

    /// How many processes of the group the kernel has ended for want of memory; `None` = it cannot be known.
    pub(super) fn oom_kills(&self) -> Option<u64> {
        let mut text = [0; 512];
        let length = self.oom_events.as_ref()?.read_at(&mut text, 0).ok()?;
        count_of(std::str::from_utf8(&text[..length]).ok()?, "oom_kill")
    }

    /// Every process of the group.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.dirs.all().first().map(|dir| pids_in(dir)).unwrap_or_default()
    }

    /// Ends every process of the group, also those that fork faster than one can look.
    pub(crate) fn kill(&self) {
        if let Some(v2) = &self.dirs.v2
            && std::fs::write(v2.join("cgroup.kill"), "1").is_ok()
        {
            return;
        }
        // Nothing is born any more: by the limit (v1), or because all are frozen (v2 before Linux 5.14).
        let stop_births = match &self.dirs {
            Dirs { pids: Some(pids), .. } => Some((pids.join("pids.max"), "0")),
            Dirs { v2: Some(v2), .. } => Some((v2.join("cgroup.freeze"), "1")),
            _ => None,
        };
        if let Some((file, value)) = &stop_births
            && let Err(error) = std::fs::write(file, value)
        {
            tracing::debug!(%error, file = %file.display(), "a group cannot be held still while it is killed");
        }
        let mut killed = BTreeSet::new();
        for _ in 0..MAX_KILL_ROUNDS {
            let fresh: Vec<u32> = self.pids().into_iter().filter(|pid| killed.insert(*pid)).collect();
            if fresh.is_empty() {
                break;
            }
            for pid in fresh {
                tree::signal_one(pid, 9);
            }
        }
        if let Some((file, _)) = stop_births.filter(|(file, _)| file.ends_with("cgroup.freeze"))
            && let Err(error) = std::fs::write(&file, "0")
        {
            tracing::debug!(%error, "a group that was killed cannot be thawed");
        }
    }

    /// Removes the folders, at the latest when what is in them has ended. Those of systemd are systemd's.
    pub(crate) fn remove(self) {
        if let Some(unit) = self.unit.clone() {
            if self.dirs.systemd.is_some() {
                tokio::spawn(self.stop_if_forgotten(unit));
            }
            return;
        }
        if self.remove_now() {
            return;
        }
        tokio::spawn(async move {
            for _ in 0..REMOVAL_TRIES {
                tokio::time::sleep(REMOVAL_WAIT).await;
                if self.remove_now() {
                    return;
                }
            }
            tracing::debug!(dirs = ?self.dirs, "a control group is still in use; a later launch removes it");
        });
    }

    /// Under cgroup v1 systemd is told by the kernel that a scope is empty, but not in a container: there it would keep
    /// the scope for ever.
    async fn stop_if_forgotten(self, unit: String) {
        tokio::time::sleep(FORGOTTEN_AFTER).await;
        let Some((dir, true)) = self.dirs.systemd.as_deref().map(|dir| (dir, dir.exists())) else { return };
        if !pids_in(dir).is_empty() {
            return;
        }
        let (Some(manager), _) = scope::manager() else { return };
        let mut command = tokio::process::Command::from(scope::command("systemctl", manager));
        match command.args(["stop", "--no-block", "--", &unit]).output().await {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                tracing::debug!(unit, %said, "an empty scope cannot be removed");
            }
            Err(error) => tracing::debug!(unit, %error, "an empty scope cannot be removed"),
        }
    }

    fn remove_now(&self) -> bool {
        self.dirs.all().into_iter().fold(true, |all, dir| {
            let gone = match std::fs::remove_dir(dir) {
                Ok(()) => true,
                Err(error) => error.kind() == std::io::ErrorKind::NotFound,
            };
            all && gone
        })
    }
}

fn pids_in(dir: &Path) -> Vec<u32> {
    let text = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// A number in a file of lines such as `oom_kill 3`.
fn count_of(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_not_confused_with_its_neighbours() {
        let events = "low 0\nhigh 0\nmax 94\noom 3\noom_kill 2\noom_group_kill 1\n";
        assert_eq!(count_of(events, "oom_kill"), Some(2));
        assert_eq!(count_of("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n", "oom_kill"), Some(7));
        assert_eq!(count_of("", "oom_kill"), None);
    }

    fn enclosure(dir: &Path, unit: Option<&str>) -> Enclosure {
        Enclosure {
            dirs: Dirs { v2: Some(dir.to_owned()), ..Dirs::default() },
            unit: unit.map(str::to_owned),
            oom_events: None,
        }
    }

    #[test]
    fn only_what_the_kernel_shows_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| std::fs::write(dir.path().join(file), text).unwrap();
        let limits =
            Limits { memory_bytes: Some(1_000_000), cpu_percent: Some(50), pids: Some(10), open_files: None };
        let plain = enclosure(dir.path(), None);
        assert_eq!(plain.held(&limits), Held::default(), "a group without controllers");
        write("memory.max", "999424\n");
        write("cpu.max", "max 100000\n");
        write("pids.max", "10\n");
        let held = plain.held(&limits);
        assert_eq!((held.memory, held.cpu, held.pids), (Some(Enforcer::V2), None, Some(Enforcer::V2)));
        write("cpu.max", "50000 100000\n");
        let scope = enclosure(dir.path(), Some("muster-a-0-1.scope")).held(&limits);
        assert_eq!(scope.cpu, Some(Enforcer::Scope));
    }
}
