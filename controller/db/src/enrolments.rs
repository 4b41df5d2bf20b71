//! Invitations and what became of them; the certificates of nodes.

use crate::{Conn, DbError, decode};
use chrono::{DateTime, Utc};
use muster_domain::{
    EnrolmentId, EnvironmentName, NodeId, NodeName,
    node::{HostFacts, Role},
};

const ENROLMENTS: &str = "enrolments";

/// What became of an invitation. One that ran out stays `Invited`: the time says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnrolmentStatus {
    /// Nobody has used it yet.
    Invited,
    /// A host joined with it.
    Enrolled,
    /// It was taken back.
    Withdrawn,
}

/// An invitation.
#[derive(Debug, Clone)]
pub struct Enrolment {
    /// Its id, part of the token.
    pub id: EnrolmentId,
    /// The name that the node will have.
    pub node_name: NodeName,
    /// Its environment.
    pub environment: EnvironmentName,
    /// What it is for.
    pub roles: Vec<Role>,
    /// SHA-256 of the token's secret.
    pub secret_hash: Vec<u8>,
    /// Who invited.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Until when a host may join with it.
    pub expires_at: DateTime<Utc>,
    /// What became of it.
    pub status: EnrolmentStatus,
    /// When a host joined.
    pub enrolled_at: Option<DateTime<Utc>>,
    /// The node that came of it. While invited: the node that the new host is to replace.
    pub node_id: Option<NodeId>,
}

struct Row {
    id: uuid::Uuid,
    node_name: String,
    environment: String,
    roles: Vec<String>,
    secret_hash: Vec<u8>,
    created_by: String,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    status: String,
    enrolled_at: Option<DateTime<Utc>>,
    node_id: Option<uuid::Uuid>,
}

impl TryFrom<Row> for Enrolment {
    type Error = DbError;
    fn try_from(row: Row) -> Result<Self, DbError> {
        Ok(Self {
            id: EnrolmentId::from_uuid(row.id),
            node_name: decode::word(ENROLMENTS, "node_name", row.node_name)?,
            environment: decode::word(ENROLMENTS, "environment", row.environment)?,
            roles: decode::roles(ENROLMENTS, &row.roles)?,
            secret_hash: row.secret_hash,
            created_by: row.created_by,
            created_at: row.created_at,
            expires_at: row.expires_at,
            status: decode::word(ENROLMENTS, "status", row.status)?,
            enrolled_at: row.enrolled_at,
            node_id: row.node_id.map(NodeId::from_uuid),
        })
    }
}

fn words(roles: &[Role]) -> Vec<String> {
    roles.iter().map(|role| role.as_str().to_owned()).collect()
}

/// Adds an invitation.
pub async fn insert(conn: &mut Conn, new: &Enrolment) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO enrolments (id, node_name, environment, roles, secret_hash, created_by, created_at, expires_at,
                                 status, node_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'invited', $9)",
        new.id.as_uuid(),
        new.node_name.as_str(),
        new.environment.as_str(),
        &words(&new.roles),
        new.secret_hash,
        new.created_by,
        new.created_at,
        new.expires_at,
        new.node_id.map(NodeId::as_uuid),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Locks and reads an invitation: of two hosts with one token, the second waits here and then finds it used.
pub async fn lock(conn: &mut Conn, id: EnrolmentId) -> Result<Option<Enrolment>, DbError> {
    sqlx::query_as!(
        Row,
        "SELECT id, node_name, environment, roles, secret_hash, created_by, created_at, expires_at, status,
                enrolled_at, node_id
         FROM enrolments WHERE id = $1 FOR UPDATE",
        id.as_uuid()
    )
    .fetch_optional(conn)
    .await?
    .map(TryInto::try_into)
    .transpose()
}

