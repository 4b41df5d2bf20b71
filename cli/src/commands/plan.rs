//! What nodes would change, shown before it happens.

use std::cell::RefCell;
use std::collections::BTreeSet;

use muster_api_types::{
    ChangeCause, Mode, NodePlan, NodePlanState, Plan, PlanCreate, PlannedChange, PlannedResource,
};

use super::apply::diff_lines;
use super::sources;
use crate::arguments;
use crate::client::Client;
use crate::failure::{Failure, Result};
use crate::format::{safe, word};
use crate::output::{Output, Tone};
use crate::wait::wait_for;

pub(super) async fn plan(output: &Output, client: &Client, command: arguments::Plan) -> Result<()> {
    let files = command.file.as_deref().map(sources::collect).transpose()?;
    let body = PlanCreate { files, node: command.node, environment: command.environment };
    let begun: Plan = client.post(&["plans"], &body).await?;
    let id = begun.id.to_string();
    let first = RefCell::new(Some(begun));
    let plan = wait_for(output, command.timeout, "the plan", "muster plan", || async {
        let known = first.borrow_mut().take();
        let plan = match known {
            Some(plan) => plan,
            None => client.get(&["plans", &id], &[]).await?,
        };
        Ok(plan.finished.then_some(plan))
    })
    .await?;
    if output.json() {
        output.object(&plan)?;
    } else {
        for node in &plan.nodes {
            if let Some(text) = node_text(node, command.brief, output.colour()) {
                output.line(&text)?;
            }
        }
        tell(output, &plan);
    }
    outcome(&plan, command.exit_code)
}

