//! Processes on all nodes, as they were last reported.

use crate::{Conn, DbError, decode};
use chrono::{DateTime, Utc};
use muster_domain::{ApplicationName, EnvironmentName, NodeName, ReleaseVersion, observed::ProcessState};

/// One instance of an application on a node.
#[derive(Debug, Clone)]
pub struct ProcessRecord {
    /// The node.
    pub node: NodeName,
    /// Its environment.
    pub environment: EnvironmentName,
    /// The application.
    pub application: ApplicationName,
    /// The instance number, from 0.
    pub instance: u32,
    /// The version of the release that it runs.
    pub release: Option<ReleaseVersion>,
    /// Its state.
    pub state: ProcessState,
    /// Its process id.
    pub pid: Option<u32>,
    /// Starts after the first.
    pub restarts: u64,
    /// When the current process started.
    pub started_at: Option<DateTime<Utc>>,
    /// Percent of one processor.
    pub cpu_percent: f32,
    /// Resident memory in bytes.
    pub memory_bytes: u64,
    /// Exits that were too early and still count towards a crash loop.
    pub unstable_restarts: u64,
    /// Why the last process ended.
    pub last_exit: Option<String>,
    /// What enforces its limits.
    pub limits_by: Option<String>,
    /// Log lines that were dropped.
    pub dropped_log_lines: u64,
    /// Where the application listens on the node.
    pub listening: Vec<String>,
    /// Why the application's last apply on the node failed, while no later one succeeded.
    pub last_failure: Option<String>,
    /// When the node said so.
    pub reported_at: DateTime<Utc>,
}

/// Which processes to list. Absent parts do not restrict.
#[derive(Debug, Clone, Default)]
pub struct ProcessFilter<'a> {
    /// Of this application.
    pub application: Option<&'a str>,
    /// In this environment.
    pub environment: Option<&'a str>,
    /// On this node.
    pub node: Option<&'a str>,
    /// Behind this application, node and instance in their order.
    pub after: Option<(&'a str, &'a str, u32)>,
}

/// Processes in the order of application, node and instance.
pub async fn list(
    conn: &mut Conn,
    filter: &ProcessFilter<'_>,
    limit: i64,
) -> Result<Vec<ProcessRecord>, DbError> {
    let rows = sqlx::query!(
        "SELECT n.name, n.environment, p.application, p.instance, p.release_version, p.state, p.pid, p.restarts,
                p.started_at, p.cpu_percent, p.memory_bytes, p.last_exit, p.reported_at, p.unstable_restarts,
                p.limits_by, p.dropped_log_lines, p.listening, p.last_failure
         FROM processes p JOIN nodes n ON n.id = p.node_id
         WHERE n.revoked_at IS NULL AND ($1::text IS NULL OR p.application = $1)
           AND ($2::text IS NULL OR n.environment = $2)
           AND ($3::text IS NULL OR n.name = $3)
           AND ($4::text IS NULL OR (p.application, n.name, p.instance) > ($4, $5::text, $6::integer))
         ORDER BY p.application, n.name, p.instance
         LIMIT $7",
        filter.application,
        filter.environment,
        filter.node,
        filter.after.map(|after| after.0),
        filter.after.map(|after| after.1),
        filter.after.map(|after| i32::try_from(after.2).unwrap_or(i32::MAX)),
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(ProcessRecord {
                node: decode::word("nodes", "name", row.name)?,
                environment: decode::word("nodes", "environment", row.environment)?,
                application: decode::word("processes", "application", row.application)?,
                instance: decode::unsigned("processes", "instance", row.instance.into())?,
                release: decode::word_opt("processes", "release_version", row.release_version)?,
                state: decode::word("processes", "state", row.state)?,
                pid: row.pid.map(|pid| decode::unsigned("processes", "pid", pid)).transpose()?,
                restarts: decode::unsigned("processes", "restarts", row.restarts)?,
                started_at: row.started_at,
                cpu_percent: decode::finite(row.cpu_percent),
                memory_bytes: decode::unsigned("processes", "memory_bytes", row.memory_bytes)?,
                unstable_restarts: decode::unsigned("processes", "unstable_restarts", row.unstable_restarts)?,
                last_exit: row.last_exit,
                limits_by: row.limits_by,
                dropped_log_lines: decode::unsigned("processes", "dropped_log_lines", row.dropped_log_lines)?,
                listening: row.listening,
                last_failure: row.last_failure,
                reported_at: row.reported_at,
            })
        })
        .collect()
}

/// How many processes an application has in an environment, and how many of them are ready.
#[derive(Debug, Clone)]
pub struct ProcessCount {
    /// The application.
    pub application: ApplicationName,
    /// The environment.
    pub environment: EnvironmentName,
    /// In all.
    pub process_count: u32,
    /// Ready.
    pub process_ready_count: u32,
}

/// Processes in numbers, per application and environment; of every application, or of the one of this name.
pub async fn counts(conn: &mut Conn, application: Option<&str>) -> Result<Vec<ProcessCount>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT p.application, n.environment, count(*) AS "total!",
                  count(*) FILTER (WHERE p.state = 'ready') AS "ready!"
           FROM processes p JOIN nodes n ON n.id = p.node_id
           WHERE n.revoked_at IS NULL AND ($1::text IS NULL OR p.application = $1)
           GROUP BY p.application, n.environment
           ORDER BY p.application, n.environment"#,
        application
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(ProcessCount {
                application: decode::word("processes", "application", row.application)?,
                environment: decode::word("nodes", "environment", row.environment)?,
                process_count: decode::unsigned("processes", "count", row.total)?,
                process_ready_count: decode::unsigned("processes", "count", row.ready)?,
            })
        })
        .collect()
}
