//! The real runner: a supervisor on a unix socket, started when nobody answers there.
//!
//! It is started in a session of its own and is nobody's child: it outlives the agent, and the next agent finds it by
//! its socket.

use super::renewal::{self, Renewal};
use super::{ApplicationRunner, RunnerError};
use crate::config::StateDir;
use futures_util::future::BoxFuture;
use muster_supervisor_protocol::{
    AppSpec, AppStatus, Applied, Client, ClientError, ErrorCode, LogLine, LogsRequest, Pong, ProcessEvent,
};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;

/// How long a supervisor may take to answer after it was started.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a start that failed is not repeated: everyone who asks meanwhile is told what happened.
const START_PAUSE: Duration = Duration::from_secs(5);

/// How often its socket is tried meanwhile.
const START_POLL: Duration = Duration::from_millis(25);

/// How long a short question may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a replacement in place may take until the successor answers.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(60);

/// Events and lines on their way; more are waited for by the supervisor's own buffers.
const BUFFER: usize = 256;

/// A supervisor on this machine.
#[derive(Debug)]
pub struct SupervisorRunner {
    state: StateDir,
    binary: PathBuf,
    /// The unit of systemd that it is, where it is one.
    unit: Option<String>,
    /// One start at a time; holds what became of the last one that failed.
    failed_start: Mutex<Option<(Instant, RunnerError)>>,
}

impl SupervisorRunner {
    /// The supervisor of a state folder, started from `binary` when it does not run.
    pub fn new(state: StateDir, binary: PathBuf) -> Self {
        Self { state, binary, unit: None, failed_start: Mutex::new(None) }
    }

    /// The same, started by systemd: as a process of ours it would be in our control group, and would be in the way when
    /// systemd starts its own.
    #[must_use]
    pub fn as_unit(self, unit: Option<String>) -> Self {
        Self { unit, ..self }
    }

    /// What a supervisor of this state folder runs, for whoever must not start one.
    pub async fn seen(state: &StateDir) -> Result<Vec<AppStatus>, RunnerError> {
        let client = Client::connect(&state.supervisor_socket()).await;
        let mut client = client.map_err(|_| RunnerError::Unavailable("it does not answer".to_owned()))?;
        within(client.list()).await
    }

    /// A connection; starts the supervisor when nobody answers.
    async fn client(&self) -> Result<Client, RunnerError> {
        let socket = self.state.supervisor_socket();
        if let Ok(client) = Client::connect(&socket).await {
            return Ok(client);
        }
        let mut failed_start = self.failed_start.lock().await;
        if let Ok(client) = Client::connect(&socket).await {
            return Ok(client);
        }
        if let Some((at, error)) = failed_start.as_ref()
            && at.elapsed() < START_PAUSE
        {
            return Err(error.clone());
        }
        match self.start_one(&socket).await {
            Ok(client) => {
                *failed_start = None;
                Ok(client)
            }
            Err(error) => {
                *failed_start = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn start_one(&self, socket: &Path) -> Result<Client, RunnerError> {
        let binary = self.binary.display();
        // `setsid` forks before it finds out.
        if self.binary.is_absolute() && !self.binary.is_file() {
            let reason =
                format!("{binary} does not exist; install it there, or name it with --supervisor-bin");
            return Err(RunnerError::Unavailable(reason));
        }
        match &self.unit {
            Some(unit) => {
                tracing::info!(unit, "no supervisor answers, asking systemd for it");
                let started = start_unit(unit).await;
                started.map_err(|error| {
                    RunnerError::Unavailable(format!("{unit} could not be started: {error}"))
                })?;
            }
            None => {
                tracing::info!(%binary, "no supervisor answers, starting one");
                let spawned = self.spawn().await;
                spawned.map_err(|error| {
                    RunnerError::Unavailable(format!("{binary} could not be started: {error}"))
                })?;
            }
        }
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            match Client::connect(socket).await {
                Ok(client) => return Ok(client),
                Err(_) if Instant::now() >= deadline => {
                    let log = self.log().display().to_string();
                    return Err(RunnerError::Unavailable(format!(
                        "it was started and does not answer; see {log}"
                    )));
                }
                Err(_) => tokio::time::sleep(START_POLL).await,
            }
        }
    }

    /// Asks the supervisor to become the binary that belongs to this agent, unless it is that already.
    async fn replace_in_place(&self) -> Result<Renewal, RunnerError> {
        let socket = self.state.supervisor_socket();
        // One that does not run yet will be started from the right binary.
        let Ok(mut client) = Client::connect(&socket).await else { return Ok(Renewal::Current) };
        let before = within(client.ping()).await?;
        if self.belongs(before.pid).await {
            return Ok(Renewal::Current);
        }
        tracing::info!(binary = %self.binary.display(), version = before.version, "the supervisor is upgraded in place");
        let binary = self.binary.to_string_lossy().into_owned();
        match tokio::time::timeout(RENEWAL_TIMEOUT, client.upgrade(Some(binary))).await {
            Ok(asked) => asked.map_err(translate)?,
            Err(_) => return Err(RunnerError::Unavailable("it did not answer in time".into())),
        }
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let after = match Client::connect(&socket).await {
                Ok(mut client) => within(client.ping()).await.ok(),
                Err(_) => None,
            };
            match after {
                Some(after) if self.belongs(after.pid).await => {
                    return Ok(Renewal::Renewed { from: before.version, to: after.version });
                }
                _ if Instant::now() >= deadline => {
                    let log = self.log().display().to_string();
                    return Err(RunnerError::Unavailable(format!(
                        "it was asked to become {}, and does not answer as that; see {log}",
                        self.binary.display()
                    )));
                }
                _ => tokio::time::sleep(START_POLL).await,
            }
        }
    }

    /// Whether a supervisor runs the binary of this agent. Where that cannot be seen, it is left alone.
    async fn belongs(&self, pid: u32) -> bool {
        if !self.binary.is_absolute() || !self.binary.is_file() {
            return true;
        }
        let binary = self.binary.clone();
        crate::blocking(move || renewal::runs(pid, &binary)).await.unwrap_or_else(|error| {
            tracing::warn!(
                pid,
                "which binary the supervisor runs cannot be seen, so it is not upgraded: {error}"
            );
            true
        })
    }

    fn log(&self) -> PathBuf {
        self.state.supervisor().join("supervisor.log")
    }

    async fn spawn(&self) -> io::Result<()> {
        supervisor_folder(&self.state.supervisor())?;
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(self.log())?;
        // `setsid --fork` gives it a session of its own and lets the system adopt it at once.
        let status = Command::new("setsid")
            .arg("--fork")
            .arg(&self.binary)
            .arg("run")
            .arg("--state-dir")
            .arg(self.state.supervisor())
            // It writes and rotates its own log; the pipes below are for what comes before or beside it, such as a panic.
            .arg("--log-file")
            .arg(self.log())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .status()
            .await?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("setsid ended with {status}"))) }
    }
}

