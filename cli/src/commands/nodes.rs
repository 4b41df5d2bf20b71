//! Nodes: list, show, invite, revoke, converge, remove.

use chrono::{DateTime, Utc};
use muster_api_types::{
    ChangeCause, Convergence, EnrolmentCreate, EnrolmentCreated, Liveness, Mode, NodeDetail, NodeSummary,
    ResourceState, ResourceStatus,
};
use reqwest::Method;
use serde_json::json;
use std::time::Duration;

use super::applications::process_table;
use super::apply::converged;
use crate::arguments::Node;
use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::format::{age, ago, bytes, clock, safe, share, span, word};
use crate::output::{Output, Tone};
use crate::table::{Cell, Table};

pub(super) async fn run(output: &Output, client: &Client, command: Node) -> Result<()> {
    match command {
        Node::List { environment, role, convergence } => {
            let convergence = convergence.map(|word| format!("{word:?}").to_lowercase());
            let query = [("environment", environment), ("role", role), ("convergence", convergence)];
            let nodes: Vec<NodeSummary> = client.list(&["nodes"], &query).await?;
            if output.json() {
                return output.object(&nodes);
            }
            output.table(
                &node_table(&nodes, Utc::now()),
                "there are no nodes; invite one with `muster node invite NAME`",
            )
        }
        Node::Show { name } => {
            let node: NodeDetail = client.get(&["nodes", &name], &[]).await?;
            if output.json() { output.object(&node) } else { show(output, &node) }
        }
        Node::Invite { name, environment, roles, ttl, cloud_init, replace } => {
            let ttl = ttl.unwrap_or(if cloud_init { TTL_OF_USER_DATA } else { TTL_OF_LINE });
            let ttl_s = u32::try_from(ttl.as_secs())
                .map_err(|_| Failure::usage("a join token can be valid for 7 days at most"))?;
            // Hyphens come naturally on a command line.
            let roles = roles.into_iter().map(|role| role.replace('-', "_")).collect();
            let body = EnrolmentCreate { node: name, environment, roles, ttl_s: Some(ttl_s), replace };
            let created: EnrolmentCreated = client.post(&["enrolments"], &body).await?;
            if output.json() {
                return output.object(&created);
            }
            invited(output, &created, cloud_init, &span(u64::from(ttl_s)))
        }
        Node::Revoke { name, yes } => {
            let question = format!(
                "Revoke the identity of {name}? It is cut off at once and must join again; its applications keep running."
            );
            output.confirm(&question, yes)?;
            let node: NodeDetail = client.post(&["nodes", &name, "revoke"], &json!({})).await?;
            output.note(&format!("revoked {name}"));
            if output.json() { output.object(&node) } else { Ok(()) }
        }
        Node::Converge { name, wait, timeout } => {
            client.done(client.request(Method::POST, &["nodes", &name, "converge"], &[])).await?;
            output.note(&format!("asked {name} to converge"));
            if wait { converged(output, client, &[name], timeout).await } else { Ok(()) }
        }
        Node::Remove { name, yes } => {
            output.confirm(&format!("Forget {name}, its reports and its figures?"), yes)?;
            client.done(client.request(Method::DELETE, &["nodes", &name], &[])).await?;
            output.note(&format!("removed {name}"));
            Ok(())
        }
        Node::State(command) => super::convergence::run(output, client, command).await,
    }
}

/// Long enough to paste a line, too short to be found later.
const TTL_OF_LINE: Duration = Duration::from_secs(15 * 60);
/// Long enough for a provider to make a host.
const TTL_OF_USER_DATA: Duration = Duration::from_secs(60 * 60);

fn invited(output: &Output, created: &EnrolmentCreated, cloud_init: bool, span: &str) -> Result<()> {
    let EnrolmentCreated { enrolment, command, cloud_init: user_data, install_problem, .. } = created;
    let (node, environment) = (&enrolment.node, &enrolment.environment);
    if let Some(problem) = install_problem {
        output.warning(problem);
    }
    match (cloud_init, user_data) {
        (true, Some(user_data)) => {
            output.note(&format!(
                "give this as user data to the host that becomes {node} in {environment}; it works once, within {span}:"
            ));
            // It ends with a line feed of its own.
            output.line(user_data.trim_end())
        }
        (true, None) => Err(Failure::refused(
            "not_installable",
            "the controller cannot install the agent, so there is no user data; the invitation stands, and `muster node invite` without --cloud-init makes a line for a host with the agent on it",
        )),
        (false, _) => {
            let where_from = if install_problem.is_some() { ", which has the agent already" } else { "" };
            output.note(&format!(
                "run this as root on the host that becomes {node} in {environment}{where_from}; it works once, within {span}:"
            ));
            output.line(command)
        }
    }
}

