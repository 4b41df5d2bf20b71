//! Units of systemd.

use super::HostError;
use std::fmt;

/// What the agent asks of a host about systemd.
pub trait ServiceHost {
    /// Whether systemd is what started everything here.
    fn has_systemd(&self) -> bool;
    /// Says which units will be asked for: they are looked at together.
    fn units_wanted(&self, names: &[String]);
    /// How a unit is. Answered from memory, until [`ServiceHost::forget_units`].
    fn unit(&self, name: &str) -> Result<UnitState, HostError>;
    /// Something was changed: the next question is asked anew.
    fn forget_units(&self);
    /// Has something done to a unit, and waits for the end of the job.
    fn control_unit(&self, name: &str, verb: UnitVerb) -> Result<(), HostError>;
    /// Waits until a unit ends, but not longer than this.
    fn watch_unit(&self, name: &str, for_ms: u64);
    /// Has systemd read its files again.
    fn reload_units(&self) -> Result<(), HostError>;
    /// The last lines that a unit wrote, since it was last told to do something.
    fn unit_journal(&self, name: &str) -> Vec<String>;
    /// Has systemd judge the file of a unit, or of a drop-in for one, before it is put into place. `Err`: what it says
    /// against it.
    fn verify_unit(&self, name: &str, content: &str) -> Result<(), String>;
}

/// A unit, in systemd's own words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitState {
    /// `loaded`, `not-found`, `masked`, `bad-setting`, `error`.
    pub load: String,
    /// Why it could not be loaded.
    pub load_error: String,
    /// `active`, `reloading`, `inactive`, `failed`, `activating`, `deactivating`.
    pub active: String,
    /// `running`, `exited`, `auto-restart` and others.
    pub sub: String,
    /// `enabled`, `disabled`, `static`, `masked` and others; nothing when it has no file.
    pub file: String,
    /// It can read its configuration again without being restarted.
    pub can_reload: bool,
    /// Its files changed since systemd read them.
    pub needs_reload: bool,
    /// `simple`, `oneshot`, `notify` and others; nothing for what is no service.
    pub kind: String,
    /// It counts as active after its work is done.
    pub remains: bool,
    /// How often systemd has started it again by itself.
    pub restarts: u32,
    /// How it ended: `success`, `exit-code`, `signal`, `timeout`, `start-limit-hit` and others.
    pub result: String,
    /// The exit code, or the number of the signal, of its main process.
    pub exit_status: i32,
    /// The conditions in its file were met when it was last started.
    pub conditions_met: bool,
    /// What starts it when it is asked for: sockets, timers, paths.
    pub triggered_by: Vec<String>,
    /// Its own file.
    pub fragment: String,
}

/// What is done to a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitVerb {
    /// Start it.
    Start,
    /// Stop it.
    Stop,
    /// Stop and start it.
    Restart,
    /// Have it read its configuration again.
    Reload,
    /// Start it at boot.
    Enable,
    /// Do not.
    Disable,
    /// Make it startable.
    Unmask,
    /// Forget that it failed, and how often.
    ResetFailed,
}

impl UnitVerb {
    /// The word for `systemctl`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Unmask => "unmask",
            Self::ResetFailed => "reset-failed",
        }
    }
}

impl fmt::Display for UnitVerb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
