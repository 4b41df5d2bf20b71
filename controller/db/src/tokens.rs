//! API tokens.

use crate::{Conn, DbError, decode};
use chrono::{DateTime, Utc};
use muster_domain::{TokenId, UserId, user::UserRole};

/// A token as people see it.
#[derive(Debug, Clone)]
pub struct TokenRecord {
    /// Its id.
    pub id: TokenId,
    /// Whose rights it has.
    pub user: UserId,
    /// That user's name.
    pub username: String,
    /// What it is for.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was withdrawn.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// What is needed to believe a token.
pub struct TokenCredential {
    /// The token.
    pub token: TokenRecord,
    /// What is kept of its secret.
    pub secret_hash: Vec<u8>,
    /// What its user may do.
    pub role: UserRole,
    /// The account was closed.
    pub user_disabled: bool,
}

/// A token to store.
pub struct NewToken<'a> {
    /// Its id.
    pub id: TokenId,
    /// Whose rights it has.
    pub user: UserId,
    /// What it is for.
    pub name: &'a str,
    /// What is kept of its secret.
    pub secret_hash: &'a [u8],
    /// Now.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Adds a token.
pub async fn insert(conn: &mut Conn, token: &NewToken<'_>) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO api_tokens (id, user_id, name, secret_hash, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        token.id.as_uuid(),
        token.user.as_uuid(),
        token.name,
        token.secret_hash,
        token.created_at,
        token.expires_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The token with this id and what is needed to believe it, withdrawn or not.
pub async fn credential(conn: &mut Conn, id: TokenId) -> Result<Option<TokenCredential>, DbError> {
    sqlx::query!(
        r#"SELECT t.id, t.user_id, t.name, t.secret_hash, t.created_at, t.expires_at, t.last_used_at, t.revoked_at,
                  u.name AS username, u.role, u.disabled_at IS NOT NULL AS "user_disabled!"
           FROM api_tokens t JOIN users u ON u.id = t.user_id
           WHERE t.id = $1"#,
        id.as_uuid()
    )
    .fetch_optional(conn)
    .await?
    .map(|row| {
        Ok(TokenCredential {
            token: TokenRecord {
                id: TokenId::from_uuid(row.id),
                user: UserId::from_uuid(row.user_id),
                username: row.username,
                name: row.name,
                created_at: row.created_at,
                expires_at: row.expires_at,
                last_used_at: row.last_used_at,
                revoked_at: row.revoked_at,
            },
            secret_hash: row.secret_hash,
            role: decode::word("users", "role", row.role)?,
            user_disabled: row.user_disabled,
        })
    })
    .transpose()
}

/// Tokens, newest first: of one user, or of all.
pub async fn list(conn: &mut Conn, user: Option<UserId>, limit: i64) -> Result<Vec<TokenRecord>, DbError> {
    let rows = sqlx::query!(
        "SELECT t.id, t.user_id, t.name, t.created_at, t.expires_at, t.last_used_at, t.revoked_at, u.name AS username
         FROM api_tokens t JOIN users u ON u.id = t.user_id
         WHERE $1::uuid IS NULL OR t.user_id = $1
         ORDER BY t.created_at DESC, t.id DESC
         LIMIT $2",
        user.map(UserId::as_uuid),
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| TokenRecord {
            id: TokenId::from_uuid(row.id),
            user: UserId::from_uuid(row.user_id),
            username: row.username,
            name: row.name,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            revoked_at: row.revoked_at,
        })
        .collect())
}

/// Notes that a token was used.
pub async fn touch(conn: &mut Conn, id: TokenId, now: DateTime<Utc>) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE api_tokens SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)",
        id.as_uuid(),
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Withdraws a token. False: it was withdrawn before, or there is none.
pub async fn revoke(conn: &mut Conn, id: TokenId, now: DateTime<Utc>) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "UPDATE api_tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL",
        id.as_uuid(),
        now
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}
