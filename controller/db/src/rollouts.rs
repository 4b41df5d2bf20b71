//! Rollouts and their nodes.

use crate::{Conn, DbError};
use chrono::{DateTime, Utc};
use muster_domain::{
    ApplicationName, EnvironmentName, NodeId, NodeName, ReleaseId, ReleaseVersion, RolloutId,
    rollout::{NodeProgress, RolloutNode, RolloutState},
};
use uuid::Uuid;

/// Deploy or rollback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutKind {
    /// To a release that a person named.
    Deploy,
    /// Back to one that ran before.
    Rollback,
}

impl RolloutKind {
    /// The word in SQL and REST.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Rollback => "rollback",
        }
    }
}

/// A rollout as it is stored.
#[derive(Debug, Clone)]
pub struct StoredRollout {
    /// Its id.
    pub id: RolloutId,
    /// The environment.
    pub environment: EnvironmentName,
    /// The application.
    pub application: ApplicationName,
    /// The release that it moves to.
    pub release_id: ReleaseId,
    /// That release's version.
    pub release_version: ReleaseVersion,
    /// The environment's target before.
    pub former_release_id: Option<ReleaseId>,
    /// That release's version.
    pub former_release_version: Option<ReleaseVersion>,
    /// Deploy or rollback.
    pub kind: RolloutKind,
    /// How it stands.
    pub state: RolloutState,
    /// Who started it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it last moved.
    pub updated_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Raised by every stored step.
    pub step: i64,
    /// Its nodes, in the order in which they are moved.
    pub nodes: Vec<StoredRolloutNode>,
}

/// One node of a rollout.
#[derive(Debug, Clone)]
pub struct StoredRolloutNode {
    /// What the state machine knows.
    pub node: RolloutNode,
    /// The node's name.
    pub name: NodeName,
    /// The version of the release that it ran before.
    pub former_release_version: Option<ReleaseVersion>,
}

/// A rollout that is about to be stored.
#[derive(Debug, Clone)]
pub struct NewRollout {
    /// Its id.
    pub id: RolloutId,
    /// The environment.
    pub environment: EnvironmentName,
    /// The application.
    pub application: ApplicationName,
    /// The release that it moves to.
    pub release_id: ReleaseId,
    /// The environment's target before.
    pub former_release_id: Option<ReleaseId>,
    /// Deploy or rollback.
    pub kind: RolloutKind,
    /// Who started it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Its nodes, in order.
    pub nodes: Vec<RolloutNode>,
}

/// Which rollouts are asked for.
#[derive(Debug, Clone, Default)]
pub struct RolloutFilter {
    /// Of this application.
    pub application: Option<String>,
    /// In this environment.
    pub environment: Option<String>,
    /// Only those that have not ended (`true`) or have (`false`).
    pub active: Option<bool>,
    /// Created before this one, newest first.
    pub before: Option<RolloutId>,
    /// At most so many.
    pub limit: i64,
}

struct Row {
    id: Uuid,
    environment: String,
    application: String,
    release_id: Uuid,
    release_version: String,
    former_release_id: Option<Uuid>,
    former_release_version: Option<String>,
    kind: String,
    status: String,
    reason: Option<String>,
    aborted: bool,
    created_by: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    step: i64,
}

fn version(column: &'static str, text: String) -> Result<ReleaseVersion, DbError> {
    ReleaseVersion::parse(text).map_err(|e| DbError::corrupt("rollouts", column, e))
}

fn state(status: &str, reason: Option<String>, aborted: bool) -> Result<RolloutState, DbError> {
    let why =
        |reason: Option<String>| reason.ok_or_else(|| DbError::corrupt("rollouts", "reason", "is missing"));
    Ok(match status {
        "planned" => RolloutState::Planned,
        "running" => RolloutState::Running,
        "rolling_back" => RolloutState::RollingBack { reason: why(reason)?, aborted },
        "completed" => RolloutState::Completed,
        "rolled_back" => RolloutState::RolledBack { reason: why(reason)? },
        "aborted" => RolloutState::Aborted { reason: why(reason)? },
        other => return Err(DbError::corrupt("rollouts", "status", other)),
    })
}

fn reason(state: &RolloutState) -> (Option<&str>, bool) {
    match state {
        RolloutState::Planned | RolloutState::Running | RolloutState::Completed => (None, false),
        RolloutState::RollingBack { reason, aborted } => (Some(reason), *aborted),
        RolloutState::RolledBack { reason } => (Some(reason), false),
        RolloutState::Aborted { reason } => (Some(reason), true),
    }
}

const fn progress_word(progress: &NodeProgress) -> &'static str {
    match progress {
        NodeProgress::Pending => "pending",
        NodeProgress::Waiting { .. } => "waiting",
        NodeProgress::Away => "away",
        NodeProgress::Moving { .. } => "moving",
        NodeProgress::Moved { .. } => "moved",
        NodeProgress::Failed { .. } => "failed",
        NodeProgress::Returning { .. } => "returning",
        NodeProgress::Returned { .. } => "returned",
        NodeProgress::ReturnUnconfirmed { .. } => "return_unconfirmed",
    }
}

