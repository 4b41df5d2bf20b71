//! The first page: are we fine, and if not, where?

use crate::{
    Actor, App, AppError, Permission,
    applications::{EnvironmentView, NODES_AT_MOST, environments, up_to_date},
    nodes::NodeOverview,
    turns::TurnView,
};
use muster_db::{
    events::EventFilter,
    nodes::NodeFilter,
    processes::{ProcessFilter, ProcessRecord},
    rollouts::{RolloutFilter, StoredRollout},
};
use muster_domain::{
    ApplicationName, NodeName,
    event::{Event, Severity},
    node::{Convergence, Liveness},
    observed::ProcessState,
    turn::TurnState,
};
use std::collections::{BTreeMap, BTreeSet};

/// The newest events that are shown.
const EVENTS_SHOWN: i64 = 20;
/// Rollouts under way that are shown.
const ROLLOUTS_SHOWN: i64 = 50;
/// Disks fuller than this need a person.
const DISK_FULL_PERCENT: u64 = 90;

/// How many nodes stand how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConvergenceCounts {
    /// Everything is as it should be.
    pub converged: u32,
    /// Not said yet.
    pub pending: u32,
    /// Something has to wait.
    pub waiting: u32,
    /// Something differs and may not be changed.
    pub drifted: u32,
    /// Something failed.
    pub failed: u32,
}

impl ConvergenceCounts {
    /// Counts one more node.
    pub(crate) fn add(&mut self, convergence: Convergence) {
        *match convergence {
            Convergence::Converged => &mut self.converged,
            Convergence::Pending => &mut self.pending,
            Convergence::Waiting => &mut self.waiting,
            Convergence::Drifted => &mut self.drifted,
            Convergence::Failed => &mut self.failed,
        } += 1;
    }
}

/// What the first page shows.
#[derive(Debug, Clone)]
pub struct OverviewView {
    /// What needs a person, worst first.
    pub attention: Vec<AttentionView>,
    /// Health by environment.
    pub environments: Vec<EnvironmentView>,
    /// How many nodes stand how; revoked ones are not counted.
    pub convergence: ConvergenceCounts,
    /// Who is changing disruptively, who waits for that, who failed at it.
    pub turns: Vec<TurnView>,
    /// Every node.
    pub nodes: Vec<NodeOverview>,
    /// Declared nodes that no host has joined as.
    pub missing_nodes: Vec<NodeName>,
    /// Rollouts under way.
    pub active_rollouts: Vec<StoredRollout>,
    /// The newest events.
    pub recent_events: Vec<Event>,
    /// The version of the fleet configuration in force; 0: none.
    pub fleet_configuration_version: i64,
    /// How many applications are declared.
    pub application_count: u32,
}

/// Something that needs a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttentionView {
    /// How much to care.
    pub severity: Severity,
    /// One line.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// The node, if it is about one.
    pub node: Option<NodeName>,
    /// The application, if it is about one.
    pub application: Option<ApplicationName>,
}

impl App {
    /// Everything that the first page shows, as of one moment.
    pub async fn overview_get(&self, actor: &Actor) -> Result<OverviewView, AppError> {
        actor.require(Permission::FleetView)?;
        let mut conn = self.db().conn().await?;
        let (version, configuration) = self.configuration_in_force(&mut conn).await?;
        let nodes = self.node_overviews(&mut conn, &NodeFilter::default(), NODES_AT_MOST).await?;
        let active = RolloutFilter { active: Some(true), limit: ROLLOUTS_SHOWN, ..RolloutFilter::default() };
        let active_rollouts = muster_db::rollouts::list(&mut conn, &active).await?;
        let recent = EventFilter { limit: EVENTS_SHOWN, ..EventFilter::default() };
        let recent_events = muster_db::events::list(&mut conn, &recent).await?;
        let processes =
            muster_db::processes::list(&mut conn, &ProcessFilter::default(), NODES_AT_MOST).await?;
        let turns = self.turn_views(&mut conn, None).await?;
        let mut convergence = ConvergenceCounts::default();
        for node in nodes.iter().filter(|n| n.liveness != Liveness::Revoked) {
            convergence.add(node.convergence);
        }
        let joined: BTreeSet<&NodeName> =
            nodes.iter().filter(|n| n.liveness != Liveness::Revoked).map(|n| &n.name).collect();
        let missing_nodes =
            configuration.nodes.keys().filter(|name| !joined.contains(name)).cloned().collect();
        Ok(OverviewView {
            attention: attention(&nodes, &processes, &turns),
            convergence,
            turns,
            environments: environments(&configuration, &nodes),
            missing_nodes,
            nodes,
            active_rollouts,
            recent_events,
            fleet_configuration_version: version,
            application_count: u32::try_from(configuration.applications.len()).unwrap_or(u32::MAX),
        })
    }
}

