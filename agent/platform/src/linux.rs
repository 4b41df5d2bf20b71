//! The real host.

mod accounts;
mod bus;
mod command;
mod figures;
mod files;
mod keys;
mod resolve;
mod roles;
mod runtimes;
mod services;
mod system;
mod verify;

use crate::host::{
    Account, CommandLine, CommandOutput, DiskSpace, FileStat, Host, HostError, NodeRuntime, Ownership,
    WriteFile,
};
use chrono::{DateTime, Utc};
use muster_domain::{Digest, metrics::NodeMetrics, node::HostFacts};
use std::path::{Path, PathBuf};

/// A Linux system: the one that the agent runs on, or in rootless mode a folder that stands for it.
#[derive(Debug)]
pub struct LinuxHost {
    /// Where paths of the managed system begin; `None` is `/`.
    root: Option<PathBuf>,
    figures: figures::Figures,
    runtimes: runtimes::Cache,
    accounts: accounts::Cache,
    units: services::Units,
}

impl LinuxHost {
    /// The system itself. `state_dir` lies on the file system whose space is reported.
    pub fn system(state_dir: &Path) -> Self {
        Self {
            root: None,
            figures: figures::Figures::new(state_dir),
            runtimes: runtimes::Cache::default(),
            accounts: accounts::Cache::default(),
            units: services::Units::default(),
        }
    }

    /// The rootless mode: every managed path lies below `root`, which is created when it is needed, and nothing is
    /// given to another user.
    pub fn rootless(root: impl Into<PathBuf>, state_dir: &Path) -> Self {
        Self { root: Some(root.into()), ..Self::system(state_dir) }
    }
}

impl Host for LinuxHost {
    fn stat(&self, path: &Path) -> Result<Option<FileStat>, HostError> {
        files::stat(self.root.as_deref(), path)
    }

    fn digest(&self, path: &Path, max_bytes: u64) -> Result<Option<Digest>, HostError> {
        files::digest(self.root.as_deref(), path, max_bytes)
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
