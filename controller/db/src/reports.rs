//! What nodes report: beats, resources, processes, convergence runs.

use crate::{Conn, DbError};
use chrono::{DateTime, Utc};
use muster_domain::{
    ApplicationName, EnvironmentName, NodeId, NodeName,
    assignment::Generation,
    node::{HostFacts, Liveness},
    observed::{ChangeCause, ConvergenceReport, ProcessReport, ResourceStatus},
    resource::Mode,
};
use uuid::Uuid;

/// A node as reports change it. Read under a lock.
#[derive(Debug, Clone)]
pub struct ReportingNode {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: NodeName,
    /// Its environment.
    pub environment: EnvironmentName,
    /// Whether it is heard from.
    pub liveness: Liveness,
    /// The last beat.
    pub last_heartbeat_at: Option<DateTime<Utc>>,
    /// The highest stored report.
    pub report_sequence: u64,
    /// The generation that it last reported.
    pub reported_generation: Generation,
    /// Everything is as it should be.
    pub converged: Option<bool>,
    /// Why it has to be restarted, as it last said.
    pub reboot_required: Option<String>,
    /// A person wants it restarted.
    pub reboot_requested: bool,
}

struct NodeRow {
    id: Uuid,
    name: String,
    environment: String,
    liveness: String,
    last_heartbeat_at: Option<DateTime<Utc>>,
    report_sequence: i64,
    reported_generation: i64,
    converged: Option<bool>,
    reboot_required: Option<String>,
    reboot_requested: bool,
}

/// Reads the word for a liveness.
pub fn liveness(text: &str) -> Result<Liveness, DbError> {
    [Liveness::Pending, Liveness::Up, Liveness::Late, Liveness::Down, Liveness::Revoked]
        .into_iter()
        .find(|l| l.as_str() == text)
        .ok_or_else(|| DbError::corrupt("nodes", "liveness", text))
}

fn unsigned(column: &'static str, number: i64) -> Result<u64, DbError> {
    u64::try_from(number).map_err(|e| DbError::corrupt("nodes", column, e))
}

fn signed(column: &'static str, number: u64) -> Result<i64, DbError> {
    i64::try_from(number).map_err(|e| DbError::corrupt("nodes", column, e))
}

impl TryFrom<NodeRow> for ReportingNode {
    type Error = DbError;
    fn try_from(row: NodeRow) -> Result<Self, DbError> {
        Ok(Self {
            id: NodeId::from_uuid(row.id),
            name: NodeName::parse(row.name).map_err(|e| DbError::corrupt("nodes", "name", e))?,
            environment: EnvironmentName::parse(row.environment)
                .map_err(|e| DbError::corrupt("nodes", "environment", e))?,
            liveness: liveness(&row.liveness)?,
            last_heartbeat_at: row.last_heartbeat_at,
            report_sequence: unsigned("report_sequence", row.report_sequence)?,
            reported_generation: Generation::new(unsigned("reported_generation", row.reported_generation)?),
            converged: row.converged,
            reboot_required: row.reboot_required,
            reboot_requested: row.reboot_requested,
        })
    }
}

/// Locks and reads a node that is not revoked.
pub async fn node_lock(conn: &mut Conn, node: NodeId) -> Result<Option<ReportingNode>, DbError> {
    sqlx::query_as!(
        NodeRow,
        r#"SELECT id, name, environment, liveness, last_heartbeat_at, report_sequence, reported_generation, converged,
                  reboot_required,
                  EXISTS (SELECT FROM reboot_requests r WHERE r.node_id = nodes.id) AS "reboot_requested!"
           FROM nodes WHERE id = $1 AND revoked_at IS NULL FOR NO KEY UPDATE"#,
        node.as_uuid()
    )
    .fetch_optional(conn)
    .await?
    .map(TryInto::try_into)
    .transpose()
}

