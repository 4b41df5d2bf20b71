//! What the node's own init system and its timers run.

use serde::{Deserialize, Serialize};

/// A unit file, or a drop-in for one, below `/etc/systemd/system`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemdUnit {
    /// `shop-worker.service`, or `nginx.service.d/limits.conf` for a drop-in.
    pub name: String,
    /// The whole file.
    pub content: String,
}

/// A service of systemd, or another unit of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The unit with its suffix: `nginx.service`, `fstrim.timer`.
    pub name: String,
    /// Started at boot; absent means "leave as it is".
    pub enabled: Option<bool>,
    /// Running now; absent means "leave as it is".
    pub running: Option<bool>,
}

/// A job of cron, in a file of its own below `/etc/cron.d`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CronJob {
    /// Names its file.
    pub name: String,
    /// Who runs it.
    pub user: String,
    /// Five fields, or a word such as `@daily`.
    pub schedule: String,
    /// A command line for `/bin/sh`, as it would be typed: what cron reads otherwise (`%`, `\`) is escaped for it.
    pub command: String,
    /// Variables of the job, in order.
    pub env: Vec<(String, String)>,
}

/// Rules for logrotate, in a file of their own below `/etc/logrotate.d`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logrotate {
    /// Names its file.
    pub name: String,
    /// The whole file.
    pub content: String,
}

/// A command that is run until its guard says that it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// A name of one's own.
    pub name: String,
    /// A command line for `/bin/sh`.
    pub run: String,
    /// It is done when this command line ends with 0. Asked at each look, also when nothing may be changed: it must do no
    /// harm.
    pub unless: Option<String>,
    /// It is done when this path is there.
    pub creates: Option<String>,
    /// It is only run when one of the resources that it watches (`reload_on`, `restart_on`) changed.
    pub only_on_change: bool,
    /// Who runs it; absent means root.
    pub user: Option<String>,
    /// Where; absent means `/`.
    pub cwd: Option<String>,
    /// When it is killed, in milliseconds.
    pub timeout_ms: u32,
}