impl Row {
    fn decode(self, nodes: Vec<StoredRolloutNode>) -> Result<StoredRollout, DbError> {
        Ok(StoredRollout {
            id: RolloutId::from_uuid(self.id),
            environment: EnvironmentName::parse(self.environment)
                .map_err(|e| DbError::corrupt("rollouts", "environment", e))?,
            application: ApplicationName::parse(self.application)
                .map_err(|e| DbError::corrupt("rollouts", "application", e))?,
            release_id: ReleaseId::from_uuid(self.release_id),
            release_version: version("release_id", self.release_version)?,
            former_release_id: self.former_release_id.map(ReleaseId::from_uuid),
            former_release_version: self
                .former_release_version
                .map(|v| version("former_release_id", v))
                .transpose()?,
            kind: match self.kind.as_str() {
                "deploy" => RolloutKind::Deploy,
                "rollback" => RolloutKind::Rollback,
                other => return Err(DbError::corrupt("rollouts", "kind", other)),
            },
            state: state(&self.status, self.reason, self.aborted)?,
            created_by: self.created_by,
            created_at: self.created_at,
            updated_at: self.updated_at,
            finished_at: self.finished_at,
            step: self.step,
            nodes,
        })
    }
}

/// The name of the constraint that allows one rollout at a time.
pub const ONE_ACTIVE: &str = "rollouts_one_active";

/// Stores a new rollout. Violates [`ONE_ACTIVE`] when one is under way for the application and environment.
pub async fn insert(conn: &mut Conn, new: &NewRollout) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO rollouts (id, environment, application, release_id, former_release_id, kind, status, reason,
                               aborted, created_by, created_at, updated_at, step)
         VALUES ($1, $2, $3, $4, $5, $6, 'planned', NULL, false, $7, $8, $8, 0)",
        new.id.as_uuid(),
        new.environment.as_str(),
        new.application.as_str(),
        new.release_id.as_uuid(),
        new.former_release_id.map(ReleaseId::as_uuid),
        new.kind.as_str(),
        new.created_by,
        new.created_at
    )
    .execute(&mut *conn)
    .await?;
    for (position, node) in (0..).zip(&new.nodes) {
        sqlx::query!(
            "INSERT INTO rollout_nodes (rollout_id, node_id, position, former_release_id, progress, state)
             VALUES ($1, $2, $3, $4, $5, $6)",
            new.id.as_uuid(),
            node.node.as_uuid(),
            position,
            node.former_release.map(ReleaseId::as_uuid),
            progress_value(&node.progress)?,
            progress_word(&node.progress)
        )
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

fn progress_value(progress: &NodeProgress) -> Result<serde_json::Value, DbError> {
    serde_json::to_value(progress).map_err(|e| DbError::corrupt("rollout_nodes", "progress", e))
}

/// Stores a step: the state and the nodes. `Stale` when somebody else stored one since `step` was read.
pub async fn update(
    conn: &mut Conn,
    id: RolloutId,
    step: i64,
    state: &RolloutState,
    nodes: &[RolloutNode],
    at: DateTime<Utc>,
) -> Result<(), DbError> {
    let (reason, aborted) = reason(state);
    let done = sqlx::query!(
        "UPDATE rollouts SET status = $3, reason = $4, aborted = $5, updated_at = $6, finished_at = $7, step = step + 1
         WHERE id = $1 AND step = $2",
        id.as_uuid(),
        step,
        state.as_str(),
        reason,
        aborted,
        at,
        state.terminal().then_some(at)
    )
    .execute(&mut *conn)
    .await?;
    if done.rows_affected() == 0 {
        return Err(DbError::Stale("the rollout"));
    }
    for node in nodes {
        sqlx::query!(
            "UPDATE rollout_nodes SET progress = $3, state = $4 WHERE rollout_id = $1 AND node_id = $2",
            id.as_uuid(),
            node.node.as_uuid(),
            progress_value(&node.progress)?,
            progress_word(&node.progress)
        )
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

async fn nodes(conn: &mut Conn, id: Uuid) -> Result<Vec<StoredRolloutNode>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT rn.node_id, n.name, rn.former_release_id, rn.progress, r.version AS "former_version?"
           FROM rollout_nodes rn
           JOIN nodes n ON n.id = rn.node_id
           LEFT JOIN releases r ON r.id = rn.former_release_id
           WHERE rn.rollout_id = $1 ORDER BY rn.position"#,
        id
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(StoredRolloutNode {
                node: RolloutNode {
                    node: NodeId::from_uuid(row.node_id),
                    former_release: row.former_release_id.map(ReleaseId::from_uuid),
                    progress: serde_json::from_value(row.progress)
                        .map_err(|e| DbError::corrupt("rollout_nodes", "progress", e))?,
                },
                name: NodeName::parse(row.name).map_err(|e| DbError::corrupt("nodes", "name", e))?,
                former_release_version: row
                    .former_version
                    .map(|v| version("former_release_id", v))
                    .transpose()?,
            })
        })
        .collect()
}

