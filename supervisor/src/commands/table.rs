//! What runs, as text for people.

use std::fmt::Display;

use chrono::{DateTime, SecondsFormat, Utc};
use muster_supervisor_protocol::{AppStatus, DesiredRun, ExecMode, InstanceStatus};

/// Every instance of every application.
pub(super) fn list(apps: &[AppStatus]) -> String {
    let header = [
        "APPLICATION",
        "RELEASE",
        "ID",
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
                [&app.name, &app.release, "-", "-", state, "-", "-", "-", "-", "-", &listening]
                    .map(str::to_owned)
                    .to_vec(),
            );
        }
        for instance in &app.instances {
            rows.push(vec![
                app.name.clone(),
                instance.release.clone(),
                instance.id.to_string(),
                instance.index.to_string(),
                instance.state.to_string(),
                instance.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
                uptime(instance.uptime_ms),
                instance.restarts.to_string(),
                format!("{:.1}", instance.cpu_percent),
                megabytes(instance.memory_bytes),
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

/// A duration as people say it.
fn uptime(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0..=59 => format!("{seconds}s"),
        60..=3_599 => format!("{}m{}s", seconds / 60, seconds % 60),
        3_600..=86_399 => format!("{}h{}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

fn megabytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let megabytes = bytes as f64 / 1_048_576.0;
    format!("{megabytes:.1}")
}

/// Everything that is known about one application.
pub(super) fn describe(app: &AppStatus) -> String {
    let mut text = String::new();
    let mut line = |indent: &str, name: &str, value: &dyn Display| {
        let value = value.to_string();
        if !value.is_empty() {
            text.push_str(&format!("{indent}{name:<16} {value}\n"));
        }
    };
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    line("", "application", &app.name);
    line("", "namespace", &app.namespace);
    line("", "release", &app.release);
    line("", "spec digest", &app.spec_digest);
    line(
        "",
        "mode",
        &match app.exec_mode {
            ExecMode::Cluster => "cluster",
            ExecMode::Fork => "fork",
        },
    );
    line(
        "",
        "wanted",
        &match (app.awaiting_apply, app.desired) {
            (true, _) => "waits for the agent to apply it",
            (false, DesiredRun::Running) => "running",
            (false, DesiredRun::Stopped) => "stopped",
        },
    );
    line("", "listening", &app.listening.join(", "));
    line("", "next cron restart", &app.next_cron_restart.map(time).unwrap_or_default());
    line("", "files", &if app.watching { "watched" } else { "" });
    line("", "not watched", &app.watch_failure.as_deref().unwrap_or_default());
    line("", "last failure", &app.last_failure.as_deref().unwrap_or_default());
    for instance in &app.instances {
        let InstanceStatus { id, index, .. } = instance;
        line("", &format!("instance {index}"), &instance.state);
        line("  ", "id", id);
        line("  ", "release", &instance.release);
        line("  ", "pid", &instance.pid.map(|pid| pid.to_string()).unwrap_or_default());
        line("  ", "uptime", &uptime(instance.uptime_ms));
        line("  ", "created", &instance.created_at.map(time).unwrap_or_default());
        line("  ", "restarts", &instance.restarts);
        line("  ", "unstable", &instance.unstable_restarts);
        line("  ", "cpu %", &format!("{:.1}", instance.cpu_percent));
        line("  ", "memory MB", &megabytes(instance.memory_bytes));
        line("  ", "limits by", &instance.limits_by.as_deref().unwrap_or_default());
        if instance.dropped_log_lines > 0 {
            line("  ", "log lines lost", &instance.dropped_log_lines);
        }
        for (name, value) in &instance.metrics {
            line("  ", "metric", &format!("{name}: {}", value.get("value").unwrap_or(value)));
        }
        for action in instance.actions.iter().filter_map(|action| action.get("action_name")) {
            line("  ", "action", &action.as_str().unwrap_or_default());
        }
        if let Some(exit) = &instance.last_exit {
            line("  ", "last exit", &format!("{} at {}", exit.reason, time(exit.at)));
            for words in &exit.last_stderr {
                line("    ", "stderr", words);
            }
        }
    }
    text
}
