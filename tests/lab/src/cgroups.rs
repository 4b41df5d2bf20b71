//! Control groups of hosts, in the cgroup2 hierarchy and in those of cgroup v1 where the machine has them.
//!
//! Each host has an own group, made before its container starts: containers that start in the same group would share
//! one tree inside. Killing that group pulls the plug: it takes the power supply, the container and all in it at once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::machine;
use crate::place::{GROUP, Slot, names};
use crate::wait::wait_for;

/// Where the hierarchies of cgroup v1 are mounted.
const V1: &str = "/sys/fs/cgroup";
/// The one without a controller, in which systemd of a host counts its units.
const V1_NAMED: &str = "systemd";
/// The controllers that a host with cgroup v1 gets.
pub(crate) const V1_CONTROLLERS: [&str; 7] =
    ["cpu", "cpuacct", "memory", "pids", "blkio", "devices", "freezer"];
/// Below the host's group in these: what the host sees as its root.
const INSIDE: &str = "in";
/// How long killed processes may take to be gone.
const GONE_BOUND: Duration = Duration::from_secs(20);

/// Why hosts with cgroup v1 are not possible; `None` when they are.
pub fn v1_unavailable() -> Option<String> {
    let there = ["cpu", "memory", "pids"].iter().all(|controller| hierarchy(controller).is_some());
    (!there).then(|| "the controllers of this machine are not in cgroup v1".to_owned())
}

fn hierarchy(name: &str) -> Option<PathBuf> {
    let dir = Path::new(V1).join(name);
    dir.join("cgroup.procs").exists().then_some(dir)
}

/// Puts this process into the groups of a host; what it starts follows.
pub(crate) fn enter(slot: Slot, host: &str, v1: bool) -> Result<()> {
    let unified = machine::cgroup2().context("no cgroup2 file system is mounted")?;
    join(&group(&unified, slot, host))?;
    if let Some(named) = hierarchy(V1_NAMED) {
        join(&group(&named, slot, host))?;
    }
    if v1 {
        for controller in V1_CONTROLLERS.iter().filter_map(|controller| hierarchy(controller)) {
            join(&group(&controller, slot, host).join(INSIDE))?;
        }
    }
    Ok(())
}

fn join(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let file = dir.join("cgroup.procs");
    std::fs::write(&file, std::process::id().to_string())
        .with_context(|| format!("cannot join {}", dir.display()))
}

/// The group of programs of a lab that run on the machine.
pub(crate) fn of_machine(slot: Slot, name: &str) -> Result<PathBuf> {
    let unified = machine::cgroup2().context("no cgroup2 file system is mounted")?;
    let dir = group(&unified, slot, name);
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(dir)
}

/// The same, if there is one.
pub(crate) fn existing(slot: Slot, name: &str) -> Option<PathBuf> {
    machine::cgroup2().map(|unified| group(&unified, slot, name)).filter(|dir| dir.is_dir())
}

/// The groups below which a process that is sent into the host belongs: those that the host sees as its roots.
pub(crate) fn of_guest(slot: Slot, host: &str) -> Vec<PathBuf> {
    let unified = machine::cgroup2().map(|root| group(&root, slot, host).join("payload"));
    let v1 = ["cpu", "memory", "pids"].iter().filter_map(|controller| hierarchy(controller));
    let v1 = v1.map(|root| group(&root, slot, host).join(INSIDE));
    unified.into_iter().chain(v1).filter(|dir| dir.is_dir()).collect()
}

/// Ends every process of a host at once, and waits until they are gone.
pub(crate) fn kill(slot: Slot, host: &str) -> Result<()> {
    let Some(root) = machine::cgroup2() else { return Ok(()) };
    let dir = group(&root, slot, host);
    if !dir.exists() {
        return Ok(());
    }
    let kill = dir.join("cgroup.kill");
    std::fs::write(&kill, "1").with_context(|| format!("cannot write {}", kill.display()))?;
    wait_for(&format!("the processes of host `{host}` to be gone"), GONE_BOUND, || {
        let events = std::fs::read_to_string(dir.join("cgroup.events"))?;
        Ok(events.contains("populated 0").then_some(()))
    })
}

/// Removes the groups of a host, which runs no process any more.
pub(crate) fn remove(slot: Slot, host: &str) -> Result<()> {
    for root in roots() {
        let dir = group(&root, slot, host);
        wait_for(&format!("control group {} to go", dir.display()), GONE_BOUND, || {
            remove_tree(&dir);
            Ok((!dir.exists()).then_some(()))
        })?;
        // Fails while another host or lab has a group there, as it should.
        for parent in dir.ancestors().skip(1).take(2) {
            std::fs::remove_dir(parent).ok();
        }
    }
    Ok(())
}

/// The hosts of which there are groups.
pub(crate) fn hosts(slot: Slot) -> Vec<String> {
    let mut hosts: Vec<String> = roots()
        .into_iter()
        .flat_map(|root| {
            let lab = root.join(GROUP).join(slot.to_string());
            names(&lab).into_iter().filter(move |name| lab.join(name).is_dir()).collect::<Vec<_>>()
        })
        .collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

/// The labs of which there are groups.
pub(crate) fn labs() -> Vec<Slot> {
    let names = roots().into_iter().flat_map(|root| names(&root.join(GROUP)));
    let mut slots: Vec<Slot> = names.filter_map(|name| name.parse().ok().map(Slot)).collect();
    slots.sort();
    slots.dedup();
    slots
}

fn roots() -> Vec<PathBuf> {
    let named = std::iter::once(&V1_NAMED).chain(&V1_CONTROLLERS);
    machine::cgroup2().into_iter().chain(named.filter_map(|name| hierarchy(name))).collect()
}

fn group(root: &Path, slot: Slot, host: &str) -> PathBuf {
    root.join(GROUP).join(slot.to_string()).join(host)
}

/// Removes what can be removed: a group with a process in it stays.
fn remove_tree(dir: &Path) {
    for name in names(dir) {
        let below = dir.join(name);
        if below.is_dir() {
            remove_tree(&below);
        }
    }
    std::fs::remove_dir(dir).ok();
}

/// Fails unless hosts with cgroup v1 are possible.
pub(crate) fn check_v1() -> Result<()> {
    match v1_unavailable() {
        Some(reason) => bail!("a host with cgroup v1 cannot be made: {reason}"),
        None => Ok(()),
    }
}
