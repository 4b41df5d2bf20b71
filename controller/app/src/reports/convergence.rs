//! Convergence runs: stored with what differs and what was changed, and told as far as somebody may care.

use super::Source;
use crate::{App, AppError, hubs::Announcements, redact::Redactor};
use muster_db::{
    Conn,
    reports::ReportingNode,
    resources::{ChangesKept, KnownResource},
};
use muster_domain::{
    ApplicationName,
    event::{Severity, Subject},
    observed::{ChangeCause, ConvergenceReport, ResourceReport, ResourceStatus},
    resource::{Mode, ResourceKey},
};
use std::collections::{BTreeMap, BTreeSet};

/// Runs in a node's history.
const CONVERGENCE_RUNS_KEPT: i64 = 200;

/// How many resources of one report are stored.
const MAX_RESOURCES: usize = 20_000;

/// Changes with their differences: months of ordinary work on a resource, and 32 MiB of the longest differences on a node
/// that flaps.
const CHANGES_KEPT: ChangesKept = ChangesKept { per_resource: 50, per_node: 1_000 };

/// Resources that an event names; the others are counted.
const NAMES_AT_MOST: usize = 3;

/// What an event says of a resource.
struct Told {
    severity: Severity,
    kind: &'static str,
    message: String,
}

impl App {
    pub(super) async fn convergence_store(
        &self,
        conn: &mut Conn,
        announcements: &mut Announcements,
        node: &mut ReportingNode,
        mut report: ConvergenceReport,
    ) -> Result<(), AppError> {
        report.resources.truncate(MAX_RESOURCES);
        let mut seen = BTreeSet::new();
        report.resources.retain(|r| seen.insert(r.key.clone()));
        let says = |r: &ResourceReport| r.diff.is_some() || !r.detail.is_empty();
        if report.resources.iter().any(says) || report.reboot_required.is_some() {
            // The agent masks what it knows to be secret; this masks what anybody was given to keep.
            let redactor = Redactor::of(&self.secrets_open(conn).await?);
            redactor.optional(&mut report.reboot_required);
            for resource in &mut report.resources {
                redactor.text(&mut resource.detail);
                redactor.optional(&mut resource.diff);
            }
        }
        let known = muster_db::resources::known(conn, node.id).await?;
        let now = self.now();
        let when = (report.generation, now);
        muster_db::resources::replace(conn, node.id, when, &report.resources, CHANGES_KEPT).await?;
        muster_db::reports::convergence_append(conn, node.id, &report, CONVERGENCE_RUNS_KEPT).await?;
        muster_db::reports::node_set_convergence(conn, node.id, &report, now).await?;
        self.convergence_tell(conn, announcements, node, &known, &report).await?;
        if report.converged() && muster_db::turns::delete_ended(conn, node.id, report.generation).await? {
            self.turns_freed(conn, announcements, &node.environment).await?;
        }
        node.reported_generation = report.generation;
        node.converged = Some(report.converged());
        node.reboot_required = report.reboot_required;
        announcements.rollouts_touched = true;
        Ok(())
    }

    /// Turns a run into events: what drifted, what was put back, what began to fail, what came right, what was changed.
    async fn convergence_tell(
        &self,
        conn: &mut Conn,
        announcements: &mut Announcements,
        node: &ReportingNode,
        known: &BTreeMap<ResourceKey, KnownResource>,
        report: &ConvergenceReport,
    ) -> Result<(), AppError> {
        let source = Source::of(node);
        for resource in &report.resources {
            let Some(told) = of_resource(source, known.get(&resource.key), resource) else { continue };
            let about = Subject { application: application_of(&resource.key), ..source.subject() };
            let what = (told.severity, told.kind);
            self.node_event_record(conn, announcements, source, what, about, told.message).await?;
        }
        for Told { severity, kind, message } in of_run(node, report) {
            let what = (severity, kind);
            self.node_event_record(conn, announcements, source, what, source.subject(), message).await?;
        }
        Ok(())
    }
}

/// What there is to tell of one resource.
fn of_resource(node: Source<'_>, known: Option<&KnownResource>, now: &ResourceReport) -> Option<Told> {
    use ResourceStatus::{Converged, Drifted, Failed};
    let (key, name) = (&now.key, node.name);
    let before = known.map(|known| known.status);
    let told = |severity, kind, message| Some(Told { severity, kind, message });
    match now.status {
        Failed if known.is_some_and(|known| known.status == Failed && known.detail == now.detail) => None,
        Failed => told(
            Severity::Error,
            "resource.failed",
            format!("{key} failed on {name}: {}", first_line(&now.detail)),
        ),
        Drifted if now.mode == Mode::Ignore || before == Some(Drifted) => None,
        Drifted => told(
            Severity::Warning,
            "resource.drifted",
            format!(
                "{key} is not as declared on {name}, and stays so, because its mode is {}: {}",
                now.mode.as_str(),
                first_line(&now.detail)
            ),
        ),
        _ if now.change == Some(ChangeCause::Corrective) => told(
            Severity::Warning,
            "resource.corrected",
            format!("{key} had drifted on {name} and was put back: {}", first_line(&now.detail)),
        ),
        Converged if matches!(before, Some(Failed | Drifted)) => {
            told(Severity::Info, "resource.recovered", format!("{key} is as it should be again on {name}"))
        }
        _ => None,
    }
}

/// What there is to tell of the run as a whole.
fn of_run(node: &ReportingNode, report: &ConvergenceReport) -> Vec<Told> {
    let name = &node.name;
    let changed: Vec<&ResourceKey> = report
        .resources
        .iter()
        .filter(|r| r.change == Some(ChangeCause::Intentional))
        .map(|r| &r.key)
        .collect();
    let mut told = Vec::new();
    let newly = report.generation > node.reported_generation || node.converged == Some(false);
    if report.converged() && newly {
        told.push(Told {
            severity: Severity::Info,
            kind: "node.converged",
            message: format!(
                "{name} is converged at generation {}: {}",
                report.generation,
                changed_words(&changed)
            ),
        });
    } else if !changed.is_empty() {
        told.push(Told {
            severity: Severity::Info,
            kind: "node.changed",
            message: format!("{name} at generation {}: {}", report.generation, changed_words(&changed)),
        });
    }
    match (&node.reboot_required, &report.reboot_required) {
        (None, Some(why)) => told.push(Told {
            severity: Severity::Warning,
            kind: "node.reboot_required",
            message: format!("{name} has to be restarted: {}", first_line(why)),
        }),
        (Some(_), None) => told.push(Told {
            severity: Severity::Info,
            kind: "node.reboot_not_required",
            message: format!("{name} need not be restarted any more"),
        }),
        (Some(_), Some(_)) | (None, None) => {}
    }
    told
}

fn changed_words(changed: &[&ResourceKey]) -> String {
    let count = match changed.len() {
        1 => "1 resource changed".to_owned(),
        n => format!("{n} resources changed"),
    };
    if changed.is_empty() {
        return count;
    }
    let names: Vec<_> = changed.iter().take(NAMES_AT_MOST).map(|key| key.as_str()).collect();
    let more = if changed.len() > NAMES_AT_MOST { ", ..." } else { "" };
    format!("{count} ({}{more})", names.join(", "))
}

/// The application that a resource is about, for the event list.
fn application_of(key: &ResourceKey) -> Option<ApplicationName> {
    let (kind, name) = key.as_str().split_once(':')?;
    if kind == "application" { ApplicationName::parse(name).ok() } else { None }
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(300).collect()
}