/// Every node that is not revoked, by name, without a lock.
pub async fn nodes(conn: &mut Conn) -> Result<Vec<ReportingNode>, DbError> {
    sqlx::query_as!(
        NodeRow,
        r#"SELECT id, name, environment, liveness, last_heartbeat_at, report_sequence, reported_generation, converged,
                  reboot_required,
                  EXISTS (SELECT FROM reboot_requests r WHERE r.node_id = nodes.id) AS "reboot_requested!"
           FROM nodes WHERE revoked_at IS NULL ORDER BY name"#
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(TryInto::try_into)
    .collect()
}

/// Notes a beat, and the facts when it brings any.
pub async fn node_beat(
    conn: &mut Conn,
    node: NodeId,
    at: DateTime<Utc>,
    facts: Option<&HostFacts>,
) -> Result<(), DbError> {
    let facts =
        facts.map(serde_json::to_value).transpose().map_err(|e| DbError::corrupt("nodes", "facts", e))?;
    sqlx::query!(
        "UPDATE nodes SET last_heartbeat_at = $2, facts = COALESCE($3, facts) WHERE id = $1",
        node.as_uuid(),
        at,
        facts
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Moves a node from one liveness to another; `false` when it was no longer at `from`.
pub async fn node_set_liveness(
    conn: &mut Conn,
    node: NodeId,
    from: Liveness,
    to: Liveness,
    at: DateTime<Utc>,
) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "UPDATE nodes SET liveness = $3, liveness_changed_at = $4 WHERE id = $1 AND liveness = $2",
        node.as_uuid(),
        from.as_str(),
        to.as_str(),
        at
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Notes the highest stored report.
pub async fn node_set_report_sequence(conn: &mut Conn, node: NodeId, sequence: u64) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE nodes SET report_sequence = $2 WHERE id = $1",
        node.as_uuid(),
        signed("report_sequence", sequence)?
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes how a node stands after a convergence run.
pub async fn node_set_convergence(
    conn: &mut Conn,
    node: NodeId,
    report: &ConvergenceReport,
    at: DateTime<Utc>,
) -> Result<(), DbError> {
    let count = |of: &[ResourceStatus]| {
        let resources = report.resources.iter().filter(|r| r.mode != Mode::Ignore && of.contains(&r.status));
        i32::try_from(resources.count()).unwrap_or(i32::MAX)
    };
    sqlx::query!(
        "UPDATE nodes SET reported_generation = $2, converged = $3,
                converged_at = CASE WHEN $3 THEN $4 ELSE converged_at END,
                resource_count = $5, failed_count = $6, drifted_count = $7, waiting_count = $8, reboot_required = $9
         WHERE id = $1",
        node.as_uuid(),
        signed("reported_generation", report.generation.get())?,
        report.converged(),
        at,
        i32::try_from(report.resources.len()).unwrap_or(i32::MAX),
        count(&[ResourceStatus::Failed, ResourceStatus::Skipped]),
        count(&[ResourceStatus::Drifted]),
        count(&[ResourceStatus::Waiting]),
        report.reboot_required
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Appends a convergence run to the node's history, which holds its last `keep` runs that changed or failed something,
/// or the newest one.
pub async fn convergence_append(
    conn: &mut Conn,
    node: NodeId,
    report: &ConvergenceReport,
    keep: i64,
) -> Result<(), DbError> {
    let count = |cause| {
        let count = report.resources.iter().filter(|r| r.change == Some(cause)).count();
        i32::try_from(count).unwrap_or(i32::MAX)
    };
    let failed = report.resources.iter().filter(|r| r.status == ResourceStatus::Failed).count();
    sqlx::query!(
        "INSERT INTO convergence_reports
                (node_id, sequence, generation, started_at, finished_at, converged, intentional, corrective, failed)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (node_id, sequence) DO NOTHING",
        node.as_uuid(),
        signed("sequence", report.sequence)?,
        signed("generation", report.generation.get())?,
        report.started_at,
        report.finished_at,
        report.converged(),
        count(ChangeCause::Intentional),
        count(ChangeCause::Corrective),
        i32::try_from(failed).unwrap_or(i32::MAX)
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "DELETE FROM convergence_reports
         WHERE node_id = $1 AND sequence <= (
             SELECT sequence FROM convergence_reports WHERE node_id = $1 ORDER BY sequence DESC OFFSET $2 LIMIT 1)",
        node.as_uuid(),
        keep
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Stores the processes of a beat over the former ones, in one statement: every node beats every few seconds.
pub async fn processes_replace(
    conn: &mut Conn,
    node: NodeId,
    at: DateTime<Utc>,
    processes: &[ProcessReport],
) -> Result<(), DbError> {
    let rows = ProcessColumns::of(processes)?;
    sqlx::query_file!(
        "queries/processes_replace.sql",
        node.as_uuid(),
        at,
        &rows.applications,
        &rows.instances,
        &rows.release_ids as &[Option<Uuid>],
        &rows.release_versions as &[Option<String>],
        &rows.states,
        &rows.pids as &[Option<i64>],
        &rows.restarts,
        &rows.started_at as &[Option<DateTime<Utc>>],
        &rows.cpu_percents,
        &rows.memory_bytes,
        &rows.last_exits as &[Option<String>],
        &rows.unstable_restarts,
        &rows.limits_by as &[Option<String>],
        &rows.dropped_log_lines,
        &rows.listening,
        &rows.last_failures as &[Option<String>]
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Processes as the database takes many at once: one array for each column.
#[derive(Default)]
struct ProcessColumns {
    applications: Vec<String>,
    instances: Vec<i32>,
    release_ids: Vec<Option<Uuid>>,
    release_versions: Vec<Option<String>>,
    states: Vec<String>,
    pids: Vec<Option<i64>>,
    restarts: Vec<i64>,
    started_at: Vec<Option<DateTime<Utc>>>,
    cpu_percents: Vec<f32>,
    memory_bytes: Vec<i64>,
    last_exits: Vec<Option<String>>,
    unstable_restarts: Vec<i64>,
    limits_by: Vec<Option<String>>,
    dropped_log_lines: Vec<i64>,
    listening: Vec<String>,
    last_failures: Vec<Option<String>>,
}

impl ProcessColumns {
    fn of(processes: &[ProcessReport]) -> Result<Self, DbError> {
        let mut columns = Self::default();
        for process in processes {
            // Exhaustive, so that a new field cannot be forgotten here.
            let ProcessReport {
                application,
                instance,
                release_id,
                release_version,
                state,
                pid,
                restarts,
                started_at,
                cpu_percent,
                memory_bytes,
                last_exit,
                unstable_restarts,
                limits_by,
                dropped_log_lines,
                listening,
                last_failure,
            } = process;
            columns.applications.push(application.to_string());
            columns.instances.push(i32::try_from(*instance).unwrap_or(i32::MAX));
            columns.release_ids.push(release_id.map(|id| id.as_uuid()));
            columns.release_versions.push(release_version.as_ref().map(ToString::to_string));
            columns.states.push(state.as_str().to_owned());
            columns.pids.push(pid.map(i64::from));
            columns.restarts.push(signed("restarts", *restarts)?);
            columns.started_at.push(*started_at);
            columns.cpu_percents.push(*cpu_percent);
            columns.memory_bytes.push(signed("memory_bytes", *memory_bytes)?);
            columns.last_exits.push(last_exit.clone());
            columns.unstable_restarts.push(signed("unstable_restarts", *unstable_restarts)?);
            columns.limits_by.push(limits_by.clone());
            columns.dropped_log_lines.push(signed("dropped_log_lines", *dropped_log_lines)?);
            // An array of arrays has to be rectangular, so these travel as text.
            columns.listening.push(listening.join("\n"));
            columns.last_failures.push(last_failure.clone());
        }
        Ok(columns)
    }
}

/// The name of a node, revoked or not.
pub async fn node_name(conn: &mut Conn, node: NodeId) -> Result<Option<NodeName>, DbError> {
    sqlx::query_scalar!("SELECT name FROM nodes WHERE id = $1", node.as_uuid())
        .fetch_optional(conn)
        .await?
        .map(|name| NodeName::parse(name).map_err(|e| DbError::corrupt("nodes", "name", e)))
        .transpose()
}

/// Applications that have processes somewhere, by node: what a live view of an application follows.
pub async fn node_applications(conn: &mut Conn, node: NodeId) -> Result<Vec<ApplicationName>, DbError> {
    sqlx::query_scalar!(
        "SELECT DISTINCT application FROM processes WHERE node_id = $1 ORDER BY application",
        node.as_uuid()
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(|name| ApplicationName::parse(name).map_err(|e| DbError::corrupt("processes", "application", e)))
    .collect()
}
