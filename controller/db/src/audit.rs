//! The audit log: who did what, in the words of the use case.

use crate::{Conn, DbError};
use chrono::{DateTime, Utc};

/// One entry.
#[derive(Debug, Clone)]
pub struct AuditEntry<'a> {
    /// When.
    pub at: DateTime<Utc>,
    /// Who: a user name, `node <name>` or `controller`.
    pub actor: &'a str,
    /// The name of the use case: `rollout_start`.
    pub action: &'a str,
    /// What it was about: `application web in production`.
    pub subject: &'a str,
    /// What is worth keeping besides; never a secret.
    pub detail: serde_json::Value,
}

/// Adds an entry.
pub async fn append(conn: &mut Conn, entry: &AuditEntry<'_>) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO audit_log (at, actor, action, subject, detail) VALUES ($1, $2, $3, $4, $5)",
        entry.at,
        entry.actor,
        entry.action,
        entry.subject,
        entry.detail,
    )
    .execute(conn)
    .await?;
    Ok(())
}
