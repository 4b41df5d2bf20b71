//! Resources of nodes: how each stands, and how it was changed.

use crate::{Conn, DbError, decode};
use chrono::{DateTime, Utc};
use muster_domain::{
    NodeId,
    assignment::Generation,
    observed::{ChangeCause, ResourceReport, ResourceStatus},
    resource::{Mode, ResourceKey},
};
use std::collections::BTreeMap;

/// How a resource was last reported, as far as the next report is compared with it.
#[derive(Debug, Clone)]
pub struct KnownResource {
    /// Its status.
    pub status: ResourceStatus,
    /// What the agent may do about a difference.
    pub mode: Mode,
    /// What was said of it.
    pub detail: String,
    /// The generation of that report.
    pub generation: Generation,
}

/// How a resource of a node stands, as it last reported.
#[derive(Debug, Clone)]
pub struct ResourceRecord {
    /// `kind:name`.
    pub key: String,
    /// How it stands.
    pub status: ResourceStatus,
    /// What the agent may do about a difference.
    pub mode: Mode,
    /// What is wrong, or how it is.
    pub detail: String,
    /// It is known what differs.
    pub differs: bool,
    /// When this was reported.
    pub reported_at: DateTime<Utc>,
    /// When it was last changed.
    pub changed_at: Option<DateTime<Utc>>,
    /// Why it was last changed.
    pub change: Option<ChangeCause>,
    /// What was changed then.
    pub change_detail: Option<String>,
}

/// One change of a resource.
#[derive(Debug, Clone)]
pub struct ResourceChangeRecord {
    /// Orders the changes of the fleet.
    pub id: i64,
    /// Which resource.
    pub key: String,
    /// When it was reported.
    pub at: DateTime<Utc>,
    /// The generation that was in force.
    pub generation: Generation,
    /// Whether something new was asked for, or drift was put right.
    pub cause: ChangeCause,
    /// What was changed.
    pub detail: String,
    /// The difference that was put right.
    pub diff: Option<String>,
}

/// How many changes are kept.
#[derive(Debug, Clone, Copy)]
pub struct ChangesKept {
    /// Of one resource of a node.
    pub per_resource: i64,
    /// Of one node.
    pub per_node: i64,
}

/// How a node's resources were last reported.
pub async fn known(conn: &mut Conn, node: NodeId) -> Result<BTreeMap<ResourceKey, KnownResource>, DbError> {
    let rows = sqlx::query!(
        "SELECT key, status, mode, detail, generation FROM resource_states WHERE node_id = $1",
        node.as_uuid()
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let key =
                ResourceKey::parse(row.key).map_err(|e| DbError::corrupt("resource_states", "key", e))?;
            let known = KnownResource {
                status: decode::word("resource_states", "status", row.status)?,
                mode: decode::word("resource_states", "mode", row.mode)?,
                detail: row.detail,
                generation: decode::generation("resource_states", "generation", row.generation)?,
            };
            Ok((key, known))
        })
        .collect()
}

/// One resource of a node, as it was last reported.
pub async fn known_one(
    conn: &mut Conn,
    node: NodeId,
    key: &ResourceKey,
) -> Result<Option<KnownResource>, DbError> {
    let row = sqlx::query!(
        "SELECT status, mode, detail, generation FROM resource_states WHERE node_id = $1 AND key = $2",
        node.as_uuid(),
        key.as_str()
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        Ok(KnownResource {
            status: decode::word("resource_states", "status", row.status)?,
            mode: decode::word("resource_states", "mode", row.mode)?,
            detail: row.detail,
            generation: decode::generation("resource_states", "generation", row.generation)?,
        })
    })
    .transpose()
}

/// Resources as the database takes many at once: one array for each column. An empty text stands for "none": arrays of
/// optional texts have no column type of their own.
#[derive(Default)]
struct Columns {
    keys: Vec<String>,
    positions: Vec<i32>,
    statuses: Vec<String>,
    modes: Vec<String>,
    details: Vec<String>,
    changes: Vec<String>,
    diffs: Vec<String>,
}

impl Columns {
    fn of(resources: &[ResourceReport]) -> Self {
        let mut columns = Self::default();
        for (position, resource) in (0..).zip(resources) {
            let ResourceReport { key, status, mode, change, detail, diff } = resource;
            columns.keys.push(key.to_string());
            columns.positions.push(position);
            columns.statuses.push(status.as_str().to_owned());
            columns.modes.push(mode.as_str().to_owned());
            columns.details.push(detail.clone());
            columns.changes.push(change.map_or("", ChangeCause::as_str).to_owned());
            columns.diffs.push(diff.clone().unwrap_or_default());
        }
        columns
    }
}

