//! What is on the machine of labs that nobody wants any more.

use anyhow::Result;

use crate::lab::Registered;
use crate::owner::ProcessId;
use crate::place::{self, Slot};
use crate::removal::wanted;
use crate::{cgroups, machine, network};

/// Something of a lab whose owner is gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leftover {
    /// The number of the lab.
    pub lab: u8,
    /// What it is.
    pub what: String,
}

/// Everything that is left of labs whose owners are gone. Nothing on a clean machine.
pub fn leftovers() -> Result<Vec<Leftover>> {
    Ok(find()?.into_iter().map(|(slot, what)| Leftover { lab: slot.0, what }).collect())
}

pub(crate) fn find() -> Result<Vec<(Slot, String)>> {
    let registered =
        Registered::all()?.into_iter().map(|(slot, lab)| (slot, format!("lab of {}", lab.owner)));
    let labs = place::labs();
    let numbered = |name: &str| name.parse().ok().map(Slot);
    let folders = place::names(&labs).into_iter();
    let folders =
        folders.filter_map(|name| Some((numbered(&name)?, format!("folder {}", labs.join(&name).display()))));
    let mounts = machine::mounts()?.into_iter().filter_map(|mount| {
        let first = mount.point.strip_prefix(&labs).ok()?.components().next()?;
        Some((numbered(first.as_os_str().to_str()?)?, format!("mount {}", mount.point.display())))
    });
    let groups = cgroups::labs().into_iter().map(|slot| (slot, "control groups".to_owned()));
    let processes = processes()
        .into_iter()
        .map(|(slot, process, what)| (slot, format!("process {}: {what}", process.pid)));
    let all = registered.chain(folders).chain(mounts).chain(network::found()?).chain(groups).chain(processes);
    let mut found = Vec::new();
    for (slot, what) in all {
        if !wanted(slot)? {
            found.push((slot, what));
        }
    }
    Ok(found)
}

/// The processes that labs run on the machine: power supplies, watches, containers.
pub(crate) fn processes() -> Vec<(Slot, ProcessId, String)> {
    let pids = place::names("/proc".as_ref()).into_iter().filter_map(|name| name.parse().ok());
    pids.filter_map(|pid: u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words: Vec<&str> =
            line.split(|byte| *byte == 0).filter_map(|word| str::from_utf8(word).ok()).collect();
        let slot = lab_of(&words)?;
        Some((slot, ProcessId::of(pid)?, words.join(" ").trim().to_owned()))
    })
    .collect()
}

/// The lab that a process works for, by its command line.
fn lab_of(words: &[&str]) -> Option<Slot> {
    match words {
        [program, "power" | "watch", number, ..] if program.ends_with("/muster-lab") => {
            number.parse().ok().map(Slot)
        }
        ["systemd-nspawn", rest @ ..] => {
            rest.iter().find_map(|word| Slot::of_name(word.strip_prefix("--machine=")?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_of_labs_are_told_from_others() {
        assert_eq!(lab_of(&["/target/debug/muster-lab", "power", "3", "web", ""]), Some(Slot(3)));
        assert_eq!(lab_of(&["/target/debug/muster-lab", "watch", "3", ""]), Some(Slot(3)));
        assert_eq!(lab_of(&["systemd-nspawn", "--quiet", "--machine=ml3-web", "--boot"]), Some(Slot(3)));
        assert_eq!(lab_of(&["systemd-nspawn", "--machine=mine"]), None);
        assert_eq!(lab_of(&["/target/debug/muster-lab", "exec", "3"]), None);
        assert_eq!(lab_of(&["grep", "muster-lab", "power", "3"]), None);
    }
}