/// The latest invitations, newest first, behind `before`.
pub async fn list(
    conn: &mut Conn,
    before: Option<EnrolmentId>,
    limit: i64,
) -> Result<Vec<Enrolment>, DbError> {
    // Ids are made in the order of time.
    sqlx::query_as!(
        Row,
        "SELECT id, node_name, environment, roles, secret_hash, created_by, created_at, expires_at, status,
                enrolled_at, node_id
         FROM enrolments WHERE $1::uuid IS NULL OR id < $1 ORDER BY id DESC LIMIT $2",
        before.map(EnrolmentId::as_uuid),
        limit
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(TryInto::try_into)
    .collect()
}

/// Notes that a host joined.
pub async fn set_enrolled(
    conn: &mut Conn,
    id: EnrolmentId,
    node: NodeId,
    at: DateTime<Utc>,
) -> Result<(), DbError> {
    let done = sqlx::query!(
        "UPDATE enrolments SET status = 'enrolled', enrolled_at = $3, node_id = $2 WHERE id = $1 AND status = 'invited'",
        id.as_uuid(),
        node.as_uuid(),
        at
    )
    .execute(conn)
    .await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(DbError::Stale("the invitation")) }
}

/// Takes back an invitation that nobody has used; `false` when there is none.
pub async fn withdraw(conn: &mut Conn, id: EnrolmentId) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "UPDATE enrolments SET status = 'withdrawn' WHERE id = $1 AND status = 'invited'",
        id.as_uuid()
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes back every unused invitation of a name. Gives back how many.
pub async fn withdraw_name(conn: &mut Conn, name: &NodeName) -> Result<u64, DbError> {
    let done = sqlx::query!(
        "UPDATE enrolments SET status = 'withdrawn' WHERE node_name = $1 AND status = 'invited'",
        name.as_str()
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// A node that is about to exist.
#[derive(Debug, Clone)]
pub struct NewNode<'a> {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: &'a NodeName,
    /// Its environment.
    pub environment: &'a EnvironmentName,
    /// What it is for.
    pub roles: &'a [Role],
    /// What its host says of itself.
    pub facts: &'a HostFacts,
    /// Now.
    pub at: DateTime<Utc>,
}

/// Adds a node that has joined.
pub async fn node_insert(conn: &mut Conn, new: &NewNode<'_>) -> Result<(), DbError> {
    let facts = serde_json::to_value(new.facts).map_err(|e| DbError::corrupt("nodes", "facts", e))?;
    sqlx::query!(
        "INSERT INTO nodes (id, name, environment, roles, enrolled_at, facts, liveness, liveness_changed_at,
                            report_sequence, reported_generation)
         VALUES ($1, $2, $3, $4, $5, $6, 'pending', $5, 0, 0)",
        new.id.as_uuid(),
        new.name.as_str(),
        new.environment.as_str(),
        &words(new.roles),
        new.at,
        facts,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Gives a node's row to another host. What the former host reported is forgotten, its figures are kept; generations go
/// on, so no assignment of the former host can be taken for a new one.
pub async fn node_reuse(conn: &mut Conn, new: &NewNode<'_>) -> Result<(), DbError> {
    let facts = serde_json::to_value(new.facts).map_err(|e| DbError::corrupt("nodes", "facts", e))?;
    let id = new.id.as_uuid();
    sqlx::query!(
        "UPDATE nodes SET environment = $2, roles = $3, enrolled_at = $4, revoked_at = NULL, facts = $5,
                liveness = 'pending', liveness_changed_at = $4, last_heartbeat_at = NULL, report_sequence = 0,
                reported_generation = 0, converged = NULL, converged_at = NULL, compile_error = NULL,
                resource_count = 0, failed_count = 0, drifted_count = 0, waiting_count = 0, reboot_required = NULL
         WHERE id = $1",
        id,
        new.environment.as_str(),
        &words(new.roles),
        new.at,
        facts,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!("DELETE FROM resource_states WHERE node_id = $1", id).execute(&mut *conn).await?;
    sqlx::query!("DELETE FROM resource_changes WHERE node_id = $1", id).execute(&mut *conn).await?;
    sqlx::query!("DELETE FROM convergence_reports WHERE node_id = $1", id).execute(&mut *conn).await?;
    sqlx::query!("DELETE FROM processes WHERE node_id = $1", id).execute(&mut *conn).await?;
    // What was wanted of the former host, and what it was doing, is nothing to the new one. Modes stay: they are said of
    // the node, and only hold its agent back.
    sqlx::query!("DELETE FROM reboot_requests WHERE node_id = $1", id).execute(&mut *conn).await?;
    crate::turns::delete(&mut *conn, new.id).await?;
    Ok(())
}

/// Withdraws the identity of a node.
pub async fn node_set_revoked(conn: &mut Conn, node: NodeId, at: DateTime<Utc>) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE nodes SET revoked_at = $2, liveness = 'revoked', liveness_changed_at = $2 WHERE id = $1",
        node.as_uuid(),
        at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A certificate of a node.
#[derive(Debug, Clone)]
pub struct NodeCertificate {
    /// Its serial number.
    pub serial: String,
    /// Whose it is.
    pub node_id: NodeId,
    /// SHA-256 of its public key.
    pub public_key_sha256: Vec<u8>,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// Until when it is good.
    pub not_after: DateTime<Utc>,
}

/// Adds a certificate.
pub async fn certificate_insert(conn: &mut Conn, new: &NodeCertificate) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO node_certificates (serial, node_id, public_key_sha256, issued_at, not_after)
         VALUES ($1, $2, $3, $4, $5)",
        new.serial,
        new.node_id.as_uuid(),
        new.public_key_sha256,
        new.issued_at,
        new.not_after
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The node that holds a certificate, as every request asks for it.
#[derive(Debug, Clone)]
pub struct CertificateHolder {
    /// The node.
    pub node_id: NodeId,
    /// Its name.
    pub name: NodeName,
    /// The certificate or the whole node was revoked.
    pub revoked: bool,
}

/// Who holds a certificate; none when it was never issued or its node was removed.
pub async fn certificate_holder(conn: &mut Conn, serial: &str) -> Result<Option<CertificateHolder>, DbError> {
    let row = sqlx::query!(
        r#"SELECT n.id, n.name, (n.revoked_at IS NOT NULL OR c.revoked_at IS NOT NULL) AS "revoked!"
           FROM node_certificates c JOIN nodes n ON n.id = c.node_id
           WHERE c.serial = $1"#,
        serial
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        Ok(CertificateHolder {
            node_id: NodeId::from_uuid(row.id),
            name: decode::word("nodes", "name", row.name)?,
            revoked: row.revoked,
        })
    })
    .transpose()
}

/// The public key of a node's newest certificate: the key that it is bound to.
pub async fn bound_key(conn: &mut Conn, node: NodeId) -> Result<Option<Vec<u8>>, DbError> {
    Ok(sqlx::query_scalar!(
        "SELECT public_key_sha256 FROM node_certificates
         WHERE node_id = $1 AND revoked_at IS NULL ORDER BY issued_at DESC, serial LIMIT 1",
        node.as_uuid()
    )
    .fetch_optional(conn)
    .await?)
}

/// How many certificates a node was issued after `after`.
pub async fn certificates_issued(
    conn: &mut Conn,
    node: NodeId,
    after: DateTime<Utc>,
) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM node_certificates WHERE node_id = $1 AND issued_at > $2"#,
        node.as_uuid(),
        after
    )
    .fetch_one(conn)
    .await?)
}

