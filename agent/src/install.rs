//! Installing an agent on a host that systemd runs: programs, units, start. Also how an upgrade ends.
//!
//! It may be repeated at any time: what is in place stays and what is missing comes, so a broken-off installation is
//! mended by another one. Applications notice nothing: the supervisor is upgraded in place by the new agent, or leaves
//! what it has to its keeper. A new build whose agent does not come back is taken out of use again.
//!
//! Start here: [`Installer::install`]; [`layout`] says where everything lies, [`units`] why the units are as they are.

pub mod layout;
pub mod membership;
pub mod release;
pub mod systemd;
#[cfg(test)]
mod tests;
pub mod units;

use crate::config::StateDir;
use crate::notify::CONNECTED;
use layout::Layout;
use muster_supervisor_protocol::Client;
use release::{Build, PlaceError};
use rustix::process::{Pid, Signal};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use systemd::{UnitError, Units};
use tokio::time::Instant;
use units::{AGENT, SUPERVISOR};

/// How often it is looked whether something has happened.
const LOOK: Duration = Duration::from_millis(100);

/// How long a supervisor may take to leave everything to its keeper.
const LEAVE_PATIENCE: Duration = Duration::from_secs(30);

/// How long a supervisor may take until it answers.
const ANSWER_PATIENCE: Duration = Duration::from_secs(20);

/// Why an agent was not installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Somebody else would have to do it.
    #[error("installing needs root: run it with sudo")]
    NotRoot,
    /// There is nobody who would keep the agent running.
    #[error(
        "systemd does not run here, and the agent is installed as units of systemd; `muster-agent join --rootless` and `muster-agent run` do without"
    )]
    NoSystemd,
    /// The folder cannot be named in a unit.
    #[error("the state folder {} has characters in its path that units of systemd cannot hold; choose a plain one", .0.display())]
    StateDir(PathBuf),
    /// An agent runs that systemd does not know.
    #[error("an agent that is no unit of systemd runs here with the state folder {}; stop it first", .0.display())]
    Stray(PathBuf),
    /// Files could not be put in place.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Something else about files.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// systemd refused.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// A supervisor that was started by hand does not make room for the unit.
    #[error("the supervisor with pid {pid}, which is no unit of systemd, did not end within {} s", LEAVE_PATIENCE.as_secs())]
    Stays {
        /// Its process.
        pid: u32,
    },
    /// The supervisor's unit was started, and that is all that is known of it.
    #[error("{SUPERVISOR} was started and does not answer; `systemctl status {SUPERVISOR}` says more")]
    NoAnswer,
    /// The new agent does not run, or does not find its controller.
    #[error("the new agent {reason}; `journalctl -u muster-agent` says more")]
    NotBack {
        /// What it does.
        reason: String,
    },
    /// The same, and the build before is in use again.
    #[error("{because}. The build before, {former}, is in use again")]
    Reverted {
        /// The build that is in use.
        former: String,
        /// Why.
        because: Box<InstallError>,
    },
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> InstallError {
    let path = path.to_owned();
    move |source| InstallError::Io { action, path, source }
}

/// How an installation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The build in use.
    pub build: String,
    /// Whether anything had to be done.
    pub changed: bool,
    /// Whether the agent has reached its controller.
    pub connected: bool,
}

/// Installs on one machine.
pub struct Installer<'a> {
    /// Where things lie.
    pub layout: &'a Layout,
    /// The state of the agent.
    pub state: &'a StateDir,
    /// The machine's units.
    pub units: &'a dyn Units,
    /// How long the agent may take to reach its controller.
    pub patience: Duration,
}

/// What was in use before, for going back.
struct Former {
    build: Option<String>,
    units: Vec<(&'static str, Option<Vec<u8>>)>,
    connected: bool,
}

impl Installer<'_> {
    /// What has to be so before anything is touched; also before joining, which spends a token. Answers what is in `folder`.
    pub fn require(&self, folder: &Path) -> Result<Build, InstallError> {
        if !self.layout.systemd_runs() {
            return Err(InstallError::NoSystemd);
        }
        if !units::plain(self.state.root()) {
            return Err(InstallError::StateDir(self.state.root().to_owned()));
        }
        self.refuse_strays()?;
        let build = Build::read(folder)?;
        build.require_room(self.layout)?;
        Ok(build)
    }

