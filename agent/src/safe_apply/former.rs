//! What has to be kept of a resource, so that what was there before can be put back, and what makes that take effect.

use super::journal::{FormerPath, Was};
use muster_domain::resource::{DesiredState, Resource};
use muster_planning::convergence::paths_of;
use muster_platform::{CommandLine, FileKind, Host};
use std::path::Path;

/// What configuration has is far below this; the journal is read as a whole.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

const UFW_FILES: [&str; 4] =
    ["/etc/ufw/user.rules", "/etc/ufw/user6.rules", "/etc/ufw/ufw.conf", "/etc/default/ufw"];

/// What was there before one change.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Former {
    pub(super) paths: Vec<FormerPath>,
    pub(super) steps: Vec<Vec<String>>,
}

/// Keeps what a change of this resource would overwrite.
pub(super) fn of(host: &dyn Host, resource: &Resource) -> Result<Former, String> {
    let mut former = Former::default();
    for path in paths(&resource.desired) {
        former.paths.push(keep(host, &path)?);
    }
    former.steps = match &resource.desired {
        DesiredState::Firewall(_) => vec![ufw(host)],
        DesiredState::Sysctl(sysctl) => sysctl_value(host, &sysctl.name),
        DesiredState::SystemdUnit(_) => vec![words(&["systemctl", "daemon-reload"])],
        DesiredState::Service(service) => running(host, &service.name),
        _ => former.paths.iter().flat_map(|kept| after(host, &kept.path)).collect(),
    };
    Ok(former)
}

/// The files that a change of it writes.
fn paths(desired: &DesiredState) -> Vec<String> {
    let owned = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
    match desired {
        DesiredState::File(file) | DesiredState::SecretFile(file) => vec![file.path.clone()],
        DesiredState::Symlink(symlink) => vec![symlink.path.clone()],
        DesiredState::SystemdUnit(_) | DesiredState::Sysctl(_) => paths_of(desired),
        DesiredState::Hosts(_) => owned(&["/etc/hosts"]),
        DesiredState::Firewall(_) => owned(&UFW_FILES),
        DesiredState::Sshd(_) => owned(&["/etc/ssh/sshd_config", crate::resources::SSHD_FILE]),
        _ => Vec::new(),
    }
}

fn keep(host: &dyn Host, path: &str) -> Result<FormerPath, String> {
    let place = Path::new(path);
    let stat = host.stat(place).map_err(|error| error.to_string())?;
    let was = match stat {
        None => Was::Nothing,
        Some(stat) => match stat.kind {
            FileKind::File => {
                let content = host.read(place, MAX_FILE_BYTES).map_err(|error| error.to_string())?;
                Was::File { content, mode: stat.mode, uid: stat.uid, gid: stat.gid }
            }
            FileKind::Symlink { target } => Was::Symlink { target },
            FileKind::Directory | FileKind::Other => {
                return Err(format!("{path} is neither a file nor a link, and could not be put back"));
            }
        },
    };
    Ok(FormerPath { path: path.to_owned(), was })
}

/// What makes a file of the network take effect.
fn after(host: &dyn Host, path: &str) -> Vec<Vec<String>> {
    let restart = |unit: &str| vec![words(&["systemctl", "try-restart", unit])];
    let reload = |unit: &str| vec![words(&["systemctl", "try-reload-or-restart", unit])];
    let below = |folder: &str| path.starts_with(folder);
    match path {
        _ if below("/etc/netplan/") && host.find_program("netplan").is_some() => {
            vec![words(&["netplan", "apply"])]
        }
        _ if below("/etc/systemd/network/") => restart("systemd-networkd.service"),
        _ if below("/etc/network/") => restart("networking.service"),
        _ if below("/etc/NetworkManager/") => reload("NetworkManager.service"),
        _ if below("/etc/ssh/") => reload("ssh.service"),
        _ if below("/etc/ufw/") || path == "/etc/default/ufw" => vec![ufw(host)],
        _ if below("/etc/iptables/") => restart("netfilter-persistent.service"),
        "/etc/nftables.conf" => reload("nftables.service"),
        _ => Vec::new(),
    }
}

/// Brings the kernel back to ufw's files, or to no rules of ufw when it held none.
fn ufw(host: &dyn Host) -> Vec<String> {
    let command = CommandLine {
        program: "iptables".into(),
        args: vec!["-S".into(), "INPUT".into()],
        timeout_ms: 10_000,
        ..CommandLine::default()
    };
    let held = host.run(&command).is_ok_and(|output| {
        output.success() && String::from_utf8_lossy(&output.stdout).contains("ufw-before-input")
    });
    let enabled = host
        .read(Path::new("/etc/ufw/ufw.conf"), MAX_FILE_BYTES)
        .is_ok_and(|conf| String::from_utf8_lossy(&conf).lines().any(|line| line.trim() == "ENABLED=yes"));
    words(&["/lib/ufw/ufw-init", if held && enabled { "force-reload" } else { "force-stop" }])
}

/// The value that a setting of the kernel has now.
fn sysctl_value(host: &dyn Host, name: &str) -> Vec<Vec<String>> {
    // In names of settings, dots and slashes have changed places.
    let swapped: String = name
        .chars()
        .map(|c| {
            if c == '.' {
                '/'
            } else if c == '/' {
                '.'
            } else {
                c
            }
        })
        .collect();
    let path = format!("/proc/sys/{swapped}");
    match host.read(Path::new(&path), 4096) {
        Ok(value) => {
            let value = String::from_utf8_lossy(&value).trim().to_owned();
            vec![words(&["sysctl", "-q", "-w", &format!("{name}={value}")])]
        }
        // Nothing is set where there is nothing.
        Err(_) => Vec::new(),
    }
}

/// How a service runs now.
fn running(host: &dyn Host, name: &str) -> Vec<Vec<String>> {
    let command = CommandLine {
        program: "systemctl".into(),
        args: words(&["show", "--property=ActiveState,UnitFileState", name]),
        timeout_ms: 20_000,
        ..CommandLine::default()
    };
    let said = host.run(&command).map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let said = said.unwrap_or_default();
    let is = |line: &str| said.lines().any(|known| known == line);
    let mut steps = Vec::new();
    if is("UnitFileState=enabled") {
        steps.push(words(&["systemctl", "--quiet", "enable", name]));
    } else if is("UnitFileState=disabled") {
        steps.push(words(&["systemctl", "--quiet", "disable", name]));
    }
    steps.push(if is("ActiveState=inactive") || is("ActiveState=failed") {
        words(&["systemctl", "stop", name])
    } else {
        words(&["systemctl", "restart", name])
    });
    steps
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