/// Revokes every certificate of a node. Gives back their serials.
pub async fn certificates_revoke(
    conn: &mut Conn,
    node: NodeId,
    at: DateTime<Utc>,
) -> Result<Vec<String>, DbError> {
    Ok(sqlx::query_scalar!(
        "UPDATE node_certificates SET revoked_at = $2 WHERE node_id = $1 AND revoked_at IS NULL RETURNING serial",
        node.as_uuid(),
        at
    )
    .fetch_all(conn)
    .await?)
}

/// The serials of revoked certificates that ended after `ended_after`: earlier ones open no connection anyway.
pub async fn certificates_revoked(
    conn: &mut Conn,
    ended_after: DateTime<Utc>,
) -> Result<Vec<String>, DbError> {
    Ok(sqlx::query_scalar!(
        "SELECT serial FROM node_certificates WHERE revoked_at IS NOT NULL AND not_after > $1",
        ended_after
    )
    .fetch_all(conn)
    .await?)
}

/// Forgets certificates of a node that ended before `ended_before`.
pub async fn certificates_forget(
    conn: &mut Conn,
    node: NodeId,
    ended_before: DateTime<Utc>,
) -> Result<(), DbError> {
    sqlx::query!(
        "DELETE FROM node_certificates WHERE node_id = $1 AND not_after < $2",
        node.as_uuid(),
        ended_before
    )
    .execute(conn)
    .await?;
    Ok(())
}
