//! What is asked of systemd, by way of `systemctl`.

use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Asking systemd failed.
#[derive(Debug, thiserror::Error)]
#[error("`systemctl {command}` failed: {reason}")]
pub struct UnitError {
    /// What was asked.
    pub command: String,
    /// What it said.
    pub reason: String,
}

/// How a unit stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitState {
    /// `active`, `inactive`, `failed`, `activating`...
    pub active: String,
    /// Its main process; 0 when there is none.
    pub main_pid: u32,
    /// What it says about itself.
    pub status: String,
}

impl UnitState {
    /// Whether it runs.
    pub fn runs(&self) -> bool {
        self.active == "active"
    }
}

/// A machine's units.
pub trait Units {
    /// Calls `systemctl` with these words, and waits until it is done.
    fn ask(&self, words: &[&str]) -> Result<(), UnitError>;

    /// How a unit stands.
    fn show(&self, unit: &str) -> Result<UnitState, UnitError>;

    /// The program of a process; `None` when that cannot be told.
    fn program(&self, pid: u32) -> Option<PathBuf> {
        std::fs::read_link(format!("/proc/{pid}/exe")).ok()
    }
}

/// Those of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Systemctl;

impl Systemctl {
    fn run(words: &[&str]) -> Result<String, UnitError> {
        let failed = |reason: String| UnitError { command: words.join(" "), reason };
        let output = Command::new("systemctl").args(words).stdin(Stdio::null()).output();
        let output = output.map_err(|error: io::Error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let said = lines.join(" ");
        Err(failed(if said.is_empty() {
            output.status.to_string()
        } else {
            said.trim_end_matches('.').to_owned()
        }))
    }
}

impl Units for Systemctl {
    fn ask(&self, words: &[&str]) -> Result<(), UnitError> {
        Self::run(words).map(drop)
    }

    fn show(&self, unit: &str) -> Result<UnitState, UnitError> {
        Self::run(&["show", "--property=ActiveState,MainPID,StatusText", unit]).map(|text| parse(&text))
    }
}

fn parse(text: &str) -> UnitState {
    let mut state = UnitState::default();
    for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
        match name {
            "ActiveState" => value.clone_into(&mut state.active),
            "MainPID" => state.main_pid = value.parse().unwrap_or_default(),
            "StatusText" => value.clone_into(&mut state.status),
            _ => {}
        }
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_unit_is_read() {
        let state = parse("MainPID=42\nActiveState=active\nStatusText=connected to https://a=b\nOther=x\n");
        assert!(state.runs());
        assert_eq!((state.main_pid, state.status.as_str()), (42, "connected to https://a=b"));
        assert_eq!(parse(""), UnitState::default());
    }
}