/// What needs a person, worst first.
fn attention(nodes: &[NodeOverview], processes: &[ProcessRecord], turns: &[TurnView]) -> Vec<AttentionView> {
    let mut found: Vec<AttentionView> = nodes.iter().flat_map(attention_of_node).collect();
    found.extend(turns.iter().filter(|turn| turn.state == TurnState::Failed).map(|turn| AttentionView {
        severity: Severity::Error,
        message: format!("a change failed on node {}, and others of its roles wait: {}", turn.node, turn.detail),
        hint: format!(
            "mend the fleet configuration and apply it, or let the others go on: `muster node release-turn {}`",
            turn.node
        ),
        node: Some(turn.node.clone()),
        application: None,
    }));
    let heard: BTreeSet<&NodeName> = nodes
        .iter()
        .filter(|n| matches!(n.liveness, Liveness::Up | Liveness::Late))
        .map(|n| &n.name)
        .collect();
    let mut crashing: BTreeMap<(&NodeName, &ApplicationName), (u32, Option<&str>)> = BTreeMap::new();
    for process in
        processes.iter().filter(|p| p.state == ProcessState::CrashLooping && heard.contains(&p.node))
    {
        let entry = crashing.entry((&process.node, &process.application)).or_default();
        entry.0 += 1;
        entry.1 = process.last_exit.as_deref().or(entry.1);
    }
    for ((node, application), (count, last_exit)) in crashing {
        let why = last_exit.map_or_else(String::new, |why| format!(": {why}"));
        found.push(AttentionView {
            severity: Severity::Error,
            message: format!(
                "{count} of the processes of {application} on {node} crash again and again{why}"
            ),
            hint: format!(
                "read `muster logs {application} --node {node}`, then deploy a mended release or roll back"
            ),
            node: Some(node.clone()),
            application: Some(application.clone()),
        });
    }
    found.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.node.cmp(&b.node)));
    found
}

fn attention_of_node(node: &NodeOverview) -> Vec<AttentionView> {
    let name = &node.name;
    let about = |severity, message: String, hint: String| AttentionView {
        severity,
        message,
        hint,
        node: Some(name.clone()),
        application: None,
    };
    let mut found = Vec::new();
    match node.liveness {
        Liveness::Revoked => return found,
        Liveness::Down => {
            let since = node.last_heartbeat_at.unwrap_or(node.liveness_changed_at);
            found.push(about(
                Severity::Error,
                format!("node {name} is down since {}", since.format("%Y-%m-%d %H:%M:%SZ")),
                "look whether the host runs, then at `systemctl status muster-agent` on it".to_owned(),
            ));
            // What it last said of itself is old news.
            return found;
        }
        Liveness::Pending => found.push(about(
            Severity::Warning,
            format!("node {name} has joined and was never heard since"),
            "look at `journalctl -u muster-agent` on the host".to_owned(),
        )),
        Liveness::Up | Liveness::Late => {}
    }
    if let Some(error) = &node.compile_error {
        found.push(about(
            Severity::Error,
            format!("node {name} keeps its former assignment: {error}"),
            "mend the fleet configuration and apply it again".to_owned(),
        ));
    }
    if node.converged == Some(false) && node.failed_count > 0 && !up_to_date(node) {
        let count = node.failed_count;
        found.push(about(
            Severity::Error,
            format!(
                "{count} resource{} of node {name} {} not as declared",
                if count == 1 { "" } else { "s" },
                if count == 1 { "is" } else { "are" }
            ),
            format!("`muster node show {name}` says which and why"),
        ));
    }
    if node.drifted_count > 0 {
        let count = node.drifted_count;
        let (s, differ) = if count == 1 { ("", "differs") } else { ("s", "differ") };
        found.push(about(
            Severity::Warning,
            format!("{count} resource{s} of node {name} {differ} from what is declared, and may not be changed"),
            format!("`muster node resources {name} --drifted` says which; `muster node mode {name} enforce` lets them be put right"),
        ));
    }
    if let Some(why) = &node.reboot_required {
        found.push(about(
            Severity::Warning,
            format!("node {name} has to be restarted: {why}"),
            format!(
                "`muster node reboot {name} --reason ...` does it in its turn, unless a window is declared"
            ),
        ));
    }
    if let Some(figures) = node.figures
        && figures.disk_total_bytes > 0
        && figures.disk_used_bytes.saturating_mul(100) / figures.disk_total_bytes >= DISK_FULL_PERCENT
    {
        let percent = figures.disk_used_bytes.saturating_mul(100) / figures.disk_total_bytes;
        found.push(about(
            Severity::Warning,
            format!("the disk of node {name} is {percent} % full"),
            "make room before the next release: it is not assembled on a full disk".to_owned(),
        ));
    }
    found
}