    /// Puts the programs that lie in `folder` in place and lets them run. With `new_identity` the agent begins anew in any
    /// case.
    pub async fn install(&self, folder: &Path, new_identity: bool) -> Result<Installed, InstallError> {
        let build = self.require(folder)?;
        let name = build.name();
        let former = self.former()?;
        build.place(self.layout)?;
        let new_build = former.build.as_ref() != Some(&name);
        release::switch(self.layout, &name)?;
        let ran = self.units.show(AGENT)?;
        // An installation that was broken off before the end has left the former one running.
        let of_another_build = self.units.program(ran.main_pid).is_some_and(|program| {
            program.parent().and_then(Path::file_name) != Some(std::ffi::OsStr::new(&name))
        });
        let changed = self.write_units()?;
        let restart =
            new_build || new_identity || changed.contains(&AGENT) || !ran.runs() || of_another_build;
        let started = self.start(&changed, restart, former.connected).await;
        match (started, former.build.clone()) {
            (Ok(connected), _) => {
                release::prune(self.layout).map_err(failed("tidy", &self.layout.library()))?;
                let changed = restart || !changed.is_empty();
                Ok(Installed { build: name, changed, connected })
            }
            // The same build with other units, or an identity that does not work: going back would mend nothing.
            (Err(error), Some(before)) if new_build => Err(self.revert(former, before, error)),
            (Err(error), _) => Err(error),
        }
    }

