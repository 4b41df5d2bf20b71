//! Whether this machine can host a lab.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::command::{attempt, run};
use crate::place;

/// A program that labs are made with, and the Debian package that brings it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tool {
    /// The program.
    pub program: &'static str,
    /// The package.
    pub package: &'static str,
}

const TOOLS: [Tool; 9] = [
    Tool { program: "systemd-nspawn", package: "systemd-container" },
    Tool { program: "mmdebstrap", package: "mmdebstrap" },
    Tool { program: "ip", package: "iproute2" },
    Tool { program: "nft", package: "nftables" },
    Tool { program: "ssh-keygen", package: "openssh-client" },
    Tool { program: "mkfs.ext4", package: "e2fsprogs" },
    Tool { program: "nsenter", package: "util-linux" },
    Tool { program: "setsid", package: "util-linux" },
    Tool { program: "mount", package: "mount" },
];

/// The tools that are not installed.
pub fn missing_tools() -> Vec<Tool> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let there = |tool: &Tool| folders.iter().any(|folder| folder.join(tool.program).is_file());
    TOOLS.into_iter().filter(|tool| !there(tool)).collect()
}

/// Why this machine cannot host a lab; `None` when it can. Missing tools are no reason: they can be installed.
pub fn unsuitable() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("making hosts needs root".into());
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        return Some("the base of hosts is built with apt, which this machine does not have".into());
    }
    if cgroup2().is_none() {
        return Some("no cgroup2 file system is mounted".into());
    }
    if !attempt("unshare", ["--mount", "--net", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "true"]) {
        return Some("making namespaces is not allowed here".into());
    }
    let filesystems = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !filesystems.contains("\toverlay\n") && !attempt("modprobe", ["overlay"]) {
        return Some("the kernel has no overlay file system".into());
    }
    let place = place::root();
    let existing = place.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    if run("stat", ["--file-system", "--format=%T", &existing.to_string_lossy()])
        .is_ok_and(|kind| kind.trim() == "overlayfs")
    {
        return Some(format!(
            "{} is on an overlay file system; name a folder on another one with MUSTER_LAB_DIR",
            place.display()
        ));
    }
    if missing_tools().is_empty() && !networks() {
        return Some("the kernel has no bridges, veth pairs or nftables for us".into());
    }
    None
}

/// Tries, in a network namespace of its own, what every lab needs.
fn networks() -> bool {
    let script = "ip link add lab type bridge && ip link add cable type veth peer name plug && \
        nft add table ip lab && nft add table bridge lab && \
        nft 'add chain ip lab post { type nat hook postrouting priority srcnat; }' && \
        nft add rule ip lab post masquerade";
    attempt("unshare", ["--net", "sh", "-c", script])
}

/// Fails, saying why and what to do, unless hosts can be made here and now.
pub(crate) fn check() -> Result<()> {
    if let Some(reason) = unsuitable() {
        bail!("this machine cannot host a lab: {reason}");
    }
    let missing: Vec<&str> = missing_tools().iter().map(|tool| tool.program).collect();
    if !missing.is_empty() {
        bail!("{} not installed; `cargo xtask lab base` installs what is missing", missing.join(", "));
    }
    Ok(())
}

/// Where cgroup2 is mounted.
pub(crate) fn cgroup2() -> Option<PathBuf> {
    let mounts = mounts().ok()?;
    mounts.into_iter().find(|mount| mount.kind == "cgroup2").map(|mount| mount.point)
}

/// A line of `/proc/self/mountinfo`.
pub(crate) struct Mount {
    pub(crate) point: PathBuf,
    pub(crate) kind: String,
}

/// What is mounted, in the order of mounting.
pub(crate) fn mounts() -> Result<Vec<Mount>> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").context("cannot read the list of mounts")?;
    Ok(text.lines().filter_map(mount).collect())
}

fn mount(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let point = before.split(' ').nth(4)?.replace("\\040", " ");
    Some(Mount { point: point.into(), kind: after.split(' ').next()?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_mountinfo_are_understood() {
        let line = "41 31 0:38 / /sys/fs/a\\040b rw,relatime shared:3 - cgroup2 cgroup2 rw";
        let mount = mount(line).unwrap();
        assert_eq!((mount.point.to_str(), mount.kind.as_str()), (Some("/sys/fs/a b"), "cgroup2"));
    }
}
