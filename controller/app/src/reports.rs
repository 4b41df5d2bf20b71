//! What nodes say: signs of life, convergence runs, things that happened. Who says it comes from the verified certificate.

mod budget;
mod convergence;

use crate::{
    App, AppError,
    events::CONTROLLER,
    hubs::{Announcements, LiveMessage},
    redact::Redactor,
};
use chrono::{DateTime, Utc};
use muster_db::{
    Conn, process_events::ProcessEventRecord, reboot_requests::RebootRequest, reports::ReportingNode,
};
use muster_domain::{
    ApplicationName, EnvironmentName, NodeId, NodeName,
    assignment::Generation,
    event::{NODE_EVENT_KINDS, Severity, Subject},
    metrics::NodeMetrics,
    node::{HostFacts, Liveness},
    observed::{ConvergenceReport, ProcessEvent, ProcessReport},
};
use muster_planning::liveness;
use uuid::Uuid;

pub(crate) use budget::EventBudget;
use budget::Verdict;

/// A sign of life.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    /// The node's figures.
    pub metrics: Option<NodeMetrics>,
    /// Its processes.
    pub processes: Vec<ProcessReport>,
    /// What the host says of itself; absent when it has said so before.
    pub facts: Option<HostFacts>,
    /// The last restart that the node carried out for a person.
    pub rebooted_for: Option<Uuid>,
}

/// The answer to a sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeartbeatAnswer {
    /// How often the node should call.
    pub intervals: Intervals,
    /// A person wants it restarted.
    pub reboot: Option<RebootRequest>,
}

/// How often a node should call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intervals {
    /// Between signs of life.
    pub heartbeat_interval_ms: u32,
    /// Between polls.
    pub poll_interval_ms: u32,
}

/// Something that happened on a node.
#[derive(Debug, Clone)]
pub struct NodeEvent {
    /// Orders the reports of the node.
    pub sequence: u64,
    /// When, by the node's clock.
    pub at: DateTime<Utc>,
    /// Dotted word from the node.
    pub kind: String,
    /// How much to care.
    pub severity: Severity,
    /// One line.
    pub message: String,
    /// The application that it is about.
    pub application: Option<ApplicationName>,
    /// What happened to which of its processes.
    pub process: Option<ProcessEvent>,
}

/// A report of a node.
#[derive(Debug, Clone)]
pub enum NodeReport {
    /// A convergence run.
    Convergence(ConvergenceReport),
    /// The node would not take an assignment.
    Refusal {
        /// Orders the reports of the node.
        sequence: u64,
        /// The generation that it refused.
        generation: Generation,
        /// Why.
        reason: String,
    },
    /// Something happened.
    Event(NodeEvent),
}

impl NodeReport {
    /// Orders the reports of the node.
    pub const fn sequence(&self) -> u64 {
        match self {
            Self::Convergence(report) => report.sequence,
            Self::Refusal { sequence, .. } => *sequence,
            Self::Event(event) => event.sequence,
        }
    }
}

/// How many processes of one node are stored: far more than a VPS runs, and few enough for one transaction.
const MAX_PROCESSES: usize = 2_000;

/// The longest event of a node: it is one line for a person, in a list that is kept for a year.
const MAX_EVENT_CHARS: usize = 1_000;

/// The node that an event comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) id: NodeId,
    pub(crate) name: &'a NodeName,
    pub(crate) environment: &'a EnvironmentName,
}

impl<'a> Source<'a> {
    fn of(node: &'a ReportingNode) -> Self {
        Self { id: node.id, name: &node.name, environment: &node.environment }
    }

    pub(crate) fn subject(&self) -> Subject {
        Subject {
            node: Some(self.name.clone()),
            environment: Some(self.environment.clone()),
            ..Subject::default()
        }
    }
}

pub(crate) fn node_unknown(node: NodeId) -> AppError {
    AppError::Unauthenticated {
        code: "node_unknown",
        detail: format!("node {node} is not part of this fleet, or its identity was withdrawn"),
    }
}

impl App {
    async fn reporting_node(&self, conn: &mut Conn, node: NodeId) -> Result<ReportingNode, AppError> {
        muster_db::reports::node_lock(conn, node).await?.ok_or_else(|| node_unknown(node))
    }

