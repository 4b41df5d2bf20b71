//! Applications, environments and processes.

use chrono::{DateTime, Utc};
use muster_api_types::{ApplicationDetail, ApplicationSummary, EnvironmentSummary, Process, ProcessState};

use crate::arguments::{Application, Ps};
use crate::client::Client;
use crate::failure::Result;
use crate::format::{age, bytes, safe, word};
use crate::output::{Output, Tone};
use crate::table::{Cell, Table};

pub(super) async fn environment_list(output: &Output, client: &Client) -> Result<()> {
    let environments: Vec<EnvironmentSummary> = client.list(&["environments"], &[]).await?;
    if output.json() {
        return output.object(&environments);
    }
    let mut table = Table::new(&["NAME", ">NODES", ">UP", ">CONVERGED"]);
    for environment in &environments {
        let of_all = |count: u32| {
            let tone = if count < environment.node_count { Tone::Warning } else { Tone::Plain };
            Cell::tone(count.to_string(), tone)
        };
        table.row([
            environment.name.as_str().into(),
            environment.node_count.to_string().into(),
            of_all(environment.node_up_count),
            of_all(environment.node_converged_count),
        ]);
    }
    output.table(&table, "there are no environments; declare one in a fleet file and run `muster apply`")
}

pub(super) async fn run(output: &Output, client: &Client, command: Application) -> Result<()> {
    match command {
        Application::List => {
            let applications: Vec<ApplicationSummary> = client.list(&["applications"], &[]).await?;
            if output.json() {
                return output.object(&applications);
            }
            output.table(
                &application_table(&applications),
                "there are no applications; declare one in a fleet file and run `muster apply`",
            )
        }
        Application::Show { name } => {
            let detail: ApplicationDetail = client.get(&["applications", &name], &[]).await?;
            if output.json() {
                return output.object(&detail);
            }
            output.table(&application_table(std::slice::from_ref(&detail.summary)), "")?;
            output.line("")?;
            output.table(&process_table(&detail.processes, Utc::now()), "it has no processes")
        }
        Application::History(command) => super::history::history(output, client, command).await,
    }
}

fn application_table(applications: &[ApplicationSummary]) -> Table {
    let mut table = Table::new(&[
        "APPLICATION",
        "ENVIRONMENT",
        "RELEASE",
        ">READY",
        "NODES",
        ">RELEASES",
        "NEWEST",
        "NOTE",
    ]);
    for application in applications {
        let releases = Cell::new(application.release_count.to_string());
        let newest = Cell::maybe(application.latest_release.clone());
        if application.environments.is_empty() {
            let note = if application.declared { "" } else { "not declared any more" };
            let none = || Cell::maybe(None::<String>);
            table.row([
                application.name.as_str().into(),
                none(),
                none(),
                none(),
                none(),
                releases,
                newest,
                note.into(),
            ]);
            continue;
        }
        for environment in &application.environments {
            let tone = if environment.process_ready_count < environment.process_count {
                Tone::Warning
            } else {
                Tone::Plain
            };
            table.row([
                application.name.as_str().into(),
                environment.environment.as_str().into(),
                Cell::maybe(environment.release.clone()),
                Cell::tone(
                    format!("{}/{}", environment.process_ready_count, environment.process_count),
                    tone,
                ),
                environment.nodes.join(", ").into(),
                releases.clone(),
                newest.clone(),
                Cell::tone(if environment.active_rollout.is_some() { "rollout" } else { "" }, Tone::Warning),
            ]);
        }
    }
    table
}

pub(super) async fn ps(output: &Output, client: &Client, command: Ps) -> Result<()> {
    let query = [
        ("application", command.application.or(command.name)),
        ("environment", command.environment),
        ("node", command.node),
    ];
    let processes: Vec<Process> = client.list(&["processes"], &query).await?;
    if output.json() {
        return output.object(&processes);
    }
    output.table(&process_table(&processes, Utc::now()), "no processes")
}

pub(super) fn process_table(processes: &[Process], now: DateTime<Utc>) -> Table {
    let mut table = Table::new(&[
        "APPLICATION",
        "ENVIRONMENT",
        "NODE",
        ">#",
        "RELEASE",
        "STATE",
        ">PID",
        ">RESTARTS",
        "UP",
        ">CPU",
        ">MEMORY",
        "LAST EXIT",
    ]);
    for process in processes {
        let tone = match process.state {
            ProcessState::Ready => Tone::Good,
            ProcessState::Starting | ProcessState::BackingOff | ProcessState::Stopping => Tone::Warning,
            ProcessState::CrashLooping => Tone::Bad,
            ProcessState::Stopped => Tone::Quiet,
        };
        let running = process.pid.is_some();
        table.row([
            process.application.as_str().into(),
            process.environment.as_str().into(),
            process.node.as_str().into(),
            process.instance.to_string().into(),
            Cell::maybe(process.release.clone()),
            Cell::tone(word(&process.state), tone),
            Cell::maybe(process.pid.map(|pid| pid.to_string())),
            restarts(process).into(),
            Cell::maybe(process.started_at.filter(|_| running).map(|at| age(at, now))),
            Cell::maybe(running.then(|| format!("{:.1} %", process.cpu_percent))),
            Cell::maybe(running.then(|| bytes(process.memory_bytes))),
            note(process).into(),
        ]);
    }
    table
}

/// `16 (3 early)`: early exits are what the supervisor gives up for.
fn restarts(process: &Process) -> String {
    match process.unstable_restarts {
        0 => process.restarts.to_string(),
        early => format!("{} ({early} early)", process.restarts),
    }
}

/// Why the last process ended, and what else a person should know.
fn note(process: &Process) -> String {
    let mut notes: Vec<String> = process.last_exit.iter().cloned().collect();
    notes.extend(process.last_failure.as_ref().map(|failure| format!("last apply failed: {failure}")));
    if process.dropped_log_lines > 0 {
        notes.push(format!("{} log lines dropped", process.dropped_log_lines));
    }
    safe(&notes.join("; "), false)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn processes_read_at_a_glance() {
        let ready: Process = serde_json::from_value(json!({
            "node": "app-1", "environment": "production", "application": "web", "instance": 0, "release": "v1.2.3",
            "state": "ready", "pid": 4242, "restarts": 0, "started_at": "2026-01-01T00:00:00Z", "cpu_percent": 1.26,
            "memory_bytes": 64_200_000, "last_exit": null, "reported_at": "2026-01-01T00:00:00Z"
        }))
        .unwrap();
        let looping = Process {
            instance: 11,
            state: ProcessState::CrashLooping,
            pid: None,
            restarts: 16,
            unstable_restarts: 3,
            dropped_log_lines: 12,
            last_exit: Some("exit code 1\u{1b}[2J".to_owned()),
            ..ready.clone()
        };
        let now = ready.reported_at + std::time::Duration::from_secs(7200);
        insta::assert_snapshot!(process_table(&[ready, looping], now).render(false, None), @r"
        APPLICATION  ENVIRONMENT  NODE    #  RELEASE  STATE           PID      RESTARTS  UP     CPU   MEMORY  LAST EXIT
        web          production   app-1   0  v1.2.3   ready          4242             0  2 h  1.3 %  64.2 MB
        web          production   app-1  11  v1.2.3   crash looping     -  16 (3 early)  -        -        -  exit code 1[2J; 12 log lines dropped
        ");
    }
}