    /// One agent with this state folder; one that is no unit would neither be stopped nor started by us.
    fn refuse_strays(&self) -> Result<(), InstallError> {
        use crate::lock::{AgentLock, LockError};
        // While there is no folder there is no agent. The lock file must not make the folder look used.
        if !self.state.lock().exists() {
            return Ok(());
        }
        match AgentLock::take(&self.state.lock()) {
            Err(LockError::Taken { .. }) if self.units.show(AGENT)?.main_pid == 0 => {
                Err(InstallError::Stray(self.state.root().to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn former(&self) -> Result<Former, InstallError> {
        let mut texts = Vec::new();
        for (name, _) in units::all(self.state.root()) {
            let path = self.layout.unit(name);
            texts.push((name, crate::durable::read(&path).map_err(failed("read", &path))?));
        }
        let agent = self.units.show(AGENT)?;
        Ok(Former {
            build: Layout::target(&self.layout.current()),
            units: texts,
            connected: agent.runs() && agent.status.starts_with(CONNECTED),
        })
    }

    /// Writes the units and says which are new.
    fn write_units(&self) -> Result<Vec<&'static str>, InstallError> {
        let mut changed = Vec::new();
        for (name, text) in units::all(self.state.root()) {
            let path = self.layout.unit(name);
            let there = crate::durable::read(&path).map_err(failed("read", &path))?;
            if there.as_deref() == Some(text.as_bytes()) {
                continue;
            }
            if there.is_some_and(|there| !there.starts_with(units::MARK.as_bytes())) {
                // Somebody's own: kept, out of the way.
                let kept = path.with_extension("service.replaced");
                std::fs::rename(&path, &kept).map_err(failed("set aside", &path))?;
                tracing::warn!("{} was not ours and is now {}", path.display(), kept.display());
            }
            write_public(&path, text.as_bytes()).map_err(failed("write", &path))?;
            changed.push(name);
        }
        Ok(changed)
    }

    /// Lets systemd run both. Answers whether the agent has reached its controller.
    async fn start(
        &self,
        changed: &[&'static str],
        restart: bool,
        must_connect: bool,
    ) -> Result<bool, InstallError> {
        if !changed.is_empty() {
            self.units.ask(&["daemon-reload"])?;
        }
        self.units.ask(&["enable", "--quiet", SUPERVISOR, AGENT])?;
        self.start_supervisor(changed.contains(&SUPERVISOR)).await?;
        if restart {
            let back = self.units.ask(&["restart", AGENT]);
            back.map_err(|error| InstallError::NotBack { reason: format!("does not start: {error}") })?;
        }
        self.await_connection(must_connect).await
    }

    /// The supervisor becomes a unit of its own, if it is not yet; applications stay as they are.
    async fn start_supervisor(&self, changed: bool) -> Result<(), InstallError> {
        let unit = self.units.show(SUPERVISOR)?;
        match self.supervisor_pid().await {
            Some(pid) if pid == unit.main_pid => {
                if changed {
                    self.units.ask(&["restart", SUPERVISOR])?;
                }
            }
            Some(pid) => {
                // Started by an agent or a person. The agent would start it again in the moment between.
                self.units.ask(&["stop", AGENT])?;
                self.dismiss(pid).await?;
                self.units.ask(&["start", SUPERVISOR])?;
            }
            None => self.units.ask(&["start", SUPERVISOR])?,
        }
        let deadline = Instant::now() + ANSWER_PATIENCE;
        while self.supervisor_pid().await.is_none() {
            if Instant::now() >= deadline {
                return Err(InstallError::NoAnswer);
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    async fn supervisor_pid(&self) -> Option<u32> {
        let mut client = Client::connect(self.state.supervisor_socket()).await.ok()?;
        let asked = tokio::time::timeout(Duration::from_secs(5), client.ping());
        Some(asked.await.ok()?.ok()?.pid)
    }

    /// Ends a supervisor without its applications, and waits until it is gone. (One of a build that does not know the
    /// signal is ended by it, with which applications fare as well.)
    async fn dismiss(&self, pid: u32) -> Result<(), InstallError> {
        let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let Some(process) = process else { return Ok(()) };
        match rustix::process::kill_process(process, Signal::USR2) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(errno) => return Err(failed("end the supervisor of", self.state.root())(errno.into())),
        }
        let deadline = Instant::now() + LEAVE_PATIENCE;
        while rustix::process::test_kill_process(process).is_ok() {
            if Instant::now() >= deadline {
                return Err(InstallError::Stays { pid });
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    async fn await_connection(&self, required: bool) -> Result<bool, InstallError> {
        let deadline = Instant::now() + self.patience;
        loop {
            let state = self.units.show(AGENT)?;
            if state.runs() && state.status.starts_with(CONNECTED) {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                let reason = match (state.runs(), state.status.is_empty()) {
                    (false, _) => format!("does not stay up ({})", state.active),
                    (true, true) => "does not reach the controller".to_owned(),
                    (true, false) => format!("does not reach the controller ({})", state.status),
                };
                if required || !state.runs() {
                    return Err(InstallError::NotBack { reason });
                }
                tracing::warn!("the agent runs, and {reason} yet");
                return Ok(false);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Takes the former build into use again. What fails about that is told with the reason for it.
    fn revert(&self, former: Former, build: String, because: InstallError) -> InstallError {
        let restored = (|| {
            release::switch(self.layout, &build)?;
            for (name, text) in former.units {
                let path = self.layout.unit(name);
                match text {
                    Some(text) => write_public(&path, &text).map_err(failed("write", &path))?,
                    None => crate::durable::remove(&path).map_err(failed("remove", &path))?,
                }
            }
            self.units.ask(&["daemon-reload"])?;
            self.units.ask(&["restart", AGENT])?;
            Ok::<_, InstallError>(())
        })();
        match restored {
            Ok(()) => InstallError::Reverted { former: build, because: Box::new(because) },
            Err(error) => {
                tracing::error!("the build before could not be taken into use again: {error}");
                because
            }
        }
    }
}

/// Writes a file that everybody may read, whole or not at all.
fn write_public(path: &Path, content: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    crate::durable::remove(&new)?;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&new)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}