    /// Notes a sign of life, with the figures that came with it.
    pub async fn heartbeat(&self, node: NodeId, beat: Heartbeat) -> Result<HeartbeatAnswer, AppError> {
        let now = self.now();
        let mut announcements = Announcements::default();
        let mut tx = self.db().begin().await?;
        let node = self.reporting_node(&mut tx, node).await?;
        muster_db::reports::node_beat(&mut tx, node.id, now, beat.facts.as_ref()).await?;
        self.liveness_move(&mut tx, &mut announcements, &node, Liveness::Up).await?;
        if let Some(metrics) = beat.metrics {
            // The node's clock may be wrong by hours; the axis of the graphs is the controller's.
            muster_db::metrics::insert_sample(&mut tx, node.id, &NodeMetrics { at: now, ..metrics }).await?;
        }
        let reboot = if node.reboot_requested {
            self.reboot_look(&mut tx, &mut announcements, Source::of(&node), beat.rebooted_for).await?
        } else {
            None
        };
        let mut processes = beat.processes;
        processes.truncate(MAX_PROCESSES);
        // One row per instance, whatever the node sends.
        processes.sort_by(|a, b| (&a.application, a.instance).cmp(&(&b.application, b.instance)));
        processes.dedup_by(|a, b| (&a.application, a.instance) == (&b.application, b.instance));
        muster_db::reports::processes_replace(&mut tx, node.id, now, &processes).await?;
        tx.commit().await.map_err(muster_db::DbError::from)?;
        announcements.live(LiveMessage::Node(node.name));
        self.publish(announcements);
        let settings = self.settings();
        let intervals = Intervals {
            heartbeat_interval_ms: settings.heartbeat_interval_ms,
            poll_interval_ms: settings.poll_interval_ms,
        };
        Ok(HeartbeatAnswer { intervals, reboot })
    }

    /// Stores reports in the order of their sequence. Those that are stored already are skipped. Gives back the highest
    /// stored sequence.
    pub async fn reports_store(&self, node: NodeId, mut reports: Vec<NodeReport>) -> Result<u64, AppError> {
        reports.sort_by_key(NodeReport::sequence);
        let mut announcements = Announcements::default();
        let mut tx = self.db().begin().await?;
        let mut node = self.reporting_node(&mut tx, node).await?;
        let before = node.report_sequence;
        for report in reports {
            let sequence = report.sequence();
            if sequence <= node.report_sequence {
                continue;
            }
            match report {
                NodeReport::Convergence(report) => {
                    self.convergence_store(&mut tx, &mut announcements, &mut node, report).await?;
                }
                NodeReport::Refusal { generation, mut reason, .. } => {
                    Redactor::of(&self.secrets_open(&mut tx).await?).text(&mut reason);
                    let message = format!("node {} refused generation {generation}: {reason}", node.name);
                    self.node_event_record(
                        &mut tx,
                        &mut announcements,
                        Source::of(&node),
                        (Severity::Error, "assignment.refused"),
                        Source::of(&node).subject(),
                        message,
                    )
                    .await?;
                }
                NodeReport::Event(event) => {
                    self.node_event_store(&mut tx, &mut announcements, &node, event).await?
                }
            }
            node.report_sequence = sequence;
        }
        if node.report_sequence > before {
            muster_db::reports::node_set_report_sequence(&mut tx, node.id, node.report_sequence).await?;
            announcements.live(LiveMessage::Node(node.name.clone()));
        }
        tx.commit().await.map_err(muster_db::DbError::from)?;
        self.publish(announcements);
        Ok(node.report_sequence)
    }