/// What does not belong to the result: who could not say anything, and the sum.
fn tell(output: &Output, plan: &Plan) {
    let mut missing = BTreeSet::new();
    for node in &plan.nodes {
        match node.state {
            NodePlanState::Problem | NodePlanState::Waiting => {
                let why = node.problem.as_deref().unwrap_or("it has not answered");
                output.warning(&format!(
                    "{} cannot say what it would change: {}",
                    node.node,
                    safe(why, false)
                ));
            }
            NodePlanState::Missing => {
                missing.insert(node.node.as_str());
            }
            NodePlanState::Planned => {}
        }
        if let Some(why) = &node.reboot_required {
            output.warning(&format!("{} has to be restarted already: {}", node.node, safe(why, false)));
        }
    }
    if !missing.is_empty() {
        let names: Vec<_> = missing.into_iter().collect();
        output.note(&format!("declared, and no host has joined as it yet: {}", names.join(", ")));
    }
    let nodes = plan.nodes.iter().filter(|node| node.state == NodePlanState::Planned);
    let unchanged = nodes.clone().filter(|node| node.change_count == 0).count();
    output.note(&format!(
        "{}; {}; nothing was changed",
        count(changes(plan), "change", "changes"),
        match (unchanged, nodes.count()) {
            (unchanged, all) if unchanged == all => format!("on none of {}", count(all, "node", "nodes")),
            (unchanged, all) => format!("on {} of {}", all - unchanged, count(all, "node", "nodes")),
        }
    ));
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn changes(plan: &Plan) -> usize {
    plan.nodes.iter().map(|node| usize::try_from(node.change_count).unwrap_or(usize::MAX)).sum()
}

/// The exit code tells the truth: a plan that is not whole is a failure.
fn outcome(plan: &Plan, exit_code: bool) -> Result<()> {
    let silent = plan
        .nodes
        .iter()
        .filter(|node| matches!(node.state, NodePlanState::Problem | NodePlanState::Waiting));
    match silent.count() {
        0 if exit_code && changes(plan) > 0 => {
            Err(Failure::differs(format!("{} would be made", count(changes(plan), "change", "changes"))))
        }
        0 => Ok(()),
        silent => Err(Failure::failed(format!(
            "the plan is not whole: {} not say what would be changed",
            count(silent, "node could", "nodes could")
        ))),
    }
}

/// What a node would do; nothing when it would do nothing.
fn node_text(node: &NodePlan, brief: bool, colour: bool) -> Option<String> {
    if node.resources.is_empty() {
        return None;
    }
    let heading = format!(
        "{} ({}): {}, {} as they should be",
        node.node,
        node.environment,
        count(usize::try_from(node.change_count).unwrap_or(usize::MAX), "change", "changes"),
        count(usize::try_from(node.unchanged_count).unwrap_or(usize::MAX), "resource", "resources"),
    );
    let mut lines = vec![Tone::Strong.paint(&heading, colour)];
    for resource in &node.resources {
        lines.push(resource_text(resource, colour));
        if !brief {
            lines.extend(resource.diff.iter().flat_map(|diff| diff_lines(diff, colour)));
        }
    }
    Some(lines.join("\n"))
}

fn resource_text(resource: &PlannedResource, colour: bool) -> String {
    let (mark, tone) = match resource.change {
        PlannedChange::None => (" ", Tone::Plain),
        PlannedChange::Change => ("~", Tone::Warning),
        PlannedChange::Remove => ("-", Tone::Bad),
        PlannedChange::Release => ("o", Tone::Quiet),
        PlannedChange::Reload | PlannedChange::Restart | PlannedChange::Run => (">", Tone::Warning),
        PlannedChange::Skip | PlannedChange::Unknown => ("?", Tone::Bad),
    };
    let mut text = tone.paint(&format!("  {mark} {}", safe(&resource.key, false)), colour);
    let what = match resource.change {
        PlannedChange::Change | PlannedChange::None => None,
        PlannedChange::Remove => Some("removed"),
        PlannedChange::Release => Some("no longer looked after"),
        PlannedChange::Reload => Some("reloaded"),
        PlannedChange::Restart => Some("restarted"),
        PlannedChange::Run => Some("run"),
        PlannedChange::Skip => Some("not tried"),
        PlannedChange::Unknown => Some("not known"),
    };
    let detail = safe(&resource.detail, false);
    let said: Vec<&str> = what.into_iter().chain((!detail.is_empty()).then_some(detail.as_str())).collect();
    if !said.is_empty() {
        text.push_str(&format!(": {}", said.join(": ")));
    }
    let mut marks = Vec::new();
    if resource.cause == Some(ChangeCause::Corrective) {
        marks.push("drift".to_owned());
    }
    if resource.disruptive {
        marks.push("takes a turn".to_owned());
    }
    if resource.mode != Mode::Enforce {
        marks.push(format!("mode {}: would not be made", word(&resource.mode)));
    }
    if !marks.is_empty() {
        text.push_str(&Tone::Quiet.paint(&format!(" [{}]", marks.join(", ")), colour));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(key: &str, change: PlannedChange, detail: &str) -> PlannedResource {
        PlannedResource {
            key: key.to_owned(),
            change,
            mode: Mode::Enforce,
            cause: Some(ChangeCause::Intentional),
            disruptive: change == PlannedChange::Restart,
            detail: detail.to_owned(),
            diff: None,
        }
    }

    #[test]
    fn a_plan_reads_like_what_will_happen() {
        let mut file = resource("file:/etc/nginx/nginx.conf", PlannedChange::Change, "another content");
        file.diff =
            Some("--- a\n+++ b\n@@ -1 +1 @@\n-worker_processes 1;\n+worker_processes auto;\n".to_owned());
        let mut drift = resource("cron_job:report", PlannedChange::Change, "another schedule");
        drift.cause = Some(ChangeCause::Corrective);
        drift.mode = Mode::Report;
        let node = NodePlan {
            node: "app-1".to_owned(),
            environment: "production".to_owned(),
            state: NodePlanState::Planned,
            problem: None,
            change_count: 3,
            generation: Some(4),
            reboot_required: None,
            resources: vec![
                file,
                resource("service:nginx.service", PlannedChange::Restart, ""),
                resource("package:telnet", PlannedChange::Remove, ""),
                resource("user:old", PlannedChange::Release, "it stays"),
                drift,
            ],
            unchanged_count: 57,
        };
        insta::assert_snapshot!(node_text(&node, false, false).unwrap());
        assert!(!node_text(&node, true, false).unwrap().contains("worker_processes"));
        let quiet = NodePlan { resources: Vec::new(), change_count: 0, ..node };
        assert_eq!(node_text(&quiet, false, false), None);
    }
}