fn liveness(node: &NodeSummary) -> Cell {
    let tone = match node.liveness {
        Liveness::Up => Tone::Good,
        Liveness::Pending | Liveness::Revoked => Tone::Quiet,
        Liveness::Late => Tone::Warning,
        Liveness::Down => Tone::Bad,
    };
    Cell::tone(word(&node.liveness), tone)
}

fn convergence(node: &NodeSummary) -> Cell {
    let mode = match node.mode {
        Mode::Enforce => "",
        Mode::Report => ", report only",
        Mode::Ignore => ", ignored",
    };
    let (text, tone) = match node.convergence {
        Convergence::Pending if node.converged.is_none() => return Cell::maybe(None::<String>),
        Convergence::Pending => ("changing".to_owned(), Tone::Warning),
        Convergence::Converged => ("converged".to_owned(), Tone::Good),
        Convergence::Waiting => (format!("{} waiting", node.waiting_count), Tone::Warning),
        Convergence::Drifted => (format!("{} drifted", node.drifted_count), Tone::Warning),
        Convergence::Failed if node.failed_count == 0 => ("not compiled".to_owned(), Tone::Bad),
        Convergence::Failed => (format!("{} failed", node.failed_count), Tone::Bad),
    };
    Cell::tone(text + mode, tone)
}

fn ready(ready: u32, all: u32) -> Cell {
    let tone = if ready < all { Tone::Warning } else { Tone::Plain };
    Cell::tone(format!("{ready}/{all}"), tone)
}

fn node_table(nodes: &[NodeSummary], now: DateTime<Utc>) -> Table {
    let mut table = Table::new(&[
        "NAME",
        "ENVIRONMENT",
        "ROLES",
        "STATE",
        "RESOURCES",
        ">READY",
        ">CPU",
        ">MEMORY",
        ">DISK",
        "SEEN",
    ]);
    for node in nodes {
        table.row([
            node.name.as_str().into(),
            node.environment.as_str().into(),
            node.roles.join(", ").into(),
            liveness(node),
            convergence(node),
            ready(node.process_ready_count, node.process_count),
            Cell::maybe(node.cpu_percent.map(|percent| format!("{percent:.0} %"))),
            share(node.memory_used_bytes, node.memory_total_bytes),
            share(node.disk_used_bytes, node.disk_total_bytes),
            Cell::maybe(node.last_heartbeat_at.map(|at| ago(at, now))),
        ]);
    }
    table
}

fn show(output: &Output, node: &NodeDetail) -> Result<()> {
    let now = Utc::now();
    let NodeDetail { summary, facts, .. } = node;
    let mut table = Table::new(&["NODE", ""]);
    let mut fact = |name: &str, value: Cell| table.row([Cell::tone(name, Tone::Quiet), value]);
    fact("name", Cell::tone(&summary.name, Tone::Strong));
    fact("environment", summary.environment.as_str().into());
    fact("roles", summary.roles.join(", ").into());
    fact("state", liveness(summary));
    fact("since", ago(summary.liveness_changed_at, now).into());
    fact("resources", convergence(summary));
    fact("generation", format!("{} (reported {})", summary.generation, summary.reported_generation).into());
    fact("host", format!("{}, {}, {} {}", facts.hostname, facts.os, facts.kernel, facts.architecture).into());
    fact("size", format!("{} processors, {} memory", facts.cpus, bytes(facts.memory_bytes)).into());
    let rootless = if facts.rootless { ", rootless" } else { "" };
    fact("agent", format!("{}{rootless}", facts.agent_version).into());
    fact("joined", clock(node.enrolled_at).into());
    fact("certificate ends", Cell::maybe(node.certificate_expires_at.map(clock)));
    if let Some(at) = node.revoked_at {
        fact("revoked", Cell::tone(clock(at), Tone::Bad));
    }
    if let Some(why) = &summary.reboot_required {
        fact("restart needed", Cell::tone(safe(why, false), Tone::Warning));
    }
    if let Some(wanted) = &node.reboot_request {
        let how = if wanted.now { "at once" } else { "in its turn" };
        fact(
            "restart wanted",
            safe(&format!("{how}, by {}: {}", wanted.requested_by, wanted.reason), false).into(),
        );
    }
    for set in &node.mode_overrides {
        let of = set.resource.as_deref().unwrap_or("all of it");
        let until = set.expires_at.map_or_else(String::new, |at| format!(" until {}", clock(at)));
        let text = format!("{} for {of}{until}, by {}: {}", word(&set.mode), set.set_by, set.reason);
        fact("mode", Cell::tone(safe(&text, false), Tone::Warning));
    }
    if let Some(turn) = &node.turn {
        let (text, tone) = super::convergence::turn_words(turn);
        fact("turn", Cell::tone(text, tone));
    }
    if let Some(error) = &node.compile_error {
        fact("cannot compile", Cell::tone(safe(error, false), Tone::Bad));
    }
    output.table(&table, "")?;
    output.line("")?;
    output.table(&resource_table(&node.resources, now), "no resources were reported yet")?;
    if !node.processes.is_empty() {
        output.line("")?;
        output.table(&process_table(&node.processes, now), "")?;
    }
    Ok(())
}

