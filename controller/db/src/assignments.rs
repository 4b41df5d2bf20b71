//! Assignments, and what they are compiled from: nodes, release targets, the releases of single nodes.

use crate::{Conn, DbError};
use chrono::{DateTime, Utc};
use muster_domain::{
    ApplicationName, Digest, EnvironmentName, NodeId, NodeName, ReleaseId, ReleaseVersion,
    assignment::{Generation, Revision},
    node::Role,
};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A node as the compiler sees it.
#[derive(Debug, Clone)]
pub struct CompiledNode {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: NodeName,
    /// Its environment.
    pub environment: EnvironmentName,
    /// Its roles.
    pub roles: Vec<Role>,
    /// Why its last compile failed.
    pub compile_error: Option<String>,
}

/// The release of an application that an assignment carries.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CarriedRelease {
    /// The release.
    pub release_id: ReleaseId,
    /// Its artifact.
    pub artifact_digest: Digest,
}

/// A stored assignment.
#[derive(Clone)]
pub struct StoredAssignment {
    /// The node.
    pub node_id: NodeId,
    /// Its generation.
    pub generation: Generation,
    /// Its revision.
    pub revision: Revision,
    /// Encoded content, sealed.
    pub content_sealed: Vec<u8>,
    /// Over node, generation and revision.
    pub signature: Vec<u8>,
    /// The fleet configuration that it was compiled from; 0 when there was none.
    pub configuration_version: i64,
    /// When.
    pub compiled_at: DateTime<Utc>,
    /// Per application.
    pub releases: BTreeMap<ApplicationName, CarriedRelease>,
}

/// The number and digest of an assignment, without its content.
#[derive(Debug, Clone)]
pub struct AssignmentHead {
    /// Its generation.
    pub generation: Generation,
    /// Its revision.
    pub revision: Revision,
    /// Per application.
    pub releases: BTreeMap<ApplicationName, CarriedRelease>,
}

/// A release that a node is to run.
#[derive(Debug, Clone)]
pub struct NodeRelease {
    /// The application.
    pub application: ApplicationName,
    /// The release.
    pub release_id: ReleaseId,
    /// Its version.
    pub version: ReleaseVersion,
    /// Its artifact.
    pub artifact_digest: Digest,
}

struct NodeRow {
    id: Uuid,
    name: String,
    environment: String,
    roles: Vec<String>,
    compile_error: Option<String>,
}

impl TryFrom<NodeRow> for CompiledNode {
    type Error = DbError;
    fn try_from(row: NodeRow) -> Result<Self, DbError> {
        Ok(Self {
            id: NodeId::from_uuid(row.id),
            name: NodeName::parse(row.name).map_err(|e| DbError::corrupt("nodes", "name", e))?,
            environment: EnvironmentName::parse(row.environment)
                .map_err(|e| DbError::corrupt("nodes", "environment", e))?,
            roles: row
                .roles
                .iter()
                .map(|r| Role::parse(r).ok_or_else(|| DbError::corrupt("nodes", "roles", r)))
                .collect::<Result<_, _>>()?,
            compile_error: row.compile_error,
        })
    }
}

/// One number for "I am about to lock several nodes", out of the way of sqlx's own.
const COMPILE_LOCK: i64 = 0x6d75_7374_6572_0001;

/// Waits for its turn to lock several nodes, until the transaction ends. Whoever locks more than one node takes this
/// first: two of them that met half-way would each wait for a node that the other holds. Whoever adds or removes a node
/// takes it too: a compile of every node must not miss one.
pub async fn compile_turn(conn: &mut Conn) -> Result<(), DbError> {
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", COMPILE_LOCK).execute(conn).await?;
    Ok(())
}

