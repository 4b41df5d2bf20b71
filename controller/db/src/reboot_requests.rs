//! Restarts that people want.

use crate::{Conn, DbError};
use chrono::{DateTime, Utc};
use muster_domain::NodeId;
use uuid::Uuid;

/// A restart that a person wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebootRequest {
    /// Names it: a node carries each out once.
    pub id: Uuid,
    /// Who.
    pub requested_by: String,
    /// When.
    pub requested_at: DateTime<Utc>,
    /// Why.
    pub reason: String,
    /// Without waiting for the node's turn.
    pub at_once: bool,
}

/// The restart that is wanted of a node.
pub async fn get(conn: &mut Conn, node: NodeId) -> Result<Option<RebootRequest>, DbError> {
    Ok(sqlx::query_as!(
        RebootRequest,
        "SELECT id, requested_by, requested_at, reason, at_once FROM reboot_requests WHERE node_id = $1",
        node.as_uuid()
    )
    .fetch_optional(conn)
    .await?)
}

/// Wants a restart, instead of one that was wanted before.
pub async fn put(conn: &mut Conn, node: NodeId, new: &RebootRequest) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO reboot_requests (node_id, id, requested_by, requested_at, reason, at_once)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (node_id) DO UPDATE
         SET id = excluded.id, requested_by = excluded.requested_by, requested_at = excluded.requested_at,
             reason = excluded.reason, at_once = excluded.at_once",
        node.as_uuid(),
        new.id,
        new.requested_by,
        new.requested_at,
        new.reason,
        new.at_once
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets a restart: any (`None`), or only the one of this id. `false` when there was none.
pub async fn delete(conn: &mut Conn, node: NodeId, id: Option<Uuid>) -> Result<bool, DbError> {
    Ok(sqlx::query!(
        "DELETE FROM reboot_requests WHERE node_id = $1 AND ($2::uuid IS NULL OR id = $2)",
        node.as_uuid(),
        id
    )
    .execute(conn)
    .await?
    .rows_affected()
        == 1)
}
