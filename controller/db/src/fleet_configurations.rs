//! Versions of the fleet configuration.

use crate::{Conn, DbError};
use chrono::{DateTime, Utc};
use muster_domain::{
    Digest, EnvironmentName,
    fleet::{Environment, FleetConfiguration},
};
use serde::{Deserialize, Serialize};

/// One file as it was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Relative to the folder that was applied.
    pub path: String,
    /// UTF-8 text.
    pub content: String,
}

/// A version in full.
#[derive(Debug, Clone)]
pub struct StoredConfiguration {
    /// From 1.
    pub version: i64,
    /// Who applied it.
    pub author: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// The files.
    pub files: Vec<StoredFile>,
    /// What they say.
    pub configuration: FleetConfiguration,
    /// Over the configuration and the attached files.
    pub digest: Digest,
}

/// A version without its content.
#[derive(Debug, Clone)]
pub struct ConfigurationVersion {
    /// From 1.
    pub version: i64,
    /// Who applied it.
    pub author: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

struct Row {
    version: i64,
    author: String,
    created_at: DateTime<Utc>,
    files: serde_json::Value,
    configuration: serde_json::Value,
    digest: Vec<u8>,
}

impl TryFrom<Row> for StoredConfiguration {
    type Error = DbError;
    fn try_from(row: Row) -> Result<Self, DbError> {
        Ok(Self {
            version: row.version,
            author: row.author,
            created_at: row.created_at,
            files: serde_json::from_value(row.files)
                .map_err(|e| DbError::corrupt("fleet_configurations", "files", e))?,
            configuration: serde_json::from_value(row.configuration)
                .map_err(|e| DbError::corrupt("fleet_configurations", "configuration", e))?,
            digest: crate::digest("fleet_configurations", "digest", &row.digest)?,
        })
    }
}

/// The version in force.
pub async fn current(conn: &mut Conn) -> Result<Option<StoredConfiguration>, DbError> {
    sqlx::query_as!(
        Row,
        "SELECT version, author, created_at, files, configuration, digest
         FROM fleet_configurations ORDER BY version DESC LIMIT 1"
    )
    .fetch_optional(conn)
    .await?
    .map(TryInto::try_into)
    .transpose()
}

/// One version.
pub async fn get(conn: &mut Conn, version: i64) -> Result<Option<StoredConfiguration>, DbError> {
    sqlx::query_as!(
        Row,
        "SELECT version, author, created_at, files, configuration, digest
         FROM fleet_configurations WHERE version = $1",
        version
    )
    .fetch_optional(conn)
    .await?
    .map(TryInto::try_into)
    .transpose()
}

/// Versions before `before` (all when absent), newest first.
pub async fn list(
    conn: &mut Conn,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<ConfigurationVersion>, DbError> {
    Ok(sqlx::query_as!(
        ConfigurationVersion,
        "SELECT version, author, created_at FROM fleet_configurations
         WHERE $1::bigint IS NULL OR version < $1 ORDER BY version DESC LIMIT $2",
        before,
        limit
    )
    .fetch_all(conn)
    .await?)
}

/// Appends a version. Two that are appended at once collide on the primary key, and the later one is refused.
pub async fn insert(conn: &mut Conn, new: &StoredConfiguration) -> Result<(), DbError> {
    let files =
        serde_json::to_value(&new.files).map_err(|e| DbError::corrupt("fleet_configurations", "files", e))?;
    let configuration = serde_json::to_value(&new.configuration)
        .map_err(|e| DbError::corrupt("fleet_configurations", "configuration", e))?;
    sqlx::query!(
        "INSERT INTO fleet_configurations (version, author, created_at, files, configuration, digest)
         VALUES ($1, $2, $3, $4, $5, $6)",
        new.version,
        new.author,
        new.created_at,
        files,
        configuration,
        new.digest.as_bytes().as_slice()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The version in force (0: none), and what it says of one environment, without reading the rest of it.
pub async fn policy(conn: &mut Conn, environment: &EnvironmentName) -> Result<(i64, Environment), DbError> {
    let row = sqlx::query!(
        r#"SELECT version, configuration -> 'environments' -> $1::text AS "environment?"
           FROM fleet_configurations ORDER BY version DESC LIMIT 1"#,
        environment.as_str()
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok((0, Environment::default())) };
    let policy = row.environment.map(serde_json::from_value).transpose();
    let policy = policy.map_err(|e| DbError::corrupt("fleet_configurations", "configuration", e))?;
    Ok((row.version, policy.unwrap_or_default()))
}
