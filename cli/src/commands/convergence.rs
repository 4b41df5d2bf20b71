//! What is on nodes: resources, differences, modes, turns, restarts, inspections.

use chrono::{DateTime, Utc};
use muster_api_types::{
    ChangeCause, Inspection, Mode, ModeOverride, ModeSet, NodeDetail, Page, Reboot, RebootCreate,
    ResourceChange, ResourceDetail, ResourceState, ResourceStatus, Turn, TurnKind, TurnState,
};
use reqwest::Method;

use super::apply::diff_lines;
use super::nodes::resource_table;
use crate::arguments::{HostState, ModeWord};
use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::format::{age, clock, safe, span, word};
use crate::output::{Output, Tone};
use crate::table::{Cell, Table};

pub(super) async fn run(output: &Output, client: &Client, command: HostState) -> Result<()> {
    match command {
        HostState::Resources { name, changed, drifted, failed, waiting } => {
            resources(output, client, &name, &Wanted { changed, drifted, failed, waiting }).await
        }
        HostState::Diff { name, resource, history } => diff(output, client, &name, &resource, history).await,
        HostState::Mode { name, mode, resource, reason, duration } => {
            let expires_in_s = duration.map(|time| u32::try_from(time.as_secs())).transpose();
            let expires_in_s =
                expires_in_s.map_err(|_| Failure::usage("a mode can be set for a year at most"))?;
            let set = ModeSet {
                mode: match mode {
                    ModeWord::Enforce => Mode::Enforce,
                    ModeWord::Report => Mode::Report,
                    ModeWord::Ignore => Mode::Ignore,
                },
                resource,
                reason: reason.unwrap_or_default(),
                expires_in_s,
            };
            let page: Page<ModeOverride> = client.put(&["nodes", &name, "mode"], &set).await?;
            if output.json() {
                return output.object(&page.items);
            }
            let of = set.resource.as_deref().map_or_else(|| name.clone(), |r| format!("{r} on {name}"));
            match set.mode {
                Mode::Enforce => output.note(&format!("the mode of {of} is as declared")),
                mode => output.note(&format!("the mode of {of} is {}", word(&mode))),
            }
            Ok(())
        }
        HostState::Turns { environment } => {
            let turns: Vec<Turn> = client.list(&["turns"], &[("environment", environment)]).await?;
            if output.json() {
                return output.object(&turns);
            }
            output.table(
                &turn_table(&turns, Utc::now()),
                "no node is changing disruptively, and none waits for that",
            )
        }
        HostState::ReleaseTurn { name, yes } => {
            let question = format!("Let other nodes change although {name} failed or may still be changing?");
            output.confirm(&question, yes)?;
            client.done(client.request(Method::POST, &["nodes", &name, "turn", "release"], &[])).await?;
            output.note(&format!("released the turn of {name}; those who wait go on"));
            Ok(())
        }
        HostState::Reboot { name, cancel: true, .. } => {
            client.done(client.request(Method::DELETE, &["nodes", &name, "reboot"], &[])).await?;
            output.note(&format!("{name} is not restarted, unless it has begun"));
            Ok(())
        }
        HostState::Reboot { name, reason, now, yes, cancel: false } => {
            let how = if now { "at once" } else { "in its turn" };
            output.confirm(&format!("Restart the host of {name} {how}?"), yes)?;
            let body = RebootCreate { reason: reason.unwrap_or_default(), now };
            let wanted: Reboot = client.post(&["nodes", &name, "reboot"], &body).await?;
            output
                .note(&format!("{name} is restarted {how}; `muster node show {name}` says when it is done"));
            if output.json() { output.object(&wanted) } else { Ok(()) }
        }
        HostState::Inspect { name } => {
            let found: Inspection = client.post(&["nodes", &name, "inspect"], &serde_json::json!({})).await?;
            if output.json() {
                return output.object(&found);
            }
            for note in &found.notes {
                output.warning(&safe(note, false));
            }
            if found.fragment.is_empty() {
                output.note("there is nothing to declare");
                return Ok(());
            }
            output.raw(found.fragment.as_bytes())
        }
    }
}

/// Which resources are asked for; without any: all.
struct Wanted {
    changed: bool,
    drifted: bool,
    failed: bool,
    waiting: bool,
}

impl Wanted {
    fn matches(&self, resource: &ResourceState) -> bool {
        let Self { changed, drifted, failed, waiting } = *self;
        let by_status = drifted || failed || waiting;
        let status = match resource.status {
            ResourceStatus::Drifted => drifted,
            ResourceStatus::Failed | ResourceStatus::Skipped => failed,
            ResourceStatus::Waiting => waiting,
            ResourceStatus::Converged | ResourceStatus::Unsupported => false,
        };
        (!changed || resource.changed_at.is_some()) && (!by_status || status)
    }
}

async fn resources(output: &Output, client: &Client, name: &str, wanted: &Wanted) -> Result<()> {
    let node: NodeDetail = client.get(&["nodes", name], &[]).await?;
    let mut found: Vec<&ResourceState> = node.resources.iter().filter(|r| wanted.matches(r)).collect();
    if wanted.changed {
        found.sort_by_key(|resource| std::cmp::Reverse(resource.changed_at));
    }
    if output.json() {
        return output.object(&found);
    }
    output.table(&resource_table(found, Utc::now()), "there is no such resource on this node")
}

