//! Applying fleet files: the difference first, then the question, then the change.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::Duration;

use muster_api_types::{
    Convergence, FleetChange, FleetChangeKind, FleetConfigurationApplied, FleetConfigurationApply,
    FleetConfigurationDiff, Liveness, NodeDetail, NodeNotCompiled, NodeSummary, ResourceStatus, Turn,
    TurnState,
};
use tokio::time::Instant;

use super::sources;
use crate::arguments::Apply;
use crate::client::Client;
use crate::failure::{Failure, Result, input_error};
use crate::format::safe;
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
    if output.json() {
        output.object(&applied)?;
    }
    not_compiled(output, &applied, command.wait)
}

/// A node that could not follow is a warning, and a failure for whoever waits to see the fleet converged.
fn not_compiled(output: &Output, applied: &FleetConfigurationApplied, waited: bool) -> Result<()> {
    for NodeNotCompiled { node, reason } in &applied.not_compiled {
        output.warning(&format!("node {node} keeps its assignment: {reason}"));
    }
    match applied.not_compiled.len() {
        number if waited && number > 0 => Err(Failure::failed(format!(
            "{} not follow version {}",
            count(number, "node could", "nodes could"),
            applied.version
        ))),
        _ => Ok(()),
    }
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
    lines.extend(diff_lines(&change.diff, colour));
    lines.join("\n")
}

/// A unified diff, indented, without the names of its two sides: they say nothing that a heading does not.
pub(super) fn diff_lines(diff: &str, colour: bool) -> impl Iterator<Item = String> {
    let lines: Vec<&str> = diff.lines().collect();
    // A line that was taken out and began with `-- ` looks like a name, and must be seen.
    let names = |at: usize| {
        let begins = |at: usize, with: &str| lines.get(at).is_some_and(|line| line.starts_with(with));
        begins(at, "--- ") && begins(at + 1, "+++ ") && (at == 0 || begins(at + 2, "@@"))
    };
    let shown: Vec<&str> = (0..lines.len())
        .filter(|at| !names(*at) && !at.checked_sub(1).is_some_and(names))
        .map(|at| lines[at])
        .collect();
    shown.into_iter().map(move |line| {
        let tone = match line.as_bytes().first() {
            Some(b'+') => Tone::Good,
            Some(b'-') => Tone::Bad,
            Some(b'@') => Tone::Quiet,
            _ => Tone::Plain,
        };
        format!("    {}", tone.paint(&safe(line, false), colour)).trim_end().to_owned()
    })
}

/// Waits until each of these nodes has everything as its newest assignment says.
pub(super) async fn converged(
    output: &Output,
    client: &Client,
    names: &[String],
    timeout: Duration,
) -> Result<()> {
    let waiting: RefCell<BTreeSet<String>> = RefCell::new(names.iter().cloned().collect());
    let failing_since: Cell<Option<Instant>> = Cell::new(None);
    let told: RefCell<BTreeSet<String>> = RefCell::default();
    wait_for(output, timeout, "the convergence", "muster node list", || async {
        if waiting.borrow().is_empty() {
            return Ok(Some(()));
        }
        let nodes: Vec<NodeSummary> = client.list(&["nodes"], &[]).await?;
        waiting.borrow_mut().retain(|name| match settled(&nodes, name) {
            Some((tone, mark, text)) => {
                output.step(tone, mark, &format!("{name} {text}"));
                false
            }
            None => true,
        });
        let in_a_row = |node: &&NodeSummary| {
            node.convergence == Convergence::Waiting
                && waiting.borrow().contains(&node.name)
                && !told.borrow().contains(&node.name)
        };
        if nodes.iter().any(|node| in_a_row(&node)) {
            let turns: Vec<Turn> = client.list(&["turns"], &[]).await?;
            tell_why_they_wait(output, &turns, &waiting.borrow(), &mut told.borrow_mut());
        }
        let failing: Vec<&str> = nodes
            .iter()
            .filter(|node| failed(node) && waiting.borrow().contains(&node.name))
            .map(|node| node.name.as_str())
            .collect();
        if failing.is_empty() {
            failing_since.set(None);
        } else {
            let since = failing_since.get().unwrap_or_else(Instant::now);
            failing_since.set(Some(since));
            if since.elapsed() > FAILURE_GRACE {
                return Err(why_not(client, &failing).await);
            }
        }
        Ok(waiting.borrow().is_empty().then_some(()))
    })
    .await
}

/// Says once for each node that waits for others whom it waits for.
fn tell_why_they_wait(
    output: &Output,
    turns: &[Turn],
    waiting: &BTreeSet<String>,
    told: &mut BTreeSet<String>,
) {
    for turn in turns.iter().filter(|turn| turn.state == TurnState::Waiting && waiting.contains(&turn.node)) {
        if told.insert(turn.node.clone()) {
            let (node, why) = (&turn.node, safe(&turn.detail, false));
            output.step(Tone::Quiet, "…", &format!("{node} waits for its turn: {why}"));
        }
    }
}

/// How a node stands, when there is nothing more to wait for.
fn settled(nodes: &[NodeSummary], name: &str) -> Option<(Tone, &'static str, &'static str)> {
    let Some(node) = nodes.iter().find(|node| node.name == name) else {
        return Some((Tone::Warning, "-", "has not joined yet; it gets this when it does"));
    };
    match node.liveness {
        Liveness::Revoked => Some((Tone::Warning, "-", "is revoked")),
        Liveness::Down => Some((Tone::Warning, "-", "is down; it gets this when it is back")),
        Liveness::Pending | Liveness::Up | Liveness::Late => match node.convergence {
            Convergence::Converged => Some((Tone::Good, "✓", "converged")),
            Convergence::Drifted => {
                Some((Tone::Warning, "-", "differs, and its mode does not let it be changed"))
            }
            Convergence::Pending | Convergence::Waiting | Convergence::Failed => None,
        },
    }
}

/// A node that has tried its newest assignment and could not.
fn failed(node: &NodeSummary) -> bool {
    node.convergence == Convergence::Failed
}

async fn why_not(client: &Client, failing: &[&str]) -> Failure {
    let mut message = "not every node could converge".to_owned();
    for name in failing {
        match client.get::<NodeDetail>(&["nodes", name], &[]).await {
            Ok(detail) => {
                for resource in
                    detail.resources.iter().filter(|resource| resource.status == ResourceStatus::Failed)
                {
                    message.push_str(&format!(
                        "\n  {name}: {}: {}",
                        resource.key,
                        safe(&resource.detail, false)
                    ));
                }
            }
            Err(failure) => message.push_str(&format!("\n  {name}: {}", failure.message)),
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

    #[test]
    fn no_line_of_a_file_is_taken_for_the_name_of_one() {
        let diff = "net.x: 1 -> 2\n--- /etc/a.sql\n+++ /etc/a.sql\n@@ -1,2 +1,2 @@\n--- grants\n+++ more\n select 1;\n";
        assert_eq!(
            diff_lines(diff, false).collect::<Vec<_>>(),
            ["    net.x: 1 -> 2", "    @@ -1,2 +1,2 @@", "    --- grants", "    +++ more", "     select 1;"]
        );
        let short = "--- /etc/a\n+++ /etc/a\n-old\n+new\n";
        assert_eq!(diff_lines(short, false).collect::<Vec<_>>(), ["    -old", "    +new"]);
    }
}
