//! Modes that people set on top of what is declared.

use crate::{Conn, DbError, decode};
use chrono::{DateTime, Utc};
use muster_domain::{NodeId, resource::Mode};

/// A mode that a person set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModeOverride {
    /// The resource; absent: the whole node.
    pub key: Option<String>,
    /// `report` or `ignore`.
    pub mode: Mode,
    /// Why.
    pub reason: String,
    /// Who.
    pub set_by: String,
    /// When.
    pub set_at: DateTime<Utc>,
    /// Until when; absent: until somebody lifts it.
    pub expires_at: Option<DateTime<Utc>>,
}

/// The modes that are set for a node: its own first, then those of its resources by key.
pub async fn list(conn: &mut Conn, node: NodeId) -> Result<Vec<ModeOverride>, DbError> {
    let rows = sqlx::query!(
        "SELECT key, mode, reason, set_by, set_at, expires_at FROM mode_overrides WHERE node_id = $1 ORDER BY key",
        node.as_uuid()
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(ModeOverride {
                key: (!row.key.is_empty()).then_some(row.key),
                mode: decode::word("mode_overrides", "mode", row.mode)?,
                reason: row.reason,
                set_by: row.set_by,
                set_at: row.set_at,
                expires_at: row.expires_at,
            })
        })
        .collect()
}

/// Sets a mode, over the one that was set before.
pub async fn put(conn: &mut Conn, node: NodeId, new: &ModeOverride) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO mode_overrides (node_id, key, mode, reason, set_by, set_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (node_id, key) DO UPDATE
         SET mode = excluded.mode, reason = excluded.reason, set_by = excluded.set_by, set_at = excluded.set_at,
             expires_at = excluded.expires_at",
        node.as_uuid(),
        new.key.as_deref().unwrap_or_default(),
        new.mode.as_str(),
        new.reason,
        new.set_by,
        new.set_at,
        new.expires_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lifts a mode; `false` when none was set.
pub async fn delete(conn: &mut Conn, node: NodeId, key: Option<&str>) -> Result<bool, DbError> {
    Ok(sqlx::query!(
        "DELETE FROM mode_overrides WHERE node_id = $1 AND key = $2",
        node.as_uuid(),
        key.unwrap_or_default()
    )
    .execute(conn)
    .await?
    .rows_affected()
        == 1)
}

/// How many modes are set for a node.
pub async fn count(conn: &mut Conn, node: NodeId) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM mode_overrides WHERE node_id = $1"#,
        node.as_uuid()
    )
    .fetch_one(conn)
    .await?)
}

/// Whether any mode has run out by now.
pub async fn any_expired(conn: &mut Conn, now: DateTime<Utc>) -> Result<bool, DbError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM mode_overrides WHERE expires_at <= $1) AS "any!""#,
        now
    )
    .fetch_one(conn)
    .await?)
}

/// Lifts every mode that has run out; gives back of which node and for what.
pub async fn delete_expired(
    conn: &mut Conn,
    now: DateTime<Utc>,
) -> Result<Vec<(NodeId, Option<String>)>, DbError> {
    let rows = sqlx::query!("DELETE FROM mode_overrides WHERE expires_at <= $1 RETURNING node_id, key", now)
        .fetch_all(conn)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| (NodeId::from_uuid(row.node_id), (!row.key.is_empty()).then_some(row.key)))
        .collect())
}