/// Returns when systemd has started it, also when it was about to anyway.
async fn start_unit(unit: &str) -> io::Result<()> {
    let output = Command::new("systemctl").arg("start").arg(unit).stdin(Stdio::null()).output().await?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("systemctl failed");
    Err(io::Error::other(said.to_owned()))
}

/// Others may pass, not look: processes that run as another user load the supervisor's hook from here, without which
/// their connections would be cut at each replacement.
fn supervisor_folder(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o711).create(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o711))
}

fn translate(error: ClientError) -> RunnerError {
    match error {
        ClientError::Refused { code: ErrorCode::ShuttingDown, message } => RunnerError::Unavailable(message),
        ClientError::Refused { message, .. } => RunnerError::Refused(message),
        ClientError::RequestTooLarge { .. } => RunnerError::Refused(error.to_string()),
        other => RunnerError::Unavailable(crate::chain(&other)),
    }
}

impl ApplicationRunner for SupervisorRunner {
    fn list(&self) -> BoxFuture<'_, Result<Vec<AppStatus>, RunnerError>> {
        Box::pin(async {
            let mut client = self.client().await?;
            within(client.list()).await
        })
    }

    fn apply(&self, spec: AppSpec) -> BoxFuture<'_, Result<Applied, RunnerError>> {
        Box::pin(async move {
            let mut client = self.client().await?;
            let app = spec.name.clone();
            let progress = |progress: muster_supervisor_protocol::Progress| {
                tracing::debug!(application = %app, "{}", progress.message);
            };
            client.apply_with_progress(&spec, progress).await.map_err(translate)
        })
    }

    fn start<'a>(&'a self, app: &'a str) -> BoxFuture<'a, Result<(), RunnerError>> {
        Box::pin(async {
            let mut client = self.client().await?;
            client.start(app).await.map_err(translate)
        })
    }

    fn delete<'a>(&'a self, app: &'a str) -> BoxFuture<'a, Result<(), RunnerError>> {
        Box::pin(async {
            let mut client = self.client().await?;
            client.delete(app).await.map_err(translate)
        })
    }

    fn logs(&self, request: LogsRequest) -> BoxFuture<'_, Result<mpsc::Receiver<LogLine>, RunnerError>> {
        Box::pin(async move {
            let mut stream = self.client().await?.logs(request).await.map_err(translate)?;
            let (sender, receiver) = mpsc::channel(BUFFER);
            tokio::spawn(async move {
                loop {
                    let line = tokio::select! {
                        line = stream.next() => line,
                        () = sender.closed() => return,
                    };
                    let Ok(Some(line)) = line else { return };
                    if sender.send(line).await.is_err() {
                        return;
                    }
                }
            });
            Ok(receiver)
        })
    }

    fn specs(&self) -> BoxFuture<'_, Result<Vec<AppSpec>, RunnerError>> {
        Box::pin(async {
            let mut client = self.client().await?;
            within(client.specs(None)).await
        })
    }

    fn supervisor(&self) -> BoxFuture<'_, Result<Pong, RunnerError>> {
        Box::pin(async {
            let mut client = self.client().await?;
            within(client.ping()).await
        })
    }

    fn renew(&self) -> BoxFuture<'_, Result<Renewal, RunnerError>> {
        Box::pin(self.replace_in_place())
    }

    fn watch(&self) -> BoxFuture<'_, Result<mpsc::Receiver<ProcessEvent>, RunnerError>> {
        Box::pin(async move {
            let mut stream = self.client().await?.watch().await.map_err(translate)?;
            let (sender, receiver) = mpsc::channel(BUFFER);
            tokio::spawn(async move {
                loop {
                    let event = tokio::select! {
                        event = stream.next() => event,
                        () = sender.closed() => return,
                    };
                    let Ok(event) = event else { return };
                    if sender.send(event).await.is_err() {
                        return;
                    }
                }
            });
            Ok(receiver)
        })
    }
}

async fn within<T>(call: impl Future<Output = Result<T, ClientError>>) -> Result<T, RunnerError> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(result) => result.map_err(translate),
        Err(_) => Err(RunnerError::Unavailable("it did not answer in time".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applications_of_other_users_reach_the_hook_in_the_folder_and_see_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("supervisor");
        // As an earlier version made it.
        crate::durable::private_folder(&folder).unwrap();
        supervisor_folder(&folder).unwrap();
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o711);
    }
}
