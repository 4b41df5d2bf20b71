//! Removes a lab by what is on the machine under its number, so that one that was half-made, or whose owner was killed
//! at any point, goes like any other.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::lab::Registered;
use crate::leftovers::{self, processes};
use crate::owner::ProcessId;
use crate::place::{self, Slot};
use crate::wait::wait_for;
use crate::{cgroups, daemon, disk, network};

/// How long a killed process may take to be gone.
const GONE_BOUND: Duration = Duration::from_secs(20);
/// What nspawn keeps about containers.
const NSPAWN: &str = "/run/systemd/nspawn";

/// Whoever makes or removes a lab with this number holds this lock.
pub(crate) fn lock_name(slot: Slot) -> String {
    format!("lab-{slot}")
}

/// Where the watch of a lab says who it is.
pub(crate) fn watch_file(dir: &Path) -> PathBuf {
    dir.join("watch.json")
}

/// Removes every trace of the labs of this machine that nobody wants any more. Answers their numbers.
pub fn remove_abandoned() -> Result<Vec<u8>> {
    let slots: BTreeSet<Slot> = leftovers::find()?.into_iter().map(|(slot, _)| slot).collect();
    let mut removed = Vec::new();
    for slot in slots {
        let _one = place::lock(&lock_name(slot))?;
        // Looked at again now that nobody else can change it.
        if !wanted(slot)? {
            remove_locked(slot)?;
            removed.push(slot.0);
        }
    }
    Ok(removed)
}

/// Whether a lab with this number is registered by somebody who is still there.
pub(crate) fn wanted(slot: Slot) -> Result<bool> {
    Ok(Registered::of(slot)?.is_some_and(|lab| lab.owner.present()))
}

/// Removes a lab.
pub(crate) fn remove(slot: Slot) -> Result<()> {
    let _one = place::lock(&lock_name(slot))?;
    remove_locked(slot)
}

fn remove_locked(slot: Slot) -> Result<()> {
    let dir = Registered::of(slot)?.map_or_else(|| slot.dir(), |lab| lab.dir);
    end_processes(slot)?;
    daemon::end_all(slot)?;
    let groups = cgroups::hosts(slot);
    for host in &groups {
        cgroups::kill(slot, host)?;
    }
    network::remove(slot)?;
    for host in place::names(&dir.join("hosts")) {
        forget_container(slot, &host, &dir.join("hosts").join(&host).join("root"))?;
    }
    disk::unmount_below(&dir)?;
    for host in &groups {
        cgroups::remove(slot, host)?;
    }
    disk::remove_tree(&dir)?;
    place::remove(&slot.record()?)?;
    let _machine = place::lock("machine")?;
    if Registered::all()?.is_empty() {
        network::remove_shared()?;
    }
    Ok(())
}

/// Ends power supplies and the watch, so that they do not undo or repeat what is done here.
fn end_processes(slot: Slot) -> Result<()> {
    let own = std::process::id();
    for (_, process, _) in
        processes().into_iter().filter(|(owner, process, _)| *owner == slot && process.pid != own)
    {
        end(process)?;
    }
    Ok(())
}

fn end(process: ProcessId) -> Result<()> {
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw).context("a process has an id")?;
    match kill_process(pid, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => return Err(error).with_context(|| format!("cannot end process {}", process.pid)),
    }
    wait_for(&format!("process {} to end", process.pid), GONE_BOUND, || Ok((!process.alive()).then_some(())))
}

/// Removes what nspawn keeps about a container that was killed.
pub(crate) fn forget_container(slot: Slot, host: &str, root: &Path) -> Result<()> {
    let nspawn = Path::new(NSPAWN);
    let propagate = nspawn.join("propagate").join(slot.device(host));
    if propagate.exists() {
        disk::remove_tree(&propagate)?;
    }
    if let Ok(found) = root.metadata() {
        place::remove(&nspawn.join(format!("locks/inode-{}:{}", found.dev(), found.ino())))?;
    }
    place::remove(&nspawn.join(format!("locks/name-{}", slot.device(host))))
}
