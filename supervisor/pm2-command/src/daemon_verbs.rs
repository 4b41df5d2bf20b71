//! Verbs about the supervisor itself: `ping`, `kill`, `update`, and its log files.

use std::fs::{self, OpenOptions};
use std::time::{Duration, Instant};

use muster_supervisor_protocol::{Client, Request};

use crate::context::refused;
use crate::operate::{done_with, show};
use crate::record::log_path;
use crate::snapshot::Snapshot;
use crate::{Context, Failure, daemon, words};

/// How long an upgraded supervisor may take to answer.
const UPGRADE_LIMIT: Duration = Duration::from_secs(30);
/// How long the socket may outlive the last answer.
const END_LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// `pm2 ping`.
pub(crate) async fn ping(context: &Context) -> Result<(), Failure> {
    let mut client = context.connect().await?;
    client.ping().await.map_err(refused)?;
    context.output.line("{ msg: 'pong' }");
    Ok(())
}

/// `pm2 kill`.
pub(crate) async fn kill(context: &Context) -> Result<(), Failure> {
    if let Some(mut client) = context.connect_running().await {
        let snapshot = Snapshot::take(&mut client).await?;
        if snapshot.processes.is_empty() {
            context
                .output
                .error_line(format!("{}No process found", context.output.style.yellow("[PM2][WARN] ")));
        } else {
            let ids: Vec<u32> = snapshot.processes.iter().map(|process| process.id()).collect();
            context
                .output
                .message(format!("Applying action deleteProcessId on app [all](ids: {})", words::ids(&ids)));
        }
        shut_down(context, client).await?;
        for process in &snapshot.processes {
            done_with(context, process);
        }
    }
    context.output.message("[v] All Applications Stopped");
    context.output.message("[v] PM2 Daemon Stopped");
    Ok(())
}

/// Ends everything and waits until the supervisor is gone.
pub(crate) async fn shut_down(context: &Context, mut client: Client) -> Result<(), Failure> {
    client.carry_out(&Request::Shutdown).await.map_err(refused)?;
    let deadline = Instant::now() + END_LIMIT;
    // The socket goes last.
    while context.home.socket().exists() && Instant::now() < deadline {
        tokio::time::sleep(PAUSE).await;
    }
    match fs::remove_file(context.home.daemon_pid()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::new(format!("{}: {error}", context.home.daemon_pid().display())))
        }
        _ => Ok(()),
    }
}

/// `pm2 update`: the supervisor beside this program takes over from the one that runs, and applications notice nothing.
pub(crate) async fn update(context: &Context) -> Result<(), Failure> {
    let Some(mut client) = context.connect_running().await else {
        let mut client = context.connect().await?;
        return show(context, &mut client).await;
    };
    let before = client.ping().await.map_err(refused)?;
    let binary = crate::program::supervisor()?;
    client.upgrade(Some(binary.to_string_lossy().into_owned())).await.map_err(refused)?;
    let deadline = Instant::now() + UPGRADE_LIMIT;
    let (mut client, after) = loop {
        if let Ok(mut client) = Client::connect(context.home.socket()).await
            && let Ok(pong) = client.ping().await
        {
            break (client, pong);
        }
        if Instant::now() >= deadline {
            return Err(Failure::new("the daemon does not answer since it was updated")
                .hint(format!("its log is {}", context.home.daemon_log().display())));
        }
        tokio::time::sleep(PAUSE).await;
    };
    daemon::write_pid(&context.home, after.pid)?;
    if after.upgrades == before.upgrades {
        return Err(Failure::new("the daemon was restarted instead of updated")
            .hint(format!("its log is {}", context.home.daemon_log().display())));
    }
    let style = context.output.style;
    context.output.line(style.paint(
        &[crate::style::Code::Blue, crate::style::Code::Bold],
        &format!(">>>>>>>>>> PM2 updated ({} -> {})", before.version, after.version),
    ));
    show(context, &mut client).await
}

/// `pm2 flush [name|id]`.
pub(crate) async fn flush(context: &Context, selector: Option<&str>) -> Result<(), Failure> {
    let mut client = context.connect().await?;
    if selector.is_none() {
        let log = context.home.daemon_log();
        context.output.message(format!("Flushing {}", log.display()));
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&log)
            .map_err(|error| Failure::new(format!("{}: {error}", log.display())))?;
    }
    let snapshot = Snapshot::take(&mut client).await?;
    let meant: Vec<_> = (snapshot.processes.iter())
        .filter(|process| {
            selector.is_none_or(|selector| process.name == selector || process.id().to_string() == selector)
        })
        .collect();
    let mut flushed: Vec<&str> = Vec::new();
    for process in &meant {
        context.output.message("Flushing:");
        if let Some(spec) = snapshot.specs.get(&process.name) {
            let logs = &spec.logs;
            for file in [&logs.out_file, &logs.error_file, &logs.log_file] {
                if let Some(path) = log_path(file, process.id(), logs.merge) {
                    context.output.message(path);
                }
            }
        }
        if !flushed.contains(&process.name.as_str()) {
            flushed.push(&process.name);
            let request = Request::FlushLogs { app: Some(process.name.clone()) };
            client.carry_out(&request).await.map_err(refused)?;
        }
    }
    context.output.message("Logs flushed");
    Ok(())
}

/// `pm2 reloadLogs`.
pub(crate) async fn reload_logs(context: &Context) -> Result<(), Failure> {
    context.output.line("Reloading all logs...");
    let mut client = context.connect().await?;
    client.carry_out(&Request::ReopenLogs).await.map_err(refused)?;
    context.output.line("All logs reloaded");
    Ok(())
}