async fn diff(output: &Output, client: &Client, name: &str, key: &str, history: bool) -> Result<()> {
    if history {
        let query = [("key", Some(key.to_owned()))];
        let changes: Vec<ResourceChange> = client.list(&["nodes", name, "changes"], &query).await?;
        if output.json() {
            return output.object(&changes);
        }
        if changes.is_empty() {
            output.note(&format!("no change of {key} on {name} is kept"));
        }
        for change in &changes {
            output.line(&change_text(change, output.colour()))?;
        }
        return Ok(());
    }
    let query = [("key", Some(key.to_owned()))];
    let resource: ResourceDetail = client.get(&["nodes", name, "resource"], &query).await?;
    if output.json() {
        return output.object(&resource);
    }
    match (&resource.diff, resource.changes.first()) {
        (Some(diff), _) => {
            let detail = safe(&resource.state.detail, false);
            output.note(&format!("{key} on {name} is {}: {detail}", word(&resource.state.status)));
            lines(output, diff)
        }
        (None, Some(change)) => {
            output.note("nothing differs that could be shown; this was the last change:");
            output.line(&change_text(change, output.colour()))
        }
        (None, None) => {
            output.note(&format!(
                "{key} on {name} is {}: nothing differs that could be shown, and no change is kept",
                word(&resource.state.status)
            ));
            Ok(())
        }
    }
}

fn lines(output: &Output, diff: &str) -> Result<()> {
    output.line(&diff_lines(diff, output.colour()).collect::<Vec<_>>().join("\n"))
}

fn change_text(change: &ResourceChange, colour: bool) -> String {
    let cause = match change.cause {
        ChangeCause::Intentional => "as declared",
        ChangeCause::Corrective => "drift put right",
    };
    let heading = format!("{} generation {}, {cause}", clock(change.at), change.generation);
    let mut lines =
        vec![Tone::Strong.paint(&heading, colour), format!("    {}", safe(&change.detail, false))];
    lines.extend(change.diff.iter().flat_map(|diff| diff_lines(diff, colour)));
    lines.join("\n")
}

/// How a turn stands, for a person.
pub(super) fn turn_words(turn: &Turn) -> (String, Tone) {
    let (text, tone) = match (turn.state, turn.kind) {
        (TurnState::Granted, TurnKind::Change) => (format!("changing: {}", turn.reason), Tone::Warning),
        (TurnState::Granted, TurnKind::Reboot) => (format!("restarting: {}", turn.reason), Tone::Warning),
        (TurnState::Waiting, _) => (format!("waiting to {}: {}", turn.reason, turn.detail), Tone::Warning),
        (TurnState::Failed, _) => (format!("failed: {} ({})", turn.detail, turn.reason), Tone::Bad),
    };
    (safe(&text, false), tone)
}

fn turn_table(turns: &[Turn], now: DateTime<Utc>) -> Table {
    let mut table = Table::new(&["NODE", "ENVIRONMENT", "ROLES", "STATE", ">SINCE", "WHAT FOR", "WHY"]);
    for turn in turns {
        let tone = match turn.state {
            TurnState::Granted => Tone::Good,
            TurnState::Waiting => Tone::Warning,
            TurnState::Failed => Tone::Bad,
        };
        let left = turn.expires_at.filter(|_| turn.state == TurnState::Granted);
        let left = left.and_then(|at| u64::try_from((at - now).num_seconds()).ok());
        let why = match left {
            Some(seconds) if turn.detail.is_empty() => format!("{} left", span(seconds)),
            _ => safe(&turn.detail, false),
        };
        table.row([
            turn.node.as_str().into(),
            turn.environment.as_str().into(),
            turn.roles.join(", ").into(),
            Cell::tone(word(&turn.state), tone),
            age(turn.since, now).into(),
            safe(&turn.reason, false).into(),
            why.into(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn turns_say_who_waits_for_whom() {
        let since = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let turn = |node: &str, state, detail: &str, expires: Option<u64>| Turn {
            node: node.to_owned(),
            environment: "production".to_owned(),
            roles: vec!["app_server".to_owned()],
            kind: TurnKind::Change,
            cause: ChangeCause::Intentional,
            state,
            reason: "restart service:nginx.service".to_owned(),
            detail: detail.to_owned(),
            since,
            expires_at: expires.map(|seconds| since + Duration::from_secs(seconds)),
            rollout: None,
        };
        let turns = [
            turn("app-1", TurnState::Granted, "", Some(900)),
            turn("app-2", TurnState::Waiting, "app-1 is changing", Some(90)),
            turn("app-3", TurnState::Failed, "nginx refused it", None),
        ];
        let table = turn_table(&turns, since + Duration::from_secs(60)).render(false, None);
        insta::assert_snapshot!(table);
        assert_eq!(turn_words(&turns[1]).0, "waiting to restart service:nginx.service: app-1 is changing");
    }

    #[test]
    fn a_change_of_the_past_is_shown_with_its_cause() {
        let change = ResourceChange {
            id: 7,
            key: "file:/etc/motd".to_owned(),
            at: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
            generation: 12,
            cause: ChangeCause::Corrective,
            detail: "wrote other content".to_owned(),
            diff: Some("--- a\n+++ b\n-old\n+new\u{1b}[31m\n".to_owned()),
        };
        insta::assert_snapshot!(change_text(&change, false));
    }
}
