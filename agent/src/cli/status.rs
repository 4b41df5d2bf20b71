//! What the node is and what it was last told, read from its files. Changes nothing, and never stops at an oddity.

use muster_agent::StateDir;
use muster_agent::identity::IdentityStore;
use muster_agent::ledger::{self, Verifier};
use muster_agent::lock::{AgentLock, LockError};
use serde::Serialize;
use std::process::ExitCode;

#[derive(Debug, Serialize)]
struct Status {
    node: String,
    node_id: String,
    controller: String,
    rootless: bool,
    state_dir: String,
    agent_running: bool,
    supervisor_socket: bool,
    certificate_not_after: String,
    generation: Option<u64>,
    revision: Option<String>,
    queued_reports: usize,
    resources: Vec<Resource>,
    problems: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Resource {
    key: String,
    /// It was as it should be when the agent last noted that.
    in_place: bool,
}

pub(super) fn print(state: &StateDir, json: bool) -> ExitCode {
    let enrolment = match IdentityStore::new(state.clone()).enrolment() {
        Ok(enrolment) => enrolment,
        Err(error) => return super::fail(1, &error),
    };
    let verifier = Verifier { node_id: enrolment.node_id, keys: enrolment.assignment_keys() };
    let seen = ledger::look(&state.ledger(), &verifier);
    let current = seen.current.as_ref();
    let resources = current.map(|current| {
        let each = current.content.resources.iter().zip(&current.resource_digests);
        each.map(|(resource, digest)| Resource {
            key: resource.key.to_string(),
            in_place: seen.memory.converged.get(&resource.key) == Some(digest),
        })
        .collect()
    });
    let status = Status {
        node: enrolment.node_name.to_string(),
        node_id: enrolment.node_id.to_string(),
        controller: enrolment.controller_url.clone(),
        rootless: enrolment.rootless,
        state_dir: state.root().display().to_string(),
        agent_running: matches!(AgentLock::take(&state.lock()), Err(LockError::Taken { .. })),
        supervisor_socket: std::os::unix::net::UnixStream::connect(state.supervisor_socket()).is_ok(),
        certificate_not_after: enrolment.certificate_not_after.to_rfc3339(),
        generation: current.map(|current| current.generation.get()),
        revision: current.map(|current| current.revision.to_string()),
        queued_reports: seen.queued_reports,
        resources: resources.unwrap_or_default(),
        problems: seen.problems,
    };
    if json {
        super::say(&serde_json::to_string_pretty(&status).expect("text and numbers always encode"));
    } else {
        super::say(&text(&status));
    }
    ExitCode::SUCCESS
}

fn text(status: &Status) -> String {
    let mut lines = vec![
        format!("node          {} ({})", status.node, status.node_id),
        format!("controller    {}", status.controller),
        format!("state         {}{}", status.state_dir, if status.rootless { " (rootless)" } else { "" }),
        format!("agent         {}", if status.agent_running { "runs" } else { "does not run" }),
        format!("supervisor    {}", if status.supervisor_socket { "answers" } else { "does not answer" }),
        format!("certificate   until {}", status.certificate_not_after),
        match (status.generation, &status.revision) {
            (Some(generation), Some(revision)) => {
                format!("assignment    generation {generation}, {}", &revision[..12])
            }
            _ => "assignment    none yet".to_owned(),
        },
        format!("reports       {} queued", status.queued_reports),
    ];
    if !status.resources.is_empty() {
        lines.push(String::new());
    }
    for resource in &status.resources {
        let standing = if resource.in_place { "in place" } else { "not in place" };
        lines.push(format!("{standing:<14}{}", resource.key));
    }
    lines.extend(status.problems.iter().map(|problem| format!("problem       {problem}")));
    lines.join("\n")
}