    /// Records an event that a node is the cause of, as long as it keeps within its budget. Gives back the number of the
    /// event when it is kept.
    pub(crate) async fn node_event_record(
        &self,
        conn: &mut Conn,
        announcements: &mut Announcements,
        node: Source<'_>,
        (severity, kind): (Severity, &'static str),
        about: Subject,
        message: String,
    ) -> Result<Option<i64>, AppError> {
        let verdict = self.event_budget().take(node.id, self.now());
        let (what, about, message) = match verdict {
            Verdict::Keep => ((severity, kind), about, message.chars().take(MAX_EVENT_CHARS).collect()),
            Verdict::Announce(until) => (
                (Severity::Warning, "node.events_dropped"),
                node.subject(),
                format!(
                    "node {} reports more than {} events in {} min; those until {} are left out",
                    node.name,
                    budget::EVENTS_PER_WINDOW,
                    budget::WINDOW.num_minutes(),
                    until.format("%H:%M:%SZ")
                ),
            ),
            Verdict::Drop => return Ok(None),
        };
        let actor = format!("node {}", node.name);
        let sequence = self.event_record(conn, announcements, &actor, what, about, message).await?;
        Ok((verdict == Verdict::Keep).then_some(sequence))
    }

    async fn node_event_store(
        &self,
        conn: &mut Conn,
        announcements: &mut Announcements,
        node: &ReportingNode,
        event: NodeEvent,
    ) -> Result<(), AppError> {
        let kind = NODE_EVENT_KINDS.into_iter().find(|known| *known == event.kind).unwrap_or("node.event");
        // The time axis is the controller's; a report that waited on the node's disk says when it happened.
        let now = self.now();
        let age = now - event.at;
        let message = if age.num_seconds() > 60 {
            format!(
                "{} (at {} by the node's clock, reported later)",
                event.message,
                event.at.format("%Y-%m-%d %H:%M:%SZ")
            )
        } else {
            event.message
        };
        let about = Subject { application: event.application.clone(), ..Source::of(node).subject() };
        let recorded = self
            .node_event_record(conn, announcements, Source::of(node), (event.severity, kind), about, message)
            .await?;
        if let (Some(sequence), Some(application), Some(process)) =
            (recorded, event.application, event.process)
        {
            let record = ProcessEventRecord {
                sequence,
                at: event.at.min(now),
                reported_at: now,
                kind: kind.to_owned(),
                severity: event.severity,
                node: node.name.clone(),
                environment: node.environment.clone(),
                application,
                event: process,
            };
            muster_db::process_events::insert(conn, &record).await?;
        }
        Ok(())
    }

    /// Looks at every node's last beat. Silence while nobody could be heard proves nothing, so it counts from then.
    pub async fn liveness_scan(&self) -> Result<(), AppError> {
        let looked = self.liveness_look().await;
        if looked.is_err() {
            // Without the database no beat is noted either: the nodes are not to blame for it.
            self.deaf_now();
        }
        looked
    }

    async fn liveness_look(&self) -> Result<(), AppError> {
        let now = self.now();
        let interval_ms = self.settings().heartbeat_interval_ms;
        let nodes = {
            let mut conn = self.db().conn().await?;
            muster_db::reports::nodes(&mut conn).await?
        };
        for node in nodes {
            let since = self.listening_since();
            let last = node.last_heartbeat_at.map(|at| at.max(since));
            let seen = liveness::liveness(last, interval_ms, now);
            // After a restart of the controller a node stays what it was until it beats or is overdue again.
            let resting = node.last_heartbeat_at.is_none_or(|at| at < since) && seen != Liveness::Down;
            if seen == node.liveness || resting {
                continue;
            }
            let mut announcements = Announcements::default();
            let mut tx = self.db().begin().await?;
            // It may have beaten since the list was read, which takes long when many nodes fall silent at once.
            let locked = muster_db::reports::node_lock(&mut tx, node.id).await?;
            if locked.is_none_or(|locked| locked.last_heartbeat_at != node.last_heartbeat_at) {
                continue;
            }
            self.liveness_move(&mut tx, &mut announcements, &node, seen).await?;
            tx.commit().await.map_err(muster_db::DbError::from)?;
            self.publish(announcements);
        }
        Ok(())
    }

    async fn liveness_move(
        &self,
        conn: &mut Conn,
        announcements: &mut Announcements,
        node: &ReportingNode,
        to: Liveness,
    ) -> Result<(), AppError> {
        if node.liveness == to
            || !muster_db::reports::node_set_liveness(conn, node.id, node.liveness, to, self.now()).await?
        {
            return Ok(());
        }
        announcements.live(LiveMessage::Node(node.name.clone()));
        announcements.rollouts_touched = true;
        if let Some(change) = liveness::transition(node.liveness, to) {
            let message = format!("node {} {}", node.name, change.message);
            self.event_record(
                conn,
                announcements,
                CONTROLLER,
                (change.severity, change.kind),
                Source::of(node).subject(),
                message,
            )
            .await?;
        }
        Ok(())
    }
}