/// One rollout.
pub async fn get(conn: &mut Conn, id: RolloutId) -> Result<Option<StoredRollout>, DbError> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT o.id, o.environment, o.application, o.release_id, r.version AS release_version,
                  o.former_release_id, f.version AS "former_release_version?", o.kind, o.status, o.reason, o.aborted,
                  o.created_by, o.created_at, o.updated_at, o.finished_at, o.step
           FROM rollouts o JOIN releases r ON r.id = o.release_id LEFT JOIN releases f ON f.id = o.former_release_id
           WHERE o.id = $1"#,
        id.as_uuid()
    )
    .fetch_optional(&mut *conn)
    .await?;
    match row {
        None => Ok(None),
        Some(row) => {
            let nodes = nodes(conn, row.id).await?;
            row.decode(nodes).map(Some)
        }
    }
}

/// Locks one rollout until the transaction ends, then reads it; `None` when another controller holds it or it is not there.
pub async fn lock(conn: &mut Conn, id: RolloutId) -> Result<Option<StoredRollout>, DbError> {
    let locked =
        sqlx::query_scalar!("SELECT id FROM rollouts WHERE id = $1 FOR UPDATE SKIP LOCKED", id.as_uuid())
            .fetch_optional(&mut *conn)
            .await?;
    if locked.is_none() { Ok(None) } else { get(conn, id).await }
}

/// Locks one rollout, waiting for whoever holds it.
pub async fn lock_wait(conn: &mut Conn, id: RolloutId) -> Result<Option<StoredRollout>, DbError> {
    let locked = sqlx::query_scalar!("SELECT id FROM rollouts WHERE id = $1 FOR UPDATE", id.as_uuid())
        .fetch_optional(&mut *conn)
        .await?;
    if locked.is_none() { Ok(None) } else { get(conn, id).await }
}

/// Rollouts that have not ended, oldest first.
pub async fn active(conn: &mut Conn) -> Result<Vec<RolloutId>, DbError> {
    Ok(sqlx::query_scalar!(
        "SELECT id FROM rollouts WHERE status IN ('planned', 'running', 'rolling_back') ORDER BY created_at, id"
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(RolloutId::from_uuid)
    .collect())
}

/// Rollouts, newest first (their ids are ordered by time).
pub async fn list(conn: &mut Conn, filter: &RolloutFilter) -> Result<Vec<StoredRollout>, DbError> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT o.id, o.environment, o.application, o.release_id, r.version AS release_version,
                  o.former_release_id, f.version AS "former_release_version?", o.kind, o.status, o.reason, o.aborted,
                  o.created_by, o.created_at, o.updated_at, o.finished_at, o.step
           FROM rollouts o JOIN releases r ON r.id = o.release_id LEFT JOIN releases f ON f.id = o.former_release_id
           WHERE ($1::text IS NULL OR o.application = $1) AND ($2::text IS NULL OR o.environment = $2)
             AND ($3::boolean IS NULL OR (o.finished_at IS NULL) = $3)
             AND ($4::uuid IS NULL OR o.id < $4)
           ORDER BY o.id DESC LIMIT $5"#,
        filter.application,
        filter.environment,
        filter.active,
        filter.before.map(RolloutId::as_uuid),
        filter.limit
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut rollouts = Vec::with_capacity(rows.len());
    for row in rows {
        let nodes = nodes(conn, row.id).await?;
        rollouts.push(row.decode(nodes)?);
    }
    Ok(rollouts)
}

/// What the environment ran before `current`: the former target of the last deploy that brought `current`.
pub async fn release_before(
    conn: &mut Conn,
    environment: &EnvironmentName,
    application: &ApplicationName,
    current: ReleaseId,
) -> Result<Option<ReleaseId>, DbError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT former_release_id AS "former!" FROM rollouts
           WHERE environment = $1 AND application = $2 AND release_id = $3 AND kind = 'deploy' AND status = 'completed'
             AND former_release_id IS NOT NULL AND former_release_id <> $3
           ORDER BY finished_at DESC LIMIT 1"#,
        environment.as_str(),
        application.as_str(),
        current.as_uuid()
    )
    .fetch_optional(conn)
    .await?
    .map(ReleaseId::from_uuid))
}

/// A release by its version.
pub async fn release_find(
    conn: &mut Conn,
    application: &ApplicationName,
    version: &ReleaseVersion,
) -> Result<Option<ReleaseId>, DbError> {
    Ok(sqlx::query_scalar!(
        "SELECT id FROM releases WHERE application = $1 AND version = $2",
        application.as_str(),
        version.as_str()
    )
    .fetch_optional(conn)
    .await?
    .map(ReleaseId::from_uuid))
}
