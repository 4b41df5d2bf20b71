//! Releases: immutable versions of applications.

use crate::{Conn, DbError, decode};
use chrono::{DateTime, Utc};
use muster_domain::{ApplicationName, EnvironmentName, ReleaseId, release::Release};
use uuid::Uuid;

/// A release with what people want to see beside it.
#[derive(Debug, Clone)]
pub struct ReleaseRecord {
    /// The release.
    pub release: Release,
    /// The command that built it.
    pub build_command: Option<String>,
    /// Environments whose target it is, in the order of their names.
    pub target_of: Vec<EnvironmentName>,
}

/// Adds a release. The violated constraint `releases_application_version_key` says that the version is taken.
pub async fn insert(conn: &mut Conn, release: &Release, build_command: Option<&str>) -> Result<(), DbError> {
    let git = release
        .git
        .as_ref()
        .map(serde_json::to_value)
        .transpose()
        .map_err(|e| DbError::corrupt("releases", "git", e))?;
    sqlx::query!(
        "INSERT INTO releases (id, application, version, artifact_digest, git, build_command, created_by, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        release.id.as_uuid(),
        release.application.as_str(),
        release.version.as_str(),
        release.artifact_digest.as_bytes().as_slice(),
        git,
        build_command,
        release.created_by,
        release.created_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

struct Row {
    id: Uuid,
    application: String,
    version: String,
    artifact_digest: Vec<u8>,
    file_count: i64,
    total_bytes: i64,
    git: Option<serde_json::Value>,
    build_command: Option<String>,
    created_by: String,
    created_at: DateTime<Utc>,
    target_of: Vec<String>,
}

impl TryFrom<Row> for ReleaseRecord {
    type Error = DbError;
    fn try_from(row: Row) -> Result<Self, DbError> {
        Ok(Self {
            release: Release {
                id: ReleaseId::from_uuid(row.id),
                application: decode::word("releases", "application", row.application)?,
                version: decode::word("releases", "version", row.version)?,
                artifact_digest: crate::digest("releases", "artifact_digest", &row.artifact_digest)?,
                file_count: decode::unsigned("artifacts", "file_count", row.file_count)?,
                total_bytes: decode::unsigned("artifacts", "total_bytes", row.total_bytes)?,
                git: row
                    .git
                    .map(serde_json::from_value)
                    .transpose()
                    .map_err(|e| DbError::corrupt("releases", "git", e))?,
                created_by: row.created_by,
                created_at: row.created_at,
            },
            build_command: row.build_command,
            target_of: row
                .target_of
                .into_iter()
                .map(|name| decode::word("release_targets", "environment", name))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// The release of this version.
pub async fn get(
    conn: &mut Conn,
    application: &str,
    version: &str,
) -> Result<Option<ReleaseRecord>, DbError> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT r.id, r.application, r.version, r.artifact_digest, a.file_count, a.total_bytes, r.git,
                  r.build_command, r.created_by, r.created_at,
                  ARRAY(SELECT t.environment FROM release_targets t
                        WHERE t.release_id = r.id ORDER BY t.environment) AS "target_of!"
           FROM releases r JOIN artifacts a ON a.digest = r.artifact_digest
           WHERE r.application = $1 AND r.version = $2"#,
        application,
        version
    )
    .fetch_optional(conn)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// Releases of an application, newest first, from behind the one that `after` names by time and id.
pub async fn list(
    conn: &mut Conn,
    application: &ApplicationName,
    after: Option<(DateTime<Utc>, ReleaseId)>,
    limit: i64,
) -> Result<Vec<ReleaseRecord>, DbError> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT r.id, r.application, r.version, r.artifact_digest, a.file_count, a.total_bytes, r.git,
                  r.build_command, r.created_by, r.created_at,
                  ARRAY(SELECT t.environment FROM release_targets t
                        WHERE t.release_id = r.id ORDER BY t.environment) AS "target_of!"
           FROM releases r JOIN artifacts a ON a.digest = r.artifact_digest
           WHERE r.application = $1 AND ($2::timestamptz IS NULL OR (r.created_at, r.id) < ($2, $3::uuid))
           ORDER BY r.created_at DESC, r.id DESC
           LIMIT $4"#,
        application.as_str(),
        after.map(|(at, _)| at),
        after.map(|(_, id)| id.as_uuid()),
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}
