//! Transient timers of systemd.

use super::command;
use crate::host::{CommandLine, Fault, HostError};
use std::path::Path;

/// systemd answers at once, unless it is in the middle of reading all its units.
const TIMEOUT_MS: u64 = 20_000;

/// What `systemctl` ends with when there is no such unit.
const NOT_LOADED: i32 = 5;

pub(super) fn unsupported(privileged: bool) -> Option<String> {
    if !privileged {
        return Some("the agent does not run as root".into());
    }
    // What sd_booted(3) asks.
    if !Path::new("/run/systemd/system").is_dir() || command::find("systemd-run").is_none() {
        return Some("this host does not run systemd".into());
    }
    None
}

pub(super) fn arm(name: &str, after_s: u32, command: &[String]) -> Result<(), HostError> {
    let mut args: Vec<String> = vec![
        "--quiet".into(),
        "--no-ask-password".into(),
        "--collect".into(),
        format!("--unit={name}"),
        format!("--on-active={after_s}s"),
        "--timer-property=AccuracySec=1s".into(),
        // It is the last resort: it does not give up.
        "--property=Restart=on-failure".into(),
        "--property=RestartSec=5s".into(),
        "--property=StartLimitIntervalSec=0".into(),
        "--".into(),
    ];
    args.extend_from_slice(command);
    run("arm the timer", name, "systemd-run", args, &[0])
}

pub(super) fn disarm(name: &str) -> Result<(), HostError> {
    let args = vec!["stop".into(), "--quiet".into(), format!("{name}.timer")];
    run("disarm the timer", name, "systemctl", args, &[0, NOT_LOADED])
}

fn run(
    action: &'static str,
    name: &str,
    program: &str,
    args: Vec<String>,
    fine: &[i32],
) -> Result<(), HostError> {
    let command =
        CommandLine { program: program.into(), args, timeout_ms: TIMEOUT_MS, ..CommandLine::default() };
    let output = command::run(&command)?;
    if output.code.is_some_and(|code| fine.contains(&code)) {
        return Ok(());
    }
    let said = output.stderr.trim();
    let fault = Fault::Other(if said.is_empty() { format!("{program} failed") } else { said.to_owned() });
    Err(HostError { action, subject: name.to_owned(), fault })
}
