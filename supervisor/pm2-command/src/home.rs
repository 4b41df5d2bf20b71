//! pm2's folder and what lies in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// `PM2_HOME`, by default `~/.pm2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Home {
    dir: PathBuf,
}

impl Home {
    /// As the environment says.
    pub(crate) fn of(env: &BTreeMap<String, String>) -> Self {
        let set = |name: &str| env.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let dir =
            set("PM2_HOME").unwrap_or_else(|| set("HOME").unwrap_or_else(|| PathBuf::from("/")).join(".pm2"));
        Self { dir }
    }

    /// A given folder.
    pub(crate) fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The folder itself.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// State directory of the supervisor: its socket, its lock, its own list.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.dir.join("muster")
    }

    /// Socket of the supervisor.
    pub(crate) fn socket(&self) -> PathBuf {
        self.state_dir().join("supervisor.sock")
    }

    /// What the supervisor itself logs; pm2's name for it.
    pub(crate) fn daemon_log(&self) -> PathBuf {
        self.dir.join("pm2.log")
    }

    /// Process id of the supervisor; pm2's name for it.
    pub(crate) fn daemon_pid(&self) -> PathBuf {
        self.dir.join("pm2.pid")
    }

    /// The saved list of applications.
    pub(crate) fn dump(&self) -> PathBuf {
        self.dir.join("dump.pm2")
    }

    /// Log files of applications.
    pub(crate) fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// Process id files of applications.
    pub(crate) fn pids(&self) -> PathBuf {
        self.dir.join("pids")
    }
}
