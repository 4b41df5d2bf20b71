//! The real host.

mod accounts;
mod bus;
mod command;
mod digests;
mod downloads;
mod figures;
mod files;
mod keys;
mod packages;
mod reboot;
mod resolve;
mod roles;
mod runtimes;
mod services;
mod sshd;
mod system;
mod timers;
mod trial;
mod verify;

use crate::host::{
    Account, CommandLine, CommandOutput, DiskSpace, Fault, FileStat, Host, HostError, NodeRuntime, Ownership,
    SshdHost, SshdValues, TimerHost, TrialHost, TrialNetwork, WriteFile,
};
use chrono::{DateTime, Utc};
use muster_domain::{Digest, metrics::NodeMetrics, node::HostFacts};
use std::path::{Path, PathBuf};

/// A Linux system: the one that the agent runs on, or in rootless mode a folder that stands for it.
#[derive(Debug)]
pub struct LinuxHost {
    /// Where paths of the managed system begin; `None` is `/`.
    root: Option<PathBuf>,
    /// A folder of the agent's own that may be mounted over.
    scratch: PathBuf,
    figures: figures::Figures,
    runtimes: runtimes::Cache,
    packages: packages::Cache,
    digests: digests::Cache,
    accounts: accounts::Cache,
    units: services::Units,
    sshd: sshd::Cache,
}

impl LinuxHost {
    /// The system itself. `state_dir` lies on the file system whose space is reported.
    pub fn system(state_dir: &Path) -> Self {
        Self {
            root: None,
            figures: figures::Figures::new(state_dir),
            runtimes: runtimes::Cache::default(),
            packages: packages::Cache::default(),
            scratch: state_dir.join("trial"),
            digests: digests::Cache::default(),
            accounts: accounts::Cache::default(),
            units: services::Units::default(),
            sshd: sshd::Cache::default(),
        }
    }

    /// The rootless mode: every managed path lies below `root`, which is created when it is needed, and nothing is
    /// given to another user.
    pub fn rootless(root: impl Into<PathBuf>, state_dir: &Path) -> Self {
        Self { root: Some(root.into()), ..Self::system(state_dir) }
    }
}

impl TrialHost for LinuxHost {
    fn try_with(
        &self,
        file: &WriteFile<'_>,
        network: TrialNetwork,
        command: &CommandLine,
    ) -> Result<CommandOutput, HostError> {
        if !self.privileged() {
            return Err(HostError::new("try out", file.path, Fault::PermissionDenied));
        }
        trial::try_with(&self.scratch, file, network, command)
    }
}

impl SshdHost for LinuxHost {
    fn sshd_values(&self) -> Result<SshdValues, HostError> {
        self.sshd.values()
    }

    fn sshd_values_of(&self, config: &str) -> Result<SshdValues, HostError> {
        self.sshd.values_of(&self.scratch, config)
    }
}

impl TimerHost for LinuxHost {
    fn timers_unsupported(&self) -> Option<String> {
        timers::unsupported(self.privileged())
    }

    fn arm_timer(&self, name: &str, after_s: u32, command: &[String]) -> Result<(), HostError> {
        timers::arm(name, after_s, command)
    }

    fn disarm_timer(&self, name: &str) -> Result<(), HostError> {
        timers::disarm(name)
    }
}

impl Host for LinuxHost {
    fn real_path(&self, path: &Path) -> Option<PathBuf> {
        match &self.root {
            None => Some(path.to_owned()),
            Some(root) => Some(root.join(path.strip_prefix("/").ok()?)),
        }
    }

    fn stat(&self, path: &Path) -> Result<Option<FileStat>, HostError> {
        files::stat(self.root.as_deref(), path)
    }

    fn digest(&self, path: &Path, max_bytes: u64) -> Result<Option<Digest>, HostError> {
        files::digest(self.root.as_deref(), path, max_bytes, &self.digests)
    }

    fn read(&self, path: &Path, max_bytes: u64) -> Result<Vec<u8>, HostError> {
        files::read(self.root.as_deref(), path, max_bytes)
    }

    fn write(&self, file: &WriteFile<'_>) -> Result<(), HostError> {
        files::write(self.root.as_deref(), file)
    }

    fn make_directory(&self, path: &Path, mode: u32, ownership: Ownership) -> Result<(), HostError> {
        files::make_directory(self.root.as_deref(), path, mode, ownership)
    }

    fn set_attributes(&self, path: &Path, mode: u32, ownership: Ownership) -> Result<(), HostError> {
        files::set_attributes(self.root.as_deref(), path, mode, ownership)
    }

    fn make_symlink(&self, path: &Path, target: &str) -> Result<(), HostError> {
        files::make_symlink(self.root.as_deref(), path, target)
    }

    fn remove(&self, path: &Path) -> Result<(), HostError> {
        files::remove(self.root.as_deref(), path)
    }

    fn user(&self, name: &str) -> Result<Option<Account>, HostError> {
        self.accounts.user(name)
    }

    fn group(&self, name: &str) -> Result<Option<u32>, HostError> {
        self.accounts.group(name)
    }

    fn own_account(&self) -> Account {
        Account { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() }
    }

    fn privileged(&self) -> bool {
        self.root.is_none() && rustix::process::geteuid().is_root()
    }

    fn node_runtimes(&self, side_by_side: &Path) -> Vec<NodeRuntime> {
        self.runtimes.list(side_by_side)
    }

    fn find_program(&self, name: &str) -> Option<PathBuf> {
        command::find(name)
    }

    fn run(&self, command: &CommandLine) -> Result<CommandOutput, HostError> {
        command::run(command)
    }

    fn facts(&self, agent_version: &str) -> HostFacts {
        figures::facts(agent_version, self.root.is_some())
    }

    fn metrics(&self, now: DateTime<Utc>) -> NodeMetrics {
        self.figures.sample(now)
    }

    fn disk_space(&self, path: &Path) -> Result<DiskSpace, HostError> {
        figures::disk_space(path)
    }
}
