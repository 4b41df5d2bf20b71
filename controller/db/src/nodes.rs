//! Nodes, as people look at them: lists, one in full, its certificates.

use crate::{Conn, DbError, decode};
use chrono::{DateTime, Utc};
use muster_domain::{
    EnvironmentName, NodeId, NodeName,
    assignment::Generation,
    node::{Convergence, HostFacts, Liveness, Role},
    resource::Mode,
};

/// A node with what is known of it right now.
#[derive(Debug, Clone)]
pub struct NodeOverview {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: NodeName,
    /// Its environment.
    pub environment: EnvironmentName,
    /// What it is for.
    pub roles: Vec<Role>,
    /// When it joined.
    pub enrolled_at: DateTime<Utc>,
    /// When its identity was withdrawn.
    pub revoked_at: Option<DateTime<Utc>>,
    /// What the host says of itself.
    pub facts: HostFacts,
    /// Whether the controller hears from it.
    pub liveness: Liveness,
    /// Since when it is so.
    pub liveness_changed_at: DateTime<Utc>,
    /// The last beat.
    pub last_heartbeat_at: Option<DateTime<Utc>>,
    /// The generation that it should be at.
    pub generation: Generation,
    /// The generation that it last reported.
    pub reported_generation: Generation,
    /// Everything is as it should be, as far as it last reported.
    pub converged: Option<bool>,
    /// When that was last so.
    pub converged_at: Option<DateTime<Utc>>,
    /// Why no new assignment could be compiled.
    pub compile_error: Option<String>,
    /// How it stands, in one word.
    pub convergence: Convergence,
    /// Resources in all.
    pub resource_count: u32,
    /// Resources that failed, or were skipped because others did.
    pub failed_count: u32,
    /// Resources that differ and may not be changed.
    pub drifted_count: u32,
    /// Resources that differ and have to wait.
    pub waiting_count: u32,
    /// Why it has to be restarted.
    pub reboot_required: Option<String>,
    /// The strictest mode that a person has set for the whole node.
    pub mode: Mode,
    /// Modes that people have set, for the node and for its resources.
    pub mode_override_count: u32,
    /// Processes in all.
    pub process_count: u32,
    /// Processes that are ready.
    pub process_ready_count: u32,
    /// The latest figures, when they are recent.
    pub figures: Option<LatestFigures>,
}

/// The latest figures of a node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatestFigures {
    /// Percent of all processors.
    pub cpu_percent: f32,
    /// Memory in use, bytes.
    pub memory_used_bytes: u64,
    /// Memory in all, bytes.
    pub memory_total_bytes: u64,
    /// Disk in use, bytes.
    pub disk_used_bytes: u64,
    /// Disk in all, bytes.
    pub disk_total_bytes: u64,
    /// Load over one minute.
    pub load_1: f32,
}

/// Which nodes to list. Absent parts do not restrict.
#[derive(Debug, Clone, Default)]
pub struct NodeFilter<'a> {
    /// Of this environment.
    pub environment: Option<&'a str>,
    /// With this role.
    pub role: Option<&'a str>,
    /// Standing so.
    pub convergence: Option<Convergence>,
    /// This one.
    pub name: Option<&'a str>,
    /// Behind this name in the order of names.
    pub after: Option<&'a str>,
}

