//! People with an account.

use crate::{Conn, DbError, decode};
use chrono::{DateTime, Utc};
use muster_domain::{UserId, user::UserRole};
use std::fmt;

/// An account.
#[derive(Clone)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Its name, unique.
    pub name: String,
    /// argon2id, as a PHC string.
    pub password_hash: String,
    /// What it may do.
    pub role: UserRole,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was closed.
    pub disabled_at: Option<DateTime<Utc>>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

/// Adds an account. False: the name is taken.
pub async fn insert(conn: &mut Conn, user: &User) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "INSERT INTO users (id, name, password_hash, role, created_at, disabled_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (name) DO NOTHING",
        user.id.as_uuid(),
        user.name,
        user.password_hash,
        user.role.as_str(),
        user.created_at,
        user.disabled_at,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// How many accounts there are.
pub async fn count(conn: &mut Conn) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM users"#).fetch_one(conn).await?)
}

/// The account of this name.
pub async fn by_name(conn: &mut Conn, name: &str) -> Result<Option<User>, DbError> {
    sqlx::query!(
        "SELECT id, name, password_hash, role, created_at, disabled_at FROM users WHERE name = $1",
        name
    )
    .fetch_optional(conn)
    .await?
    .map(|row| {
        Ok(User {
            id: UserId::from_uuid(row.id),
            name: row.name,
            password_hash: row.password_hash,
            role: decode::word("users", "role", row.role)?,
            created_at: row.created_at,
            disabled_at: row.disabled_at,
        })
    })
    .transpose()
}

/// Replaces the hash of a password, unless it has been replaced since it was read.
pub async fn set_password_hash(
    conn: &mut Conn,
    id: UserId,
    former: &str,
    password_hash: &str,
) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2",
        id.as_uuid(),
        former,
        password_hash
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}