/// Locks and reads every node that is not revoked, by name: whoever compiles holds them, so that two compiles cannot
/// interleave their generations. Behind [`compile_turn`].
pub async fn nodes_for_compile(conn: &mut Conn) -> Result<Vec<CompiledNode>, DbError> {
    sqlx::query_as!(
        NodeRow,
        "SELECT id, name, environment, roles, compile_error FROM nodes
         WHERE revoked_at IS NULL ORDER BY name FOR NO KEY UPDATE"
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(TryInto::try_into)
    .collect()
}

/// Locks and reads one node that is not revoked.
pub async fn node_for_compile(conn: &mut Conn, node: NodeId) -> Result<Option<CompiledNode>, DbError> {
    sqlx::query_as!(
        NodeRow,
        "SELECT id, name, environment, roles, compile_error FROM nodes
         WHERE id = $1 AND revoked_at IS NULL FOR NO KEY UPDATE",
        node.as_uuid()
    )
    .fetch_optional(conn)
    .await?
    .map(TryInto::try_into)
    .transpose()
}

/// Moves a node to the environment and roles that the fleet configuration gives it.
pub async fn node_set_membership(
    conn: &mut Conn,
    node: NodeId,
    environment: &EnvironmentName,
    roles: &[Role],
) -> Result<(), DbError> {
    let roles: Vec<String> = roles.iter().map(|r| r.as_str().to_owned()).collect();
    sqlx::query!(
        "UPDATE nodes SET environment = $2, roles = $3 WHERE id = $1",
        node.as_uuid(),
        environment.as_str(),
        &roles
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes why a node could not be compiled, or that it could.
pub async fn node_set_compile_error(
    conn: &mut Conn,
    node: NodeId,
    error: Option<&str>,
) -> Result<(), DbError> {
    sqlx::query!("UPDATE nodes SET compile_error = $2 WHERE id = $1", node.as_uuid(), error)
        .execute(conn)
        .await?;
    Ok(())
}

/// The releases that a node is to run: its own where it has one, else its environment's. Its own are those of rollouts in
/// this environment: a node that is moved while one is under way must not take a release along.
pub async fn node_releases(
    conn: &mut Conn,
    node: NodeId,
    environment: &EnvironmentName,
) -> Result<Vec<NodeRelease>, DbError> {
    let rows = sqlx::query!(
        r#"WITH own AS (
               SELECT n.application, n.release_id FROM node_releases n
               WHERE n.node_id = $1 AND EXISTS (
                   SELECT FROM rollouts o JOIN rollout_nodes rn ON rn.rollout_id = o.id AND rn.node_id = $1
                   WHERE o.environment = $2 AND o.application = n.application
                     AND o.status IN ('planned', 'running', 'rolling_back'))
           )
           SELECT r.application, r.id, r.version, r.artifact_digest
           FROM releases r
           JOIN (
               SELECT application, release_id FROM own
               UNION ALL
               SELECT t.application, t.release_id FROM release_targets t
               WHERE t.environment = $2 AND NOT EXISTS (SELECT FROM own WHERE own.application = t.application)
           ) wanted ON wanted.release_id = r.id
           ORDER BY r.application"#,
        node.as_uuid(),
        environment.as_str()
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(NodeRelease {
                application: ApplicationName::parse(row.application)
                    .map_err(|e| DbError::corrupt("releases", "application", e))?,
                release_id: ReleaseId::from_uuid(row.id),
                version: ReleaseVersion::parse(row.version)
                    .map_err(|e| DbError::corrupt("releases", "version", e))?,
                artifact_digest: crate::digest("releases", "artifact_digest", &row.artifact_digest)?,
            })
        })
        .collect()
}

/// Gives one node a release of its own, or none.
pub async fn node_release_set(
    conn: &mut Conn,
    node: NodeId,
    application: &ApplicationName,
    release: Option<ReleaseId>,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO node_releases (node_id, application, release_id) VALUES ($1, $2, $3)
         ON CONFLICT (node_id, application) DO UPDATE SET release_id = excluded.release_id",
        node.as_uuid(),
        application.as_str(),
        release.map(ReleaseId::as_uuid)
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lets nodes follow their environment's target again.
pub async fn node_releases_clear(
    conn: &mut Conn,
    nodes: &[NodeId],
    application: &ApplicationName,
) -> Result<(), DbError> {
    let nodes: Vec<Uuid> = nodes.iter().map(|n| n.as_uuid()).collect();
    sqlx::query!(
        "DELETE FROM node_releases WHERE application = $2 AND node_id = ANY($1)",
        &nodes,
        application.as_str()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The release that an environment should run.
pub async fn target_get(
    conn: &mut Conn,
    environment: &EnvironmentName,
    application: &ApplicationName,
) -> Result<Option<ReleaseId>, DbError> {
    Ok(sqlx::query_scalar!(
        "SELECT release_id FROM release_targets WHERE environment = $1 AND application = $2",
        environment.as_str(),
        application.as_str()
    )
    .fetch_optional(conn)
    .await?
    .map(ReleaseId::from_uuid))
}

/// Sets the release that an environment should run.
pub async fn target_set(
    conn: &mut Conn,
    environment: &EnvironmentName,
    application: &ApplicationName,
    release: ReleaseId,
    at: DateTime<Utc>,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO release_targets (environment, application, release_id, set_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (environment, application) DO UPDATE
         SET release_id = excluded.release_id, set_at = excluded.set_at",
        environment.as_str(),
        application.as_str(),
        release.as_uuid(),
        at
    )
    .execute(conn)
    .await?;
    Ok(())
}

fn carried(releases: serde_json::Value) -> Result<BTreeMap<ApplicationName, CarriedRelease>, DbError> {
    serde_json::from_value(releases).map_err(|e| DbError::corrupt("assignments", "releases", e))
}

fn generation(number: i64) -> Result<Generation, DbError> {
    u64::try_from(number).map(Generation::new).map_err(|e| DbError::corrupt("assignments", "generation", e))
}

/// A node's assignment.
pub async fn get(conn: &mut Conn, node: NodeId) -> Result<Option<StoredAssignment>, DbError> {
    let row = sqlx::query!(
        "SELECT generation, revision, content_sealed, signature, configuration_version, compiled_at, releases
         FROM assignments WHERE node_id = $1",
        node.as_uuid()
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        Ok(StoredAssignment {
            node_id: node,
            generation: generation(row.generation)?,
            revision: crate::digest("assignments", "revision", &row.revision)?,
            content_sealed: row.content_sealed,
            signature: row.signature,
            configuration_version: row.configuration_version,
            compiled_at: row.compiled_at,
            releases: carried(row.releases)?,
        })
    })
    .transpose()
}

/// The number and digest of a node's assignment.
pub async fn head(conn: &mut Conn, node: NodeId) -> Result<Option<AssignmentHead>, DbError> {
    let row = sqlx::query!(
        "SELECT generation, revision, releases FROM assignments WHERE node_id = $1",
        node.as_uuid()
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        Ok(AssignmentHead {
            generation: generation(row.generation)?,
            revision: crate::digest("assignments", "revision", &row.revision)?,
            releases: carried(row.releases)?,
        })
    })
    .transpose()
}

/// Stores an assignment over the former one. The caller holds the node's lock.
pub async fn put(conn: &mut Conn, new: &StoredAssignment) -> Result<(), DbError> {
    let generation =
        i64::try_from(new.generation.get()).map_err(|e| DbError::corrupt("assignments", "generation", e))?;
    let releases =
        serde_json::to_value(&new.releases).map_err(|e| DbError::corrupt("assignments", "releases", e))?;
    sqlx::query!(
        "INSERT INTO assignments (node_id, generation, revision, content_sealed, signature, configuration_version, compiled_at, releases)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (node_id) DO UPDATE
         SET generation = excluded.generation, revision = excluded.revision, content_sealed = excluded.content_sealed,
             signature = excluded.signature, configuration_version = excluded.configuration_version,
             compiled_at = excluded.compiled_at, releases = excluded.releases",
        new.node_id.as_uuid(),
        generation,
        new.revision.as_bytes().as_slice(),
        new.content_sealed,
        new.signature,
        new.configuration_version,
        new.compiled_at,
        releases
    )
    .execute(conn)
    .await?;
    Ok(())
}
