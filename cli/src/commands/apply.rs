//! Applying fleet files: the difference first, then the question, then the change.

use std::collections::BTreeSet;
use std::time::Duration;

use muster_api_types::{
    FleetChange, FleetChangeKind, FleetConfigurationApplied, FleetConfigurationApply, FleetConfigurationDiff,
    Liveness, NodeDetail, NodeSummary, ResourceStatus,
};
use tokio::time::Instant;

use super::sources;
use crate::arguments::Apply;
use crate::client::Client;
use crate::failure::{Failure, Result, input_error};
use crate::output::{Output, Tone};
use crate::wait::wait_for;

/// How long a resource may fail on a node before waiting is given up: the agent tries again, and what another node
/// had to do first may only just be done.
const FAILURE_GRACE: Duration = Duration::from_secs(20);

pub(super) async fn apply(output: &Output, client: &Client, command: Apply) -> Result<()> {
    let files = sources::collect(&command.file)?;
    let body = FleetConfigurationApply { files, expected_version: None };
    let diff: FleetConfigurationDiff = client.post(&["fleet-configuration", "diff"], &body).await?;
    for warning in &diff.warnings {
        output.warning(&input_error(warning));
    }
    if command.dry_run {
        return if output.json() { output.object(&diff) } else { show(output, &diff) };
    }
    if diff.changes.is_empty() {
        output.note("nothing changes");
    } else {
        if !output.json() {
            show(output, &diff)?;
        }
        output.confirm("Apply this?", command.yes)?;
    }
    // What was shown is what is applied: if somebody else was faster, the controller refuses.
    let body = FleetConfigurationApply { expected_version: Some(diff.current_version), ..body };
    let applied: FleetConfigurationApplied = client.put(&["fleet-configuration"], &body).await?;
    if applied.changed {
        output.note(&format!(
            "applied as version {}; {}",
            applied.version,
            count(applied.affected_nodes.len(), "node changes", "nodes change")
        ));
    }
    if command.wait {
        converged(output, client, &applied.affected_nodes, command.timeout).await?;
    }
    if output.json() { output.object(&applied) } else { Ok(()) }
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn show(output: &Output, diff: &FleetConfigurationDiff) -> Result<()> {
    for change in &diff.changes {
        output.line(&change_text(change, output.colour()))?;
    }
    if diff.changes.is_empty() {
        output.note("nothing changes");
        return Ok(());
    }
    let mut summary = count(diff.changes.len(), "part changes", "parts change");
    match diff.affected_nodes.as_slice() {
        [] => summary.push_str("; no node is affected"),
        nodes => {
            summary
                .push_str(&format!("; {}: ", count(nodes.len(), "node is affected", "nodes are affected")));
            summary.push_str(&nodes.iter().take(10).map(String::as_str).collect::<Vec<_>>().join(", "));
            if nodes.len() > 10 {
                summary.push_str(&format!(" and {} more", nodes.len() - 10));
            }
        }
    }
    output.note(&summary);
    Ok(())
}

fn change_text(change: &FleetChange, colour: bool) -> String {
    let (mark, tone) = match change.kind {
        FleetChangeKind::Added => ("+", Tone::Good),
        FleetChangeKind::Changed => ("~", Tone::Warning),
        FleetChangeKind::Removed => ("-", Tone::Bad),
    };
    let mut lines = vec![tone.paint(&format!("{mark} {}", change.path), colour)];
    for line in change.diff.lines() {
        // The names of the two sides say nothing that the heading does not.
        if line.starts_with("--- ") || line.starts_with("+++ ") {
            continue;
        }
        let tone = match line.as_bytes().first() {
            Some(b'+') => Tone::Good,
            Some(b'-') => Tone::Bad,
            Some(b'@') => Tone::Quiet,
            _ => Tone::Plain,
        };
        lines.push(
            format!("    {}", tone.paint(&crate::format::safe(line, false), colour)).trim_end().to_owned(),
        );
    }
    lines.join("\n")
}

/// Waits until each of these nodes has everything as its newest assignment says.
pub(super) async fn converged(
    output: &Output,
    client: &Client,
    names: &[String],
    timeout: Duration,
) -> Result<()> {
    let mut waiting: BTreeSet<String> = names.iter().cloned().collect();
    let mut failing_since: Option<Instant> = None;
    let work = "the convergence";
    while !waiting.is_empty() {
        let nodes: Vec<NodeSummary> = wait_for(output, timeout, work, "muster node list", || async {
            let nodes: Vec<NodeSummary> = client.list(&["nodes"], &[]).await?;
            let changed =
                waiting.iter().any(|name| settled(&nodes, name).is_some()) || failing(&nodes, &waiting);
            Ok(changed.then_some(nodes))
        })
        .await?;
        for name in waiting.clone() {
            if let Some((tone, mark, text)) = settled(&nodes, &name) {
                output.step(tone, mark, &format!("{name} {text}"));
                waiting.remove(&name);
                failing_since = None;
            }
        }
        if failing(&nodes, &waiting) {
            if failing_since.get_or_insert_with(Instant::now).elapsed() > FAILURE_GRACE {
                return Err(why_not(client, &nodes, &waiting).await);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    Ok(())
}

/// How a node stands, when there is nothing more to wait for.
fn settled(nodes: &[NodeSummary], name: &str) -> Option<(Tone, &'static str, &'static str)> {
    let Some(node) = nodes.iter().find(|node| node.name == name) else {
        return Some((Tone::Warning, "-", "has not joined yet; it gets this when it does"));
    };
    match node.liveness {
        Liveness::Revoked => Some((Tone::Warning, "-", "is revoked")),
        Liveness::Down => Some((Tone::Warning, "-", "is down; it gets this when it is back")),
        Liveness::Pending | Liveness::Up | Liveness::Late => (node.converged == Some(true)
            && node.reported_generation >= node.generation)
            .then_some((Tone::Good, "✓", "converged")),
    }
}

/// A node that has tried its newest assignment and could not.
fn failed(node: &NodeSummary) -> bool {
    node.converged == Some(false) && node.reported_generation >= node.generation && node.problem_count > 0
}

fn failing(nodes: &[NodeSummary], waiting: &BTreeSet<String>) -> bool {
    nodes.iter().any(|node| waiting.contains(&node.name) && failed(node))
}

async fn why_not(client: &Client, nodes: &[NodeSummary], waiting: &BTreeSet<String>) -> Failure {
    let mut message = "not every node could converge".to_owned();
    for node in nodes.iter().filter(|node| waiting.contains(&node.name) && failed(node)) {
        match client.get::<NodeDetail>(&["nodes", &node.name], &[]).await {
            Ok(detail) => {
                for resource in
                    detail.resources.iter().filter(|resource| resource.status == ResourceStatus::Failed)
                {
                    message.push_str(&format!("\n  {}: {}: {}", node.name, resource.key, resource.detail));
                }
            }
            Err(failure) => message.push_str(&format!("\n  {}: {}", node.name, failure.message)),
        }
    }
    Failure::failed(message).hint("see `muster node show NAME`; the agent keeps trying")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_shown_as_a_diff() {
        let change = FleetChange {
            kind: FleetChangeKind::Changed,
            path: "applications.web".to_owned(),
            diff: "--- a\n+++ b\n@@ -1,2 +1,2 @@\n script: a.js\n-instances: 1\n+instances: 2\n".to_owned(),
        };
        insta::assert_snapshot!(change_text(&change, false), @r"
        ~ applications.web
            @@ -1,2 +1,2 @@
             script: a.js
            -instances: 1
            +instances: 2
        ");
        let coloured = change_text(&change, true);
        assert!(coloured.contains("\u{1b}[31m-instances: 1") && coloured.contains("\u{1b}[32m+instances: 2"));
    }
}
