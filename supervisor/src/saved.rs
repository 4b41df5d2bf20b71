//! What survives the supervisor: which applications there are, and which processes it left behind.
//!
//! Environments are not written to disk, because they hold secrets: after a restart an application is known but waits
//! for the agent (which has its environment) to apply it again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::Utc;
use muster_supervisor_protocol::{DesiredRun, ExecMode};
use serde::{Deserialize, Serialize};

use crate::process::tree;

const FORMAT: u32 = 1;
/// How long a process left behind by a crash may take to end.
const LEFT_BEHIND_GRACE: Duration = Duration::from_secs(3);

/// An application as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedApp {
    pub(crate) name: String,
    pub(crate) spec_digest: String,
    pub(crate) release: String,
    pub(crate) release_id: String,
    pub(crate) exec_mode: ExecMode,
    pub(crate) desired: DesiredRun,
    /// Numbers of its instances, when they are not simply those of its spec.
    #[serde(default)]
    pub(crate) instances: BTreeSet<u32>,
    /// Those that were stopped on purpose.
    #[serde(default)]
    pub(crate) stopped: BTreeSet<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedList {
    format: u32,
    apps: Vec<SavedApp>,
}

/// The file with the list of applications.
#[derive(Debug)]
pub(crate) struct SavedApps {
    path: PathBuf,
    apps: BTreeMap<String, SavedApp>,
}

impl SavedApps {
    /// Reads the list; one that cannot be read is kept aside, and the agent will tell what should run.
    pub(crate) fn load(dir: &Path) -> Self {
        let path = dir.join("applications.json");
        let apps = match std::fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice::<SavedList>(&bytes) {
                Ok(list) if list.format == FORMAT => {
                    list.apps.into_iter().map(|app| (app.name.clone(), app)).collect()
                }
                Ok(list) => {
                    set_aside(&path, &format!("its format is {}, not {FORMAT}", list.format));
                    BTreeMap::new()
                }
                Err(error) => {
                    set_aside(&path, &error.to_string());
                    BTreeMap::new()
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => {
                set_aside(&path, &error.to_string());
                BTreeMap::new()
            }
        };
        Self { path, apps }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &SavedApp> {
        self.apps.values()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&SavedApp> {
        self.apps.get(name)
    }

    /// Changes an entry and writes the list. A list that cannot be written is no reason to stop serving.
    pub(crate) fn set(&mut self, name: &str, app: Option<SavedApp>) {
        let changed = match app {
            Some(app) => self.apps.insert(name.to_owned(), app.clone()) != Some(app),
            None => self.apps.remove(name).is_some(),
        };
        if !changed {
            return;
        }
        let list = SavedList { format: FORMAT, apps: self.apps.values().cloned().collect() };
        if let Err(error) = write_json(&self.path, &list, true) {
            tracing::error!(path = %self.path.display(), %error, "the list of applications cannot be saved");
        }
    }
}

fn set_aside(path: &Path, why: &str) {
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".unreadable-{}", Utc::now().format("%Y%m%dT%H%M%SZ")));
    let aside = PathBuf::from(aside);
    match std::fs::rename(path, &aside) {
        Ok(()) => {
            tracing::error!(kept_as = %aside.display(), why, "a saved list cannot be read; starting without it")
        }
        Err(error) => {
            tracing::error!(path = %path.display(), why, %error, "a saved list can be neither read nor moved")
        }
    }
}

/// Replaced by rename, so it is never half written.
fn write_json<T: Serialize>(path: &Path, value: &T, durable: bool) -> io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    file.write_all(&serde_json::to_vec_pretty(value)?)?;
    if durable {
        file.sync_all()?;
    }
    drop(file);
    std::fs::rename(&partial, path)
}

/// Remembers the processes that run, so that a supervisor that was killed together with its keeper does not leave
/// strangers on the ports of its successor.
#[derive(Debug, Clone)]
pub(crate) struct ProcessLedger {
    path: Arc<Path>,
    running: Arc<Mutex<BTreeMap<u32, u64>>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Running {
    /// Start times mean nothing after a reboot.
    boot_id: String,
    /// Process id and start time, which together name a process.
    processes: BTreeMap<u32, u64>,
}

impl ProcessLedger {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { path: dir.join("processes.json").into(), running: Arc::default() }
    }

