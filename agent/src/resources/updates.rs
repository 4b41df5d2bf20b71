//! Upgrades that are installed by themselves: by unattended-upgrades, whose configuration and timers are kept here.

use super::Look;
use super::packages::{NEEDS_ROOT, reason};
use super::repositories::{attributes, digest, lines, of, put};
use muster_domain::resource::{OsUpdates, UpdateScope};
use muster_planning::convergence::{
    Action, Observed, ObservedUpdates, UPDATES_FILE, UPDATES_PACKAGE, UPDATES_TIMERS, updates_file,
};
use muster_platform::{CommandLine, FileKind, Host, PackageStatus};
use std::path::Path;

/// Our file is small; a longer one was changed by somebody.
const MAX_FILE_BYTES: u64 = 64 * 1024;
/// Where a candidate is tried. Nothing reads it there by itself.
const CANDIDATE: &str = "/etc/apt/.muster-updates.candidate";
const ENABLE_TIMEOUT_MS: u64 = 30_000;

pub(super) fn observe(look: Look<'_>, wanted: &OsUpdates) -> Observed {
    if !look.host.privileged() {
        return Observed::Unsupported(NEEDS_ROOT.into());
    }
    let look_at = || -> Result<ObservedUpdates, String> {
        let needed = wanted.scope != UpdateScope::None;
        Ok(ObservedUpdates {
            file: digest(look.host, Path::new(UPDATES_FILE)).map_err(|error| error.to_string())?,
            attributes: attributes(look.host, [&UPDATES_FILE.to_owned()])?,
            installed: !needed || installed(look)?,
            timers_off: if needed { timers_off(look.host)? } else { Vec::new() },
            clock: clock(look, wanted),
        })
    };
    look_at().map_or_else(Observed::Unreadable, Observed::OsUpdates)
}

fn installed(look: Look<'_>) -> Result<bool, String> {
    let states = look.host.packages().map_err(|error| error.to_string())?;
    let record = states.get(UPDATES_PACKAGE);
    Ok(record
        .is_some_and(|record| matches!(record.status, PackageStatus::Installed | PackageStatus::Triggers)))
}

/// Why the host cannot tell when the reboot window is open.
fn clock(look: Look<'_>, wanted: &OsUpdates) -> Option<String> {
    let window = wanted.reboot.as_ref()?;
    // Which moment does not matter: a zone is known or not.
    look.host.local_time(window.timezone(), chrono::DateTime::UNIX_EPOCH).err().map(|error| error.to_string())
}

/// Timers that are not wanted by the target of timers, or are masked. Read from the links that enabling makes: asking
/// systemd would cost a process in every run.
fn timers_off(host: &dyn Host) -> Result<Vec<String>, String> {
    let mut off = Vec::new();
    for timer in UPDATES_TIMERS {
        let enabled = format!("/etc/systemd/system/timers.target.wants/{timer}");
        let enabled = host.stat(Path::new(&enabled)).map_err(|error| error.to_string())?.is_some();
        if !enabled || masked(host, timer)? {
            off.push(timer.to_owned());
        }
    }
    Ok(off)
}

fn masked(host: &dyn Host, timer: &str) -> Result<bool, String> {
    let own = format!("/etc/systemd/system/{timer}");
    let found = host.stat(Path::new(&own)).map_err(|error| error.to_string())?;
    Ok(found.is_some_and(|stat| match stat.kind {
        FileKind::Symlink { target } => target == "/dev/null",
        FileKind::File => stat.size_bytes == 0,
        _ => false,
    }))
}

pub(super) fn apply(look: Look<'_>, wanted: &OsUpdates, action: Action) -> Result<Option<String>, String> {
    if action != Action::WriteUpdates {
        return Err(format!("{action:?} is not done for upgrades by themselves"));
    }
    let host = look.host;
    let content = updates_file(wanted);
    if wanted.scope != UpdateScope::None && !installed(look)? {
        return Err(format!(
            "the package {UPDATES_PACKAGE} is not installed; declare it, and let os_updates depend on it"
        ));
    }
    let write = |path: &str| put(host, path, content.as_bytes());
    write(CANDIDATE)?;
    let checked = host.check_apt_configuration(Some(Path::new(CANDIDATE)));
    host.remove(Path::new(CANDIDATE)).map_err(|error| error.to_string())?;
    let checked = checked.map_err(|error| error.to_string())?;
    if !checked.success {
        return Err(format!("apt refuses its configuration: {}", reason(&checked.output)));
    }
    write(UPDATES_FILE)?;
    if wanted.scope == UpdateScope::None { Ok(None) } else { enable(host).map(Some) }
}

/// Enables and starts both timers: one that is enabled may have been stopped.
fn enable(host: &dyn Host) -> Result<String, String> {
    let timers = UPDATES_TIMERS;
    for timer in timers {
        if masked(host, timer)? {
            return Err(format!(
                "{timer} is masked: somebody decided that it must not run; unmask it, or declare no upgrades"
            ));
        }
    }
    let mut args = vec!["enable".to_owned(), "--now".to_owned()];
    args.extend(timers.map(str::to_owned));
    let command = CommandLine {
        program: "systemctl".into(),
        args,
        timeout_ms: ENABLE_TIMEOUT_MS,
        ..CommandLine::default()
    };
    let output = host.run(&command).map_err(|error| error.to_string())?;
    if output.success() {
        Ok(format!("enabled {}", timers.join(", ")))
    } else {
        Err(format!("{} cannot be enabled: {}", timers.join(", "), reason(&output.stderr)))
    }
}

pub(super) fn diff(look: Look<'_>, wanted: &OsUpdates, observed: &Observed) -> Option<String> {
    let Observed::OsUpdates(observed) = observed else { return None };
    let content = updates_file(wanted);
    let mut text = String::new();
    if observed.file != of(content.as_bytes()) {
        let found = look.host.read(Path::new(UPDATES_FILE), MAX_FILE_BYTES).unwrap_or_default();
        text.push_str(&lines(UPDATES_FILE, &String::from_utf8_lossy(&found), &content));
    }
    for timer in &observed.timers_off {
        text.push_str(&format!("-{timer} disabled\n+{timer} enabled\n"));
    }
    text.extend(observed.attributes.iter().map(|difference| format!("{difference}\n")));
    (!text.is_empty()).then_some(text)
}

/// What the distribution had configured is in force again.
pub(super) fn remove(look: Look<'_>, _wanted: &OsUpdates) -> Result<Option<String>, String> {
    let path = Path::new(UPDATES_FILE);
    if look.host.stat(path).map_err(|error| error.to_string())?.is_none() {
        return Ok(None);
    }
    look.host.remove(path).map_err(|error| error.to_string())?;
    Ok(Some(format!("removed {UPDATES_FILE}")))
}

#[cfg(test)]
mod tests;