/// Nodes in the order of their names. Figures older than `figures_since` are left out.
pub async fn overviews(
    conn: &mut Conn,
    filter: &NodeFilter<'_>,
    figures_since: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<NodeOverview>, DbError> {
    let rows = sqlx::query_file!(
        "queries/node_overviews.sql",
        filter.environment,
        filter.role,
        filter.name,
        filter.after,
        figures_since,
        limit,
        filter.convergence.map(Convergence::as_str)
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let count = |column, number| decode::unsigned("nodes", column, number);
            let bytes =
                |column, number: Option<i64>| decode::unsigned("node_metrics", column, number.unwrap_or(0));
            let figures = match (row.cpu_percent, row.load_1) {
                (Some(cpu_percent), Some(load_1)) => Some(LatestFigures {
                    cpu_percent,
                    memory_used_bytes: bytes("memory_used_bytes", row.memory_used_bytes)?,
                    memory_total_bytes: bytes("memory_total_bytes", row.memory_total_bytes)?,
                    disk_used_bytes: bytes("disk_used_bytes", row.disk_used_bytes)?,
                    disk_total_bytes: bytes("disk_total_bytes", row.disk_total_bytes)?,
                    load_1,
                }),
                _ => None,
            };
            Ok(NodeOverview {
                id: NodeId::from_uuid(row.id),
                name: decode::word("nodes", "name", row.name)?,
                environment: decode::word("nodes", "environment", row.environment)?,
                roles: decode::roles("nodes", &row.roles)?,
                enrolled_at: row.enrolled_at,
                revoked_at: row.revoked_at,
                facts: serde_json::from_value(row.facts)
                    .map_err(|e| DbError::corrupt("nodes", "facts", e))?,
                liveness: decode::word("nodes", "liveness", row.liveness)?,
                liveness_changed_at: row.liveness_changed_at,
                last_heartbeat_at: row.last_heartbeat_at,
                generation: decode::generation("assignments", "generation", row.generation)?,
                reported_generation: decode::generation(
                    "nodes",
                    "reported_generation",
                    row.reported_generation,
                )?,
                converged: row.converged,
                converged_at: row.converged_at,
                compile_error: row.compile_error,
                convergence: decode::word("nodes", "convergence", row.convergence)?,
                resource_count: count("resource_count", row.resource_count.into())?,
                failed_count: count("failed_count", row.failed_count.into())?,
                drifted_count: count("drifted_count", row.drifted_count.into())?,
                waiting_count: count("waiting_count", row.waiting_count.into())?,
                reboot_required: row.reboot_required,
                mode: decode::word("mode_overrides", "mode", row.mode)?,
                mode_override_count: count("mode_override_count", row.mode_override_count)?,
                process_count: count("process_count", row.process_count)?,
                process_ready_count: count("process_ready_count", row.process_ready_count)?,
                figures,
            })
        })
        .collect()
}

/// When the newest certificate of a node ends that was not withdrawn.
pub async fn certificate_expires_at(conn: &mut Conn, node: NodeId) -> Result<Option<DateTime<Utc>>, DbError> {
    Ok(sqlx::query_scalar!(
        "SELECT max(not_after) FROM node_certificates WHERE node_id = $1 AND revoked_at IS NULL",
        node.as_uuid()
    )
    .fetch_one(conn)
    .await?)
}

/// A node by name, with no more than it takes to act on it. Locked until the transaction ends.
pub async fn lock(conn: &mut Conn, name: &str) -> Result<Option<(NodeId, Option<DateTime<Utc>>)>, DbError> {
    let row = sqlx::query!("SELECT id, revoked_at FROM nodes WHERE name = $1 FOR UPDATE", name)
        .fetch_optional(conn)
        .await?;
    Ok(row.map(|row| (NodeId::from_uuid(row.id), row.revoked_at)))
}

/// The id of a node.
pub async fn id(conn: &mut Conn, name: &str) -> Result<Option<NodeId>, DbError> {
    let id = sqlx::query_scalar!("SELECT id FROM nodes WHERE name = $1", name).fetch_optional(conn).await?;
    Ok(id.map(NodeId::from_uuid))
}

/// Forgets a node and everything that it reported. Its certificates go with it: the caller has seen to it that none of
/// them can be used any more.
pub async fn delete(conn: &mut Conn, id: NodeId) -> Result<bool, DbError> {
    sqlx::query!("DELETE FROM node_metrics WHERE node_id = $1", id.as_uuid()).execute(&mut *conn).await?;
    sqlx::query!("DELETE FROM node_metrics_rollup WHERE node_id = $1", id.as_uuid())
        .execute(&mut *conn)
        .await?;
    Ok(sqlx::query!("DELETE FROM nodes WHERE id = $1", id.as_uuid()).execute(conn).await?.rows_affected()
        == 1)
}
