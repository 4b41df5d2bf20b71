//! What a person can ask on the machine itself: `muster-supervisor list`, `describe`, `logs`, `upgrade`, and the plain verbs.

mod table;
mod verbs;

mod logs;

pub use logs::{LogsArguments, logs};

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_supervisor_protocol::{Client, ClientError, Request};

pub use verbs::{Deed, describe, perform};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Talking to the supervisor failed.
    #[error("no answer from the supervisor (is it running with this --state-dir?)")]
    Client(#[source] ClientError),
    /// The supervisor goes on as it was.
    #[error("the supervisor was not upgraded: {0}")]
    NotUpgraded(String),
    /// There is no such application.
    #[error("there is no application {name:?}; {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Those there are.
        known: String,
    },
    /// The supervisor refused.
    #[error("{0}")]
    Refused(String),
    /// It was done, and what was started does not work.
    #[error("{reason}{}", last_lines(last_stderr))]
    Failed {
        /// Why.
        reason: String,
        /// What it wrote last.
        last_stderr: Vec<String>,
    },
    /// Nobody says whether the machine is going down.
    #[error("systemctl cannot be asked whether this machine is going down")]
    System(#[source] io::Error),
    /// Standard output failed.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
}

fn last_lines(lines: &[String]) -> String {
    match lines {
        [] => String::new(),
        lines => format!("; last lines of its stderr:\n  {}", lines.join("\n  ")),
    }
}

/// Prints what runs.
pub async fn list(state_dir: &Path) -> Result<(), CommandError> {
    let mut client = connect(state_dir).await?;
    let apps = client.list().await.map_err(CommandError::Client)?;
    print(&table::list(&apps))
}

/// How long the upgraded supervisor may take to answer.
const UPGRADE_LIMIT: Duration = Duration::from_secs(30);

/// Replaces the supervisor in place and waits until the new one answers.
pub async fn upgrade(state_dir: &Path, binary: Option<PathBuf>) -> Result<(), CommandError> {
    let mut client = connect(state_dir).await?;
    let before = client.ping().await.map_err(CommandError::Client)?;
    let binary = binary.map(|path| path.to_string_lossy().into_owned());
    client.upgrade(binary).await.map_err(|error| match error {
        ClientError::Refused { message, .. } => CommandError::NotUpgraded(message),
        other => CommandError::Client(other),
    })?;
    let answers = async {
        let mut client = connect(state_dir).await?;
        client.ping().await.map_err(CommandError::Client)
    };
    let after = tokio::time::timeout(UPGRADE_LIMIT, answers)
        .await
        .map_err(|_| CommandError::NotUpgraded("it does not answer any more; see its log".to_owned()))??;
    if after.upgrades == before.upgrades {
        return Err(CommandError::NotUpgraded("it was restarted instead; see its log".to_owned()));
    }
    print(&format!("version {} took over from {} (pid {})\n", after.version, before.version, after.pid))
}

/// What `systemctl is-system-running` says from the moment on in which the machine goes down.
const GOING_DOWN: &str = "stopping";

/// Stops every application if the machine is going down. systemd ends services when it goes down and when somebody
/// restarts them, and only in the first case applications shall end with their supervisor.
pub async fn stop_with_system(state_dir: &Path) -> Result<(), CommandError> {
    let asked = tokio::process::Command::new("systemctl").arg("is-system-running").output().await;
    let state = asked.map_err(CommandError::System)?.stdout;
    if String::from_utf8_lossy(&state).trim() != GOING_DOWN {
        return Ok(());
    }
    let mut client = connect(state_dir).await?;
    client.carry_out(&Request::Shutdown).await.map_err(CommandError::Client)
}

async fn connect(state_dir: &Path) -> Result<Client, CommandError> {
    Client::connect(state_dir.join("supervisor.sock")).await.map_err(CommandError::Client)
}

fn print(text: &str) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // `... | head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(CommandError::Output),
    }
}