/// Stores the resources of a report, and forgets those that are no longer part of it. What it changed goes into the
/// history.
pub async fn replace(
    conn: &mut Conn,
    node: NodeId,
    (generation, at): (Generation, DateTime<Utc>),
    resources: &[ResourceReport],
    kept: ChangesKept,
) -> Result<(), DbError> {
    let generation = decode::bigint(generation.get());
    let rows = Columns::of(resources);
    sqlx::query!(
        "DELETE FROM resource_states WHERE node_id = $1 AND key <> ALL($2)",
        node.as_uuid(),
        &rows.keys
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query_file!(
        "queries/resources_replace.sql",
        node.as_uuid(),
        generation,
        at,
        &rows.keys,
        &rows.positions,
        &rows.statuses,
        &rows.modes,
        &rows.details,
        &rows.changes,
        &rows.diffs
    )
    .execute(&mut *conn)
    .await?;
    let changed: Vec<ResourceReport> = resources.iter().filter(|r| r.change.is_some()).cloned().collect();
    if changed.is_empty() {
        return Ok(());
    }
    let rows = Columns::of(&changed);
    sqlx::query!(
        "INSERT INTO resource_changes (node_id, key, at, generation, cause, detail, diff)
         SELECT $1, u.key, $3, $2, u.cause, u.detail, NULLIF(u.diff, '')
         FROM UNNEST($4::text[], $5::text[], $6::text[], $7::text[]) AS u (key, cause, detail, diff)",
        node.as_uuid(),
        generation,
        at,
        &rows.keys,
        &rows.changes,
        &rows.details,
        &rows.diffs
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "DELETE FROM resource_changes c
         USING (SELECT id, row_number() OVER (PARTITION BY key ORDER BY id DESC) AS place
                FROM resource_changes WHERE node_id = $1 AND key = ANY($2)) old
         WHERE c.id = old.id AND old.place > $3",
        node.as_uuid(),
        &rows.keys,
        kept.per_resource
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "DELETE FROM resource_changes WHERE node_id = $1 AND id <= (
             SELECT id FROM resource_changes WHERE node_id = $1 ORDER BY id DESC OFFSET $2 LIMIT 1)",
        node.as_uuid(),
        kept.per_node
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The resources of a node, in the order in which they are applied; of a key, when one is given.
pub async fn list(conn: &mut Conn, node: NodeId, key: Option<&str>) -> Result<Vec<ResourceRecord>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT key, status, mode, detail, diff IS NOT NULL AS "differs!", reported_at, changed_at, change,
                  change_detail
           FROM resource_states WHERE node_id = $1 AND ($2::text IS NULL OR key = $2) ORDER BY position, key"#,
        node.as_uuid(),
        key
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(ResourceRecord {
                key: row.key,
                status: decode::word("resource_states", "status", row.status)?,
                mode: decode::word("resource_states", "mode", row.mode)?,
                detail: row.detail,
                differs: row.differs,
                reported_at: row.reported_at,
                changed_at: row.changed_at,
                change: decode::word_opt("resource_states", "change", row.change)?,
                change_detail: row.change_detail,
            })
        })
        .collect()
}

/// What differs at a resource now, and what its last change put right.
pub async fn diffs(
    conn: &mut Conn,
    node: NodeId,
    key: &str,
) -> Result<(Option<String>, Option<String>), DbError> {
    let row = sqlx::query!(
        "SELECT diff, change_diff FROM resource_states WHERE node_id = $1 AND key = $2",
        node.as_uuid(),
        key
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map_or((None, None), |row| (row.diff, row.change_diff)))
}

/// Changes of a node's resources before `before`, the newest first; of a key, when one is given.
pub async fn changes(
    conn: &mut Conn,
    node: NodeId,
    key: Option<&str>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<ResourceChangeRecord>, DbError> {
    let rows = sqlx::query!(
        "SELECT id, key, at, generation, cause, detail, diff FROM resource_changes
         WHERE node_id = $1 AND ($2::text IS NULL OR key = $2) AND ($3::bigint IS NULL OR id < $3)
         ORDER BY id DESC LIMIT $4",
        node.as_uuid(),
        key,
        before,
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(ResourceChangeRecord {
                id: row.id,
                key: row.key,
                at: row.at,
                generation: decode::generation("resource_changes", "generation", row.generation)?,
                cause: decode::word("resource_changes", "cause", row.cause)?,
                detail: row.detail,
                diff: row.diff,
            })
        })
        .collect()
}

/// Forgets changes from before a time; how many.
pub async fn changes_delete_before(conn: &mut Conn, before: DateTime<Utc>) -> Result<u64, DbError> {
    Ok(sqlx::query!("DELETE FROM resource_changes WHERE at < $1", before)
        .execute(conn)
        .await?
        .rows_affected())
}
