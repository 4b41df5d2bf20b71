//! Deploying, rolling back, and watching rollouts to their end.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use muster_api_types::{
    Rollout as ApiRollout, RolloutNode, RolloutNodeState, RolloutRollback, RolloutStart, RolloutStatus,
};
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use crate::arguments::{Deploy, Rollback, Rollout, Waiting};
use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::format::{ago, safe, span, word};
use crate::output::{Output, Tone};
use crate::table::{Cell, Table};
use crate::wait::wait_for;

pub(super) async fn deploy(output: &Output, client: &Client, command: Deploy) -> Result<()> {
    let Deploy { application, release, environment, waiting } = command;
    let body = RolloutStart { application, environment, release };
    let rollout: ApiRollout = client.post(&["rollouts"], &body).await?;
    started(output, client, rollout, &waiting).await
}

pub(super) async fn rollback(output: &Output, client: &Client, command: Rollback) -> Result<()> {
    let Rollback { application, environment, release, waiting } = command;
    let body = RolloutRollback { application, environment, release };
    let rollout: ApiRollout = client.post(&["rollouts", "rollback"], &body).await?;
    started(output, client, rollout, &waiting).await
}

async fn started(output: &Output, client: &Client, rollout: ApiRollout, waiting: &Waiting) -> Result<()> {
    output.note(&format!("{}: rollout {}", headline(&rollout), rollout.id));
    if !waiting.wait {
        return if output.json() { output.object(&rollout) } else { output.line(&rollout.id.to_string()) };
    }
    finish(output, client, rollout.id, waiting.timeout, RolloutStatus::Completed).await
}

fn headline(rollout: &ApiRollout) -> String {
    let former = rollout.former_release.as_deref().unwrap_or("nothing");
    format!("{} in {}: {former} -> {}", rollout.application, rollout.environment, rollout.release)
}

/// Follows a rollout to its end and says the truth about it: success is the status that was asked for.
async fn finish(
    output: &Output,
    client: &Client,
    id: Uuid,
    timeout: Duration,
    wanted: RolloutStatus,
) -> Result<()> {
    let text = id.to_string();
    let check = format!("muster rollout show {id}");
    let began = Instant::now();
    let progress = std::cell::RefCell::new(Progress::default());
    let rollout = wait_for(output, timeout, "the rollout", &check, || async {
        let rollout: ApiRollout = client.get(&["rollouts", &text], &[]).await?;
        for (tone, mark, line) in progress.borrow_mut().news(&rollout) {
            output.step(tone, mark, &line);
        }
        Ok(rollout.status.terminal().then_some(rollout))
    })
    .await?;
    if output.json() {
        output.object(&rollout)?;
    }
    let took = span(began.elapsed().as_secs());
    if rollout.status == wanted {
        output.step(
            Tone::Good,
            "✓",
            &format!("{} after {took}: {}", word(&rollout.status), headline(&rollout)),
        );
        return Ok(());
    }
    Err(outcome(&rollout))
}

/// A rollout that ended otherwise than wished.
fn outcome(rollout: &ApiRollout) -> Failure {
    let what = match rollout.status {
        RolloutStatus::Completed => {
            format!("the rollout completed: {} runs {}", rollout.environment, rollout.release)
        }
        RolloutStatus::RolledBack => format!(
            "the rollout failed and was taken back: {} runs {} again",
            rollout.environment,
            rollout.former_release.as_deref().unwrap_or("nothing")
        ),
        RolloutStatus::Aborted => "the rollout was aborted".to_owned(),
        RolloutStatus::Planned | RolloutStatus::Running | RolloutStatus::RollingBack => {
            format!("the rollout is {}", word(&rollout.status))
        }
    };
    let mut message = what;
    if let Some(reason) = &rollout.reason {
        message.push_str(&format!("\n  {}", safe(reason, false)));
    }
    for node in rollout.nodes.iter().filter(|node| node.reason.is_some()) {
        let reason = node.reason.as_deref().unwrap_or_default();
        message.push_str(&format!("\n  {}: {}", node.node, safe(reason, false)));
    }
    Failure::failed(message).hint(format!(
        "see `muster logs {} --environment {}` and `muster rollout show {}`",
        rollout.application, rollout.environment, rollout.id
    ))
}