pub(super) fn resource_table<'a>(
    resources: impl IntoIterator<Item = &'a ResourceState>,
    now: DateTime<Utc>,
) -> Table {
    let mut table = Table::new(&["RESOURCE", "STATE", "DETAIL", "LAST CHANGE"]);
    for resource in resources {
        let tone = match resource.status {
            ResourceStatus::Converged => Tone::Good,
            ResourceStatus::Failed => Tone::Bad,
            ResourceStatus::Skipped | ResourceStatus::Drifted | ResourceStatus::Waiting => Tone::Warning,
            ResourceStatus::Unsupported => Tone::Quiet,
        };
        let cause = match resource.change {
            Some(ChangeCause::Corrective) => ", put back",
            Some(ChangeCause::Intentional) | None => "",
        };
        let mode = match resource.mode {
            Mode::Enforce => String::new(),
            mode => format!(" ({})", word(&mode)),
        };
        table.row([
            safe(&resource.key, false).into(),
            Cell::tone(word(&resource.status) + &mode, tone),
            safe(&resource.detail, false).into(),
            Cell::maybe(resource.changed_at.map(|at| format!("{} ago{cause}", age(at, now)))),
        ]);
    }
    table
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::commands) fn node(name: &str) -> NodeSummary {
        serde_json::from_value(json!({
            "id": "00000000-0000-0000-0000-000000000001", "name": name, "environment": "production",
            "roles": ["app_server"], "liveness": "up", "liveness_changed_at": "2026-01-01T00:00:00Z",
            "last_heartbeat_at": "2026-01-01T00:00:00Z", "converged": true, "convergence": "converged",
            "generation": 4, "reported_generation": 4, "problem_count": 0, "resource_count": 9, "failed_count": 0,
            "drifted_count": 0, "waiting_count": 0, "reboot_required": null, "mode": "enforce", "mode_override_count": 0, "process_count": 2, "process_ready_count": 2,
            "cpu_percent": 12.4, "memory_used_bytes": 512_000_000, "memory_total_bytes": 2_048_000_000,
            "disk_used_bytes": 9, "disk_total_bytes": 10, "load_1": 0.2
        }))
        .unwrap()
    }

    #[test]
    fn node_list_reads_at_a_glance() {
        let mut broken = node("app-2");
        broken.liveness = Liveness::Down;
        broken.convergence = Convergence::Failed;
        broken.failed_count = 2;
        broken.process_ready_count = 1;
        broken.cpu_percent = None;
        let mut changing = node("lb-1");
        changing.convergence = Convergence::Pending;
        changing.last_heartbeat_at = None;
        let mut held = node("app-3");
        held.convergence = Convergence::Drifted;
        held.drifted_count = 1;
        held.mode = Mode::Report;
        let now = node("x").liveness_changed_at + Duration::from_secs(75);
        insta::assert_snapshot!(node_table(&[node("app-1"), broken, held, changing], now).render(false, None), @r"
        NAME   ENVIRONMENT  ROLES       STATE  RESOURCES               READY   CPU  MEMORY  DISK  SEEN
        app-1  production   app_server  up     converged                 2/2  12 %    25 %  90 %  1 m 15 s ago
        app-2  production   app_server  down   2 failed                  1/2     -    25 %  90 %  1 m 15 s ago
        app-3  production   app_server  up     1 drifted, report only    2/2  12 %    25 %  90 %  1 m 15 s ago
        lb-1   production   app_server  up     changing                  2/2  12 %    25 %  90 %  -
        ");
    }
}
