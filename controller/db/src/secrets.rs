//! Secrets: sealed values by environment and name. The environment `""` holds for every environment that has no value of
//! its own.

use crate::{Conn, DbError};
use chrono::{DateTime, Utc};

/// A secret without its value.
#[derive(Debug, Clone)]
pub struct SecretRecord {
    /// `""`: for every environment.
    pub environment: String,
    /// Its name.
    pub name: String,
    /// Who set it.
    pub updated_by: String,
    /// When.
    pub updated_at: DateTime<Utc>,
}

/// A sealed value.
#[derive(Clone)]
pub struct SealedSecret {
    /// `""`: for every environment.
    pub environment: String,
    /// Its name.
    pub name: String,
    /// The sealed value.
    pub sealed: Vec<u8>,
}

/// Stores a value over the former one.
pub async fn put(conn: &mut Conn, record: &SecretRecord, sealed: &[u8]) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO secrets (environment, name, sealed, updated_by, updated_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (environment, name) DO UPDATE
         SET sealed = excluded.sealed, updated_by = excluded.updated_by, updated_at = excluded.updated_at",
        record.environment,
        record.name,
        sealed,
        record.updated_by,
        record.updated_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Every secret, without values.
pub async fn list(conn: &mut Conn) -> Result<Vec<SecretRecord>, DbError> {
    Ok(sqlx::query_as!(
        SecretRecord,
        "SELECT environment, name, updated_by, updated_at FROM secrets ORDER BY name, environment"
    )
    .fetch_all(conn)
    .await?)
}

/// Every sealed value.
pub async fn all_sealed(conn: &mut Conn) -> Result<Vec<SealedSecret>, DbError> {
    Ok(sqlx::query_as!(
        SealedSecret,
        "SELECT environment, name, sealed FROM secrets ORDER BY name, environment"
    )
    .fetch_all(conn)
    .await?)
}

/// Forgets a value; `false` when there was none.
pub async fn delete(conn: &mut Conn, environment: &str, name: &str) -> Result<bool, DbError> {
    let done = sqlx::query!("DELETE FROM secrets WHERE environment = $1 AND name = $2", environment, name)
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}