/// What was already told.
#[derive(Default)]
struct Progress {
    nodes: HashMap<String, RolloutNodeState>,
    status: Option<RolloutStatus>,
}

impl Progress {
    fn news(&mut self, rollout: &ApiRollout) -> Vec<(Tone, &'static str, String)> {
        let mut news = Vec::new();
        for node in &rollout.nodes {
            let former = self.nodes.insert(node.node.clone(), node.state);
            if former != Some(node.state)
                && let Some((tone, mark, text)) = node_news(node)
            {
                news.push((tone, mark, text));
            }
        }
        let former = self.status.replace(rollout.status);
        if former != Some(rollout.status) && rollout.status == RolloutStatus::RollingBack {
            let reason = rollout.reason.as_deref().unwrap_or("a node failed");
            news.push((Tone::Warning, "↺", format!("going back: {}", safe(reason, false))));
        }
        news
    }
}

fn node_news(node: &RolloutNode) -> Option<(Tone, &'static str, String)> {
    let name = &node.node;
    let because =
        node.reason.as_deref().map_or_else(String::new, |reason| format!(": {}", safe(reason, false)));
    Some(match node.state {
        RolloutNodeState::Pending => return None,
        RolloutNodeState::Waiting => (Tone::Quiet, "…", format!("{name} waits for its turn{because}")),
        RolloutNodeState::Away => {
            (Tone::Warning, "-", format!("{name} is away; it catches up when it is back"))
        }
        RolloutNodeState::Moving => (Tone::Plain, "→", format!("{name} is moving")),
        RolloutNodeState::Moved => (Tone::Good, "✓", format!("{name} moved")),
        RolloutNodeState::Failed => (Tone::Bad, "✗", format!("{name} failed{because}")),
        RolloutNodeState::Returning => (Tone::Warning, "↺", format!("{name} is going back")),
        RolloutNodeState::Returned => (Tone::Warning, "↺", format!("{name} has its former release again")),
        RolloutNodeState::ReturnUnconfirmed => {
            (Tone::Bad, "?", format!("{name} did not confirm that it has its former release again"))
        }
    })
}

pub(super) async fn run(output: &Output, client: &Client, command: Rollout) -> Result<()> {
    match command {
        Rollout::List { application, environment, active } => {
            let active = active.then(|| "true".to_owned());
            let query = [("application", application), ("environment", environment), ("active", active)];
            let rollouts: Vec<ApiRollout> = client.list(&["rollouts"], &query).await?;
            if output.json() {
                return output.object(&rollouts);
            }
            output.table(&rollout_table(&rollouts, Utc::now()), "there are no rollouts")
        }
        Rollout::Show { id, waiting } => {
            if waiting.wait {
                return finish(output, client, id, waiting.timeout, RolloutStatus::Completed).await;
            }
            let rollout: ApiRollout = client.get(&["rollouts", &id.to_string()], &[]).await?;
            if output.json() { output.object(&rollout) } else { show(output, &rollout) }
        }
        Rollout::Abort { id, yes, waiting } => {
            output.confirm(&format!("Abort the rollout {id}? Every touched node goes back."), yes)?;
            let rollout: ApiRollout =
                client.post(&["rollouts", &id.to_string(), "abort"], &json!({})).await?;
            output.note(&format!("{}: aborting", headline(&rollout)));
            if waiting.wait {
                return finish(output, client, id, waiting.timeout, RolloutStatus::Aborted).await;
            }
            if output.json() { output.object(&rollout) } else { Ok(()) }
        }
    }
}

fn status(rollout: &ApiRollout) -> Cell {
    let tone = match rollout.status {
        RolloutStatus::Completed => Tone::Good,
        RolloutStatus::Planned | RolloutStatus::Running => Tone::Plain,
        RolloutStatus::RollingBack => Tone::Warning,
        RolloutStatus::RolledBack => Tone::Bad,
        RolloutStatus::Aborted => Tone::Quiet,
    };
    Cell::tone(word(&rollout.status), tone)
}