    /// Ends what an earlier supervisor left behind and nobody takes over.
    pub(crate) async fn end_left_behind(&self, taken_over: &BTreeSet<u32>) {
        let Ok(bytes) = std::fs::read(&self.path) else { return };
        let left: Vec<(u32, u64)> = match serde_json::from_slice::<Running>(&bytes) {
            Ok(running) if running.boot_id == boot_id() => {
                running.processes.into_iter().filter(|(pid, _)| !taken_over.contains(pid)).collect()
            }
            Ok(_) => Vec::new(),
            Err(error) => {
                set_aside(&self.path, &error.to_string());
                Vec::new()
            }
        };
        let alive = |(pid, start): &(u32, u64)| tree::runs(*pid, *start);
        let mut left: Vec<_> = left.into_iter().filter(alive).collect();
        if left.is_empty() {
            return;
        }
        tracing::warn!(
            processes = left.len(),
            "ending processes that an earlier supervisor left behind and that cannot be taken over"
        );
        for (pid, _) in &left {
            tree::signal(*pid, 15);
        }
        let deadline = tokio::time::Instant::now() + LEFT_BEHIND_GRACE;
        while !left.is_empty() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
            left.retain(alive);
        }
        for (pid, _) in left {
            tree::kill(pid);
        }
    }

    pub(crate) fn started(&self, pid: u32) {
        if let Some(stat) = tree::stat(pid) {
            self.change(|running| {
                running.insert(pid, stat.start_ticks);
            });
        }
    }

    pub(crate) fn ended(&self, pid: u32) {
        self.change(|running| {
            running.remove(&pid);
        });
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<u32, u64>)) {
        let processes = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut running);
            running.clone()
        };
        // Not made durable: after a power cut no process is left either.
        if let Err(error) = write_json(&self.path, &Running { boot_id: boot_id(), processes }, false) {
            tracing::warn!(path = %self.path.display(), %error, "the list of processes cannot be saved");
        }
    }
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn app(name: &str) -> SavedApp {
        SavedApp {
            name: name.into(),
            spec_digest: "d".into(),
            release: "1".into(),
            release_id: "r".into(),
            exec_mode: ExecMode::Cluster,
            desired: DesiredRun::Running,
            instances: BTreeSet::from([0, 2]),
            stopped: BTreeSet::from([2]),
        }
    }

    #[test]
    fn the_list_comes_back_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let mut saved = SavedApps::load(dir.path());
        saved.set("a", Some(app("a")));
        saved.set("b", Some(app("b")));
        saved.set("b", None);
        let again = SavedApps::load(dir.path());
        assert_eq!(again.all().cloned().collect::<Vec<_>>(), [app("a")]);
        let mode = std::fs::metadata(dir.path().join("applications.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_list_is_kept_aside() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("applications.json"), b"{half").unwrap();
        assert_eq!(SavedApps::load(dir.path()).all().count(), 0);
        let names: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 1);
        assert!(names[0].to_string_lossy().starts_with("applications.json.unreadable-"));
    }

    #[tokio::test]
    async fn processes_left_behind_are_ended_and_strangers_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let spawn = || {
            use std::os::unix::process::CommandExt;
            std::process::Command::new("sleep").arg("60").process_group(0).spawn().unwrap()
        };
        let (mut left, mut stranger, mut taken_over) = (spawn(), spawn(), spawn());
        let ledger = ProcessLedger::new(dir.path());
        ledger.started(left.id());
        ledger.change(|running| {
            // The same pid, but another process by its start time.
            running.insert(stranger.id(), 1);
        });
        ledger.started(taken_over.id());
        let reaped = std::thread::spawn(move || left.wait().unwrap());
        ProcessLedger::new(dir.path()).end_left_behind(&BTreeSet::from([taken_over.id()])).await;
        reaped.join().unwrap();
        assert!(stranger.try_wait().unwrap().is_none(), "the stranger lives");
        assert!(taken_over.try_wait().unwrap().is_none(), "what is taken over lives");
        for mut child in [stranger, taken_over] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
