//! Taking the agent off a host: first what there is, in numbers, then what was asked for.
//!
//! What was configured on the host (packages, users, files, the firewall) stays as it is: that is the host by now. The
//! applications stay or go, as asked. They stay under their supervisor, which keeps restarting them as before.
//!
//! Start here: [`Inventory::take`], then [`Uninstaller`].

mod inventory;
#[cfg(test)]
mod tests;

pub use inventory::{Application, Inventory};

use crate::config::StateDir;
use crate::install::layout::Layout;
use crate::install::systemd::{UnitError, Units};
use crate::install::units::{AGENT, SUPERVISOR};
use muster_supervisor_protocol::{Client, ClientError, Request};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Applications end within their own times, one after the other at worst; beyond this something hangs.
const END_PATIENCE: Duration = Duration::from_secs(600);

/// What becomes of the applications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applications {
    /// They go on under their supervisor; that, and what it needs, stays.
    Keep,
    /// They are stopped and deleted, and nothing stays.
    Remove,
}

/// Why something is left.
#[derive(Debug, thiserror::Error)]
pub enum UninstallError {
    /// An agent runs that systemd does not know.
    #[error("an agent that is no unit of systemd runs with the state folder {}; stop it first", .0.display())]
    Stray(PathBuf),
    /// Nothing of an agent is in the folder, so it is not for us to delete.
    #[error("{} does not look like the state folder of an agent; nothing was removed", .0.display())]
    NotOurs(PathBuf),
    /// systemd refused.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// Applications did not end.
    #[error("the applications could not be stopped, so nothing was removed: {0}")]
    Applications(String),
    /// Some files stay.
    #[error("{} could not be removed: {source}", path.display())]
    Left {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Uninstalls on one machine.
pub struct Uninstaller<'a> {
    /// Where things lie.
    pub layout: &'a Layout,
    /// The state of the agent.
    pub state: &'a StateDir,
    /// The machine's units.
    pub units: &'a dyn Units,
}

impl Uninstaller<'_> {
    /// Does it. What can be done is done: answers everything that could not be.
    pub async fn uninstall(&self, applications: Applications) -> Result<Vec<UninstallError>, UninstallError> {
        self.refuse_strays()?;
        if self.state.root().exists() && !self.looks_ours() {
            return Err(UninstallError::NotOurs(self.state.root().to_owned()));
        }
        // First the agent: it would start again what is stopped here.
        self.end_unit(AGENT)?;
        let mut left = Vec::new();
        match applications {
            Applications::Keep => {
                self.remove_units(&[AGENT], &mut left)?;
                for path in
                    [self.state.enrolment(), self.state.identity(), self.state.ledger(), self.state.lock()]
                {
                    remove(&path, &mut left);
                }
            }
            Applications::Remove => {
                self.end_applications().await?;
                self.end_unit(SUPERVISOR)?;
                self.remove_units(&[AGENT, SUPERVISOR], &mut left)?;
                // Holds the groups of applications with limits, which are empty by now.
                self.units.ask(&["stop", "muster.slice"])?;
                for path in self.links() {
                    remove(&path, &mut left);
                }
                remove(&self.layout.library(), &mut left);
                remove(self.state.root(), &mut left);
            }
        }
        Ok(left)
    }

    fn refuse_strays(&self) -> Result<(), UninstallError> {
        use crate::lock::{AgentLock, LockError};
        if !self.state.lock().exists() {
            return Ok(());
        }
        match AgentLock::take(&self.state.lock()) {
            Err(LockError::Taken { .. }) if self.units.show(AGENT)?.main_pid == 0 => {
                Err(UninstallError::Stray(self.state.root().to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// A slip in `--state-dir` must not cost somebody a folder of their own.
    fn looks_ours(&self) -> bool {
        let state = self.state;
        let signs =
            [state.enrolment(), state.identity(), state.ledger(), state.supervisor(), state.applications()];
        signs.iter().any(|sign| sign.exists())
    }

    fn end_unit(&self, unit: &str) -> Result<(), UninstallError> {
        if self.layout.unit(unit).exists() {
            self.units.ask(&["disable", "--quiet", "--now", unit])?;
        }
        Ok(())
    }

    fn remove_units(&self, names: &[&str], left: &mut Vec<UninstallError>) -> Result<(), UninstallError> {
        for name in names {
            remove(&self.layout.unit(name), left);
        }
        self.units.ask(&["daemon-reload"])?;
        Ok(())
    }

    /// Stops every application as it wants to be stopped. Without a supervisor there is none.
    async fn end_applications(&self) -> Result<(), UninstallError> {
        let mut client = match Client::connect(self.state.supervisor_socket()).await {
            Ok(client) => client,
            Err(ClientError::Connect { .. }) => return Ok(()),
            Err(error) => return Err(UninstallError::Applications(crate::chain(&error))),
        };
        match tokio::time::timeout(END_PATIENCE, client.carry_out(&Request::Shutdown)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(UninstallError::Applications(crate::chain(&error))),
            Err(_) => Err(UninstallError::Applications(format!(
                "they did not end within {} minutes",
                END_PATIENCE.as_secs() / 60
            ))),
        }
    }

    /// What we put into the folder of commands, and nobody replaced since.
    fn links(&self) -> Vec<PathBuf> {
        let ours = |path: &PathBuf| {
            std::fs::read_link(path).is_ok_and(|target| target.starts_with("../lib/muster/current"))
        };
        inventory::commands(self.layout).into_iter().filter(ours).collect()
    }
}

/// Removes a file, a link or a folder; links are not followed.
fn remove(path: &Path, left: &mut Vec<UninstallError>) {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            left.push(UninstallError::Left { path: path.to_owned(), source });
        }
        _ => {}
    }
}