fn rollout_table(rollouts: &[ApiRollout], now: DateTime<Utc>) -> Table {
    let mut table = Table::new(&[
        "ID",
        "APPLICATION",
        "ENVIRONMENT",
        "RELEASE",
        "FROM",
        "STATE",
        ">NODES",
        "STARTED",
        "BY",
    ]);
    for rollout in rollouts {
        let moved = rollout.nodes.iter().filter(|node| node.state == RolloutNodeState::Moved).count();
        table.row([
            rollout.id.to_string().into(),
            rollout.application.as_str().into(),
            rollout.environment.as_str().into(),
            rollout.release.as_str().into(),
            Cell::maybe(rollout.former_release.clone()),
            status(rollout),
            format!("{moved}/{}", rollout.nodes.len()).into(),
            ago(rollout.created_at, now).into(),
            rollout.created_by.as_str().into(),
        ]);
    }
    table
}

fn show(output: &Output, rollout: &ApiRollout) -> Result<()> {
    let now = Utc::now();
    output.table(&rollout_table(std::slice::from_ref(rollout), now), "")?;
    if let Some(reason) = &rollout.reason {
        output.line(&format!("\n{}", safe(reason, false)))?;
    }
    output.line("")?;
    let mut table = Table::new(&["NODE", "STATE", "FROM", "SINCE", "REASON"]);
    for node in &rollout.nodes {
        let tone = node_news(node).map_or(Tone::Quiet, |(tone, _, _)| tone);
        table.row([
            node.node.as_str().into(),
            Cell::tone(word(&node.state), tone),
            Cell::maybe(node.former_release.clone()),
            Cell::maybe(node.since.map(|at| ago(at, now))),
            node.reason.as_deref().map(|reason| safe(reason, false)).unwrap_or_default().into(),
        ]);
    }
    output.table(&table, "it has no nodes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollout(status: &str, states: &[(&str, &str)]) -> ApiRollout {
        let nodes: Vec<_> = states
            .iter()
            .map(|(name, state)| {
                let reason = (*state == "failed").then_some("exit code 1");
                json!({ "node": name, "state": state, "former_release": "v1", "since": null, "deadline": null, "reason": reason })
            })
            .collect();
        serde_json::from_value(json!({
            "id": "00000000-0000-0000-0000-000000000001", "kind": "deploy", "application": "web",
            "environment": "production", "release": "v2", "former_release": "v1", "status": status,
            "reason": (status == "rolling_back" || status == "rolled_back").then_some("app-2 failed"),
            "created_by": "amara", "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
            "finished_at": null, "nodes": nodes
        }))
        .unwrap()
    }

    #[test]
    fn each_step_is_told_once() {
        let mut progress = Progress::default();
        let mut told = Vec::new();
        for step in [
            rollout("running", &[("app-1", "moving"), ("app-2", "pending"), ("app-3", "away")]),
            rollout("running", &[("app-1", "moving"), ("app-2", "pending"), ("app-3", "away")]),
            rollout("running", &[("app-1", "moved"), ("app-2", "moving"), ("app-3", "away")]),
            rollout("rolling_back", &[("app-1", "returning"), ("app-2", "failed"), ("app-3", "away")]),
            rollout("rolled_back", &[("app-1", "returned"), ("app-2", "failed"), ("app-3", "away")]),
        ] {
            told.extend(progress.news(&step).into_iter().map(|(_, mark, text)| format!("{mark} {text}")));
        }
        insta::assert_snapshot!(told.join("\n"), @r"
        → app-1 is moving
        - app-3 is away; it catches up when it is back
        ✓ app-1 moved
        → app-2 is moving
        ↺ app-1 is going back
        ✗ app-2 failed: exit code 1
        ↺ going back: app-2 failed
        ↺ app-1 has its former release again
        ");
    }

    #[test]
    fn a_rollout_that_was_taken_back_is_a_failure_with_its_reason() {
        let failure = outcome(&rollout("rolled_back", &[("app-2", "failed")]));
        assert_eq!(failure.exit.code(), 1);
        insta::assert_snapshot!(failure.text(), @r"
        the rollout failed and was taken back: production runs v1 again
          app-2 failed
          app-2: exit code 1
        ");
    }
}
