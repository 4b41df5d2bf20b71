//! The power supply of a host: a process beside it that boots it, and boots it again whenever it asked for a reboot.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command::attempt;
use crate::host::{Files, Record};
use crate::owner::ProcessId;
use crate::place::{self, Slot};
use crate::{cgroups, network};

/// With which nspawn ends when its guest wants a reboot.
const REBOOT: i32 = 133;

/// Runs a host until it powers off. In a process of its own: it puts itself into the control group of the host.
pub fn supply(slot: u8, host: &str) -> Result<()> {
    let slot = Slot(slot);
    let dir = crate::lab::dir_of(slot)?;
    let files = Files::new(&dir, host);
    let record: Record =
        place::read(&files.record())?.with_context(|| format!("there is no host `{host}`"))?;
    cgroups::enter(slot, host, record.v1)?;
    place::write(&files.power(), &ProcessId::own()?)?;
    loop {
        network::plug(slot, host, record.address, files.cut().exists())?;
        let mut child = nspawn(slot, host, &record, &files)
            .spawn()
            .context("cannot start systemd-nspawn (package systemd-container)")?;
        let id = ProcessId::of(child.id()).context("systemd-nspawn ended at once")?;
        place::write(&files.nspawn(), &id)?;
        place::write(&files.boots(), &(files.count_of_boots()? + 1))?;
        let status = child.wait().context("cannot wait for systemd-nspawn")?;
        network::unplug(slot, host)?;
        println!("host `{host}` is off: {status}");
        if status.code() != Some(REBOOT) || files.halt().exists() {
            break;
        }
    }
    place::remove(&files.nspawn())?;
    place::remove(&files.power())
}

fn nspawn(slot: Slot, host: &str, record: &Record, files: &Files) -> Command {
    let device = slot.device(host);
    let mut command = in_own_time();
    // Without a message bus on the machine, which not every machine has, it has to keep the unit and not register.
    command.args(["systemd-nspawn", "--quiet", "--keep-unit", "--register=no", "--link-journal=no"]);
    command.args(["--settings=no", "--timezone=off", "--resolv-conf=off", "--console=read-only"]);
    command.arg(format!("--directory={}", files.root().display()));
    command.arg(format!("--machine={device}")).arg(format!("--hostname={}", record.hostname));
    command.arg(format!("--network-namespace-path=/run/netns/{device}"));
    // What a host needs for its own firewall; an own private network would bring it, a prepared one does not.
    command.arg("--capability=CAP_NET_ADMIN");
    command.args(record.binds.iter().map(|bind| format!("--bind={bind}")));
    command.env("SYSTEMD_NSPAWN_TMPFS_TMP", "0").env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network");
    if record.v1 {
        command.env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "0");
        // It mounts the controllers read-only, where systemd could not use them; a first process sets that right.
        let controllers = cgroups::V1_CONTROLLERS.join(" ");
        command.args(["--kill-signal=SIGRTMIN+3", "--", "/bin/sh", "-c"]).arg(format!(
            "for controller in {controllers}; do mount -o remount,bind,rw /sys/fs/cgroup/$controller; done; \
             exec /lib/systemd/systemd"
        ));
    } else {
        command.env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1").arg("--boot");
    }
    command
}

/// With clocks that begin at the boot of the host, so that its uptime is its own. Where the kernel does not allow that
/// it is the machine's.
fn in_own_time() -> Command {
    let uptime = std::fs::read_to_string(Path::new("/proc/uptime")).unwrap_or_default();
    let seconds = uptime.split('.').next().and_then(|seconds| seconds.parse::<u64>().ok()).unwrap_or(0);
    let offset = format!("-{seconds}");
    if !attempt("unshare", ["--time", "--boottime", &offset, "--monotonic", &offset, "true"]) {
        return Command::new("env");
    }
    let mut command = Command::new("unshare");
    command.args(["--time", "--boottime", &offset, "--monotonic", &offset]);
    command
}
