//! Sessions of people in a browser.

use crate::{Conn, DbError, decode};
use chrono::{DateTime, Utc};
use muster_domain::{UserId, user::UserRole};
use std::fmt;
use uuid::Uuid;

/// A session and whose it is.
#[derive(Clone)]
pub struct SessionRecord {
    /// Its id.
    pub id: Uuid,
    /// Whose.
    pub user: UserId,
    /// The user's name.
    pub username: String,
    /// What the user may do.
    pub role: UserRole,
    /// The account was closed.
    pub user_disabled: bool,
    /// What is kept of its secret.
    pub secret_hash: Vec<u8>,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
    /// When it was last used, to the minute.
    pub last_seen_at: DateTime<Utc>,
}

impl fmt::Debug for SessionRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRecord")
            .field("id", &self.id)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// A session to store.
pub struct NewSession<'a> {
    /// Its id.
    pub id: Uuid,
    /// Whose.
    pub user: UserId,
    /// What is kept of its secret.
    pub secret_hash: &'a [u8],
    /// Now.
    pub created_at: DateTime<Utc>,
    /// When it ends at the latest.
    pub expires_at: DateTime<Utc>,
}

/// Adds a session.
pub async fn insert(conn: &mut Conn, session: &NewSession<'_>) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO sessions (id, user_id, secret_hash, created_at, expires_at, last_seen_at)
         VALUES ($1, $2, $3, $4, $5, $4)",
        session.id,
        session.user.as_uuid(),
        session.secret_hash,
        session.created_at,
        session.expires_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The session with this id, ended or not.
pub async fn get(conn: &mut Conn, id: Uuid) -> Result<Option<SessionRecord>, DbError> {
    sqlx::query!(
        r#"SELECT s.id, s.user_id, s.secret_hash, s.expires_at, s.last_seen_at,
                  u.name, u.role, u.disabled_at IS NOT NULL AS "user_disabled!"
           FROM sessions s JOIN users u ON u.id = s.user_id
           WHERE s.id = $1"#,
        id
    )
    .fetch_optional(conn)
    .await?
    .map(|row| {
        Ok(SessionRecord {
            id: row.id,
            user: UserId::from_uuid(row.user_id),
            username: row.name,
            role: decode::word("users", "role", row.role)?,
            user_disabled: row.user_disabled,
            secret_hash: row.secret_hash,
            expires_at: row.expires_at,
            last_seen_at: row.last_seen_at,
        })
    })
    .transpose()
}

/// Notes that a session was used.
pub async fn touch(conn: &mut Conn, id: Uuid, now: DateTime<Utc>) -> Result<(), DbError> {
    sqlx::query!("UPDATE sessions SET last_seen_at = $2 WHERE id = $1 AND last_seen_at < $2", id, now)
        .execute(conn)
        .await?;
    Ok(())
}

/// Ends a session. False: there is none.
pub async fn delete(conn: &mut Conn, id: Uuid) -> Result<bool, DbError> {
    Ok(sqlx::query!("DELETE FROM sessions WHERE id = $1", id).execute(conn).await?.rows_affected() == 1)
}

/// Forgets sessions that ended before `now` or were last used before `idle_since`. Returns how many.
pub async fn delete_ended(
    conn: &mut Conn,
    now: DateTime<Utc>,
    idle_since: DateTime<Utc>,
) -> Result<u64, DbError> {
    let done =
        sqlx::query!("DELETE FROM sessions WHERE expires_at <= $1 OR last_seen_at <= $2", now, idle_since)
            .execute(conn)
            .await?;
    Ok(done.rows_affected())
}
