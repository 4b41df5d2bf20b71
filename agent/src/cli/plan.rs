//! What the next run would change, from the node's own files and a look at it. Changes nothing.

use muster_agent::StateDir;
use muster_agent::converge::Planner;
use muster_agent::identity::IdentityStore;
use muster_agent::ledger::{self, Verifier};
use muster_agent::runner::supervisor::SupervisorRunner;
use muster_domain::plan::{NodePlan, PlannedChange, PlannedResource};
use muster_domain::resource::Mode;
use std::process::ExitCode;
use std::sync::Arc;

pub(super) async fn print(state: &StateDir, json: bool) -> ExitCode {
    let enrolment = match IdentityStore::new(state.clone()).enrolment() {
        Ok(enrolment) => enrolment,
        Err(error) => return super::fail(1, &error),
    };
    let verifier = Verifier { node_id: enrolment.node_id, keys: enrolment.assignment_keys() };
    let seen = ledger::look(&state.ledger(), &verifier);
    for problem in &seen.problems {
        super::warn(problem);
    }
    let Some(current) = seen.current else {
        return super::fail(
            1,
            &std::io::Error::other("this node has no assignment yet, or none that can be read"),
        );
    };
    let apps = SupervisorRunner::seen(state).await.map_err(|error| error.to_string());
    let host = Arc::new(super::host(state, enrolment.rootless));
    let plan = Planner::new(host, state.clone()).plan_seen(current, seen.memory, apps).await;
    if json {
        super::say(&serde_json::to_string_pretty(&plan).expect("text and numbers always encode"));
    } else {
        super::say(text(&plan).trim_end());
    }
    ExitCode::SUCCESS
}

fn text(plan: &NodePlan) -> String {
    let mut text = String::new();
    for resource in plan.resources.iter().filter(|resource| resource.change != PlannedChange::None) {
        let PlannedResource { key, change, mode, cause, disruptive, detail, diff } = resource;
        text.push_str(&format!("{:<9}{key}", change.as_str()));
        let drift = cause.map(|cause| cause.as_str()).filter(|_| change.changes());
        let turn = (*disruptive && *mode == Mode::Enforce).then_some("needs the node's turn");
        let shown = (*mode != Mode::Enforce).then(|| format!("mode {}: not made", mode.as_str()));
        let notes: Vec<&str> = drift.into_iter().chain(turn).chain(shown.as_deref()).collect();
        if !notes.is_empty() {
            text.push_str(&format!("  ({})", notes.join(", ")));
        }
        text.push('\n');
        for line in detail.lines().chain(diff.iter().flat_map(|diff| diff.lines())) {
            text.push_str(&format!("         {line}\n"));
        }
    }
    let count = |wanted: fn(&PlannedResource) -> bool| plan.resources.iter().filter(|r| wanted(r)).count();
    let made = count(|resource| resource.change.changes() && resource.mode == Mode::Enforce);
    let shown = count(|resource| resource.change.changes() && resource.mode != Mode::Enforce);
    let unclear = count(|r| matches!(r.change, PlannedChange::Unknown | PlannedChange::Skip));
    text.push_str(&format!(
        "\nGeneration {}: {made} of {} resources would be changed",
        plan.generation,
        plan.resources.len()
    ));
    if shown > 0 {
        text.push_str(&format!(", {shown} differ and may not be"));
    }
    if unclear > 0 {
        text.push_str(&format!(", {unclear} cannot be told or would not be tried"));
    }
    text.push_str(". Nothing was changed.\n");
    text
}
