//! What a person can ask on the machine itself: `muster-supervisor list`, `logs` and `upgrade`.

mod logs;

pub use logs::{LogsArguments, logs};

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_supervisor_protocol::{AppStatus, Client, ClientError};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Talking to the supervisor failed.
    #[error("no answer from the supervisor (is it running with this --state-dir?)")]
    Client(#[source] ClientError),
    /// The supervisor goes on as it was.
    #[error("the supervisor was not upgraded: {0}")]
    NotUpgraded(String),
    /// The supervisor does not know an application.
    #[error("there is no application {name:?}; there are {known:?}")]
    UnknownApp {
        /// Its name.
        name: String,
        /// Those it knows.
        known: Vec<String>,
    },
    /// Standard output failed.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
}

/// Prints what runs.
pub async fn list(state_dir: &Path) -> Result<(), CommandError> {
    let mut client = connect(state_dir).await?;
    let apps = client.list().await.map_err(CommandError::Client)?;
    print(&table(&apps))
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

fn table(apps: &[AppStatus]) -> String {
    let header = [
        "APPLICATION",
        "RELEASE",
        "INSTANCE",
        "STATE",
        "PID",
        "UPTIME",
        "RESTARTS",
        "CPU %",
        "MEMORY MB",
        "LISTENING",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for app in apps {
        let listening = app.listening.join(", ");
        if app.instances.is_empty() {
            let state = if app.awaiting_apply { "waits for the agent" } else { "not running" };
            rows.push(
                [&app.name, &app.release, "-", state, "-", "-", "-", "-", "-", &listening]
                    .map(str::to_owned)
                    .to_vec(),
            );
        }
        for instance in &app.instances {
            #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
            let megabytes = instance.memory_bytes as f64 / 1_048_576.0;
            rows.push(vec![
                app.name.clone(),
                instance.release.clone(),
                instance.index.to_string(),
                instance.state.to_string(),
                instance.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
                uptime(instance.uptime_ms),
                instance.restarts.to_string(),
                format!("{:.1}", instance.cpu_percent),
                format!("{megabytes:.1}"),
                listening.clone(),
            ]);
        }
    }
    let widths: Vec<usize> =
        (0..header.len()).map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn uptime(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0..=59 => format!("{seconds}s"),
        60..=3_599 => format!("{}m{}s", seconds / 60, seconds % 60),
        3_600..=86_399 => format!("{}h{}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}
