//! Turns: who may change disruptively, who waits for that, who failed at it.

use crate::{Conn, DbError, decode};
use chrono::{DateTime, Utc};
use muster_domain::{
    ApplicationName, EnvironmentName, NodeId, NodeName, ReleaseVersion, RolloutId,
    assignment::Generation,
    node::{Liveness, Role},
    turn::Turn,
};

/// A node among those that share turns.
#[derive(Debug, Clone)]
pub struct TurnNode {
    /// The node.
    pub id: NodeId,
    /// Its name.
    pub name: NodeName,
    /// Its environment.
    pub environment: EnvironmentName,
    /// What it is for.
    pub roles: Vec<Role>,
    /// Whether it is heard from.
    pub liveness: Liveness,
}

/// A node that a rollout is moving now.
#[derive(Debug, Clone)]
pub struct MovingNode {
    /// The node.
    pub node: NodeId,
    /// The rollout.
    pub rollout: RolloutId,
    /// Its application.
    pub application: ApplicationName,
    /// Its release.
    pub release: ReleaseVersion,
    /// Since when the rollout has been under way.
    pub since: DateTime<Utc>,
}

/// One number for "I am about to give out turns", out of the way of sqlx's own.
const TURNS_LOCK: i64 = 0x6d75_7374_6572_0002;

/// Waits until nobody else gives out turns, until the transaction ends. Behind the lock for compiles, where both are
/// needed; whoever holds this one locks no node.
pub async fn lock(conn: &mut Conn) -> Result<(), DbError> {
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", TURNS_LOCK).execute(conn).await?;
    Ok(())
}

/// The environment of a node that is not revoked.
pub async fn environment_of(conn: &mut Conn, node: NodeId) -> Result<Option<EnvironmentName>, DbError> {
    sqlx::query_scalar!("SELECT environment FROM nodes WHERE id = $1 AND revoked_at IS NULL", node.as_uuid())
        .fetch_optional(conn)
        .await?
        .map(|name| decode::word("nodes", "environment", name))
        .transpose()
}

/// Environments that have nodes with a turn, in the order of their names.
pub async fn environments(conn: &mut Conn) -> Result<Vec<EnvironmentName>, DbError> {
    sqlx::query_scalar!(
        "SELECT DISTINCT n.environment FROM turns t JOIN nodes n ON n.id = t.node_id
         WHERE n.revoked_at IS NULL ORDER BY n.environment"
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(|name| decode::word("nodes", "environment", name))
    .collect()
}

/// The nodes of an environment (or of all) that are not revoked, by name.
pub async fn nodes(conn: &mut Conn, environment: Option<&EnvironmentName>) -> Result<Vec<TurnNode>, DbError> {
    let rows = sqlx::query!(
        "SELECT id, name, environment, roles, liveness FROM nodes
         WHERE revoked_at IS NULL AND ($1::text IS NULL OR environment = $1) ORDER BY name",
        environment.map(EnvironmentName::as_str)
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(TurnNode {
                id: NodeId::from_uuid(row.id),
                name: decode::word("nodes", "name", row.name)?,
                environment: decode::word("nodes", "environment", row.environment)?,
                roles: decode::roles("nodes", &row.roles)?,
                liveness: decode::word("nodes", "liveness", row.liveness)?,
            })
        })
        .collect()
}

/// The turns of an environment's nodes (or of all), the oldest first. Those of revoked nodes are left out.
pub async fn list(conn: &mut Conn, environment: Option<&EnvironmentName>) -> Result<Vec<Turn>, DbError> {
    let rows = sqlx::query!(
        "SELECT t.node_id, t.kind, t.cause, t.reason, t.generation, t.configuration_version, t.state, t.since,
                t.expires_at, t.detail
         FROM turns t JOIN nodes n ON n.id = t.node_id
         WHERE n.revoked_at IS NULL AND ($1::text IS NULL OR n.environment = $1) ORDER BY t.since, t.node_id",
        environment.map(EnvironmentName::as_str)
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Turn {
                node: NodeId::from_uuid(row.node_id),
                kind: decode::word("turns", "kind", row.kind)?,
                cause: decode::word("turns", "cause", row.cause)?,
                reason: row.reason,
                generation: decode::generation("turns", "generation", row.generation)?,
                configuration_version: row.configuration_version,
                state: decode::word("turns", "state", row.state)?,
                since: row.since,
                expires_at: row.expires_at,
                detail: row.detail,
            })
        })
        .collect()
}

/// Nodes that rollouts in an environment (or in all) are moving now.
pub async fn moving(
    conn: &mut Conn,
    environment: Option<&EnvironmentName>,
) -> Result<Vec<MovingNode>, DbError> {
    let rows = sqlx::query!(
        "SELECT rn.node_id, o.id, o.application, r.version, o.created_at
         FROM rollouts o
         JOIN rollout_nodes rn ON rn.rollout_id = o.id AND rn.state IN ('moving', 'returning')
         JOIN releases r ON r.id = o.release_id
         WHERE o.status IN ('running', 'rolling_back') AND ($1::text IS NULL OR o.environment = $1)
         ORDER BY o.created_at, rn.position",
        environment.map(EnvironmentName::as_str)
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(MovingNode {
                node: NodeId::from_uuid(row.node_id),
                rollout: RolloutId::from_uuid(row.id),
                application: decode::word("rollouts", "application", row.application)?,
                release: decode::word("releases", "version", row.version)?,
                since: row.created_at,
            })
        })
        .collect()
}

/// Stores a node's turn over the former one.
pub async fn put(conn: &mut Conn, turn: &Turn) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO turns (node_id, kind, cause, reason, generation, configuration_version, state, since, expires_at,
                            detail)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (node_id) DO UPDATE
         SET kind = excluded.kind, cause = excluded.cause, reason = excluded.reason, generation = excluded.generation,
             configuration_version = excluded.configuration_version, state = excluded.state, since = excluded.since,
             expires_at = excluded.expires_at, detail = excluded.detail",
        turn.node.as_uuid(),
        turn.kind.as_str(),
        turn.cause.as_str(),
        turn.reason,
        decode::bigint(turn.generation.get()),
        turn.configuration_version,
        turn.state.as_str(),
        turn.since,
        turn.expires_at,
        turn.detail
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes a node's turn away; `false` when it had none.
pub async fn delete(conn: &mut Conn, node: NodeId) -> Result<bool, DbError> {
    Ok(sqlx::query!("DELETE FROM turns WHERE node_id = $1", node.as_uuid())
        .execute(conn)
        .await?
        .rows_affected()
        == 1)
}

/// Takes away the turn of a node that is converged now, at the generation of the turn or a later one: the place of one whose
/// change failed, and the wait of one that has nothing left to change. A node may wait for its restart although it is
/// converged. `false` when there was nothing to take away.
pub async fn delete_ended(conn: &mut Conn, node: NodeId, converged_at: Generation) -> Result<bool, DbError> {
    Ok(sqlx::query!(
        "DELETE FROM turns WHERE node_id = $1 AND generation <= $2
             AND (state = 'failed' OR (state = 'waiting' AND kind = 'change'))",
        node.as_uuid(),
        decode::bigint(converged_at.get())
    )
    .execute(conn)
    .await?
    .rows_affected()
        == 1)
}
