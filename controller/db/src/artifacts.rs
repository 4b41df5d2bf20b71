//! Artifacts: complete trees of files in the object store, by the digest of their manifest.

use crate::{Conn, DbError, decode};
use chrono::{DateTime, Utc};
use muster_domain::Digest;

/// A complete artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactRecord {
    /// The digest of its manifest.
    pub digest: Digest,
    /// Files in it.
    pub file_count: u64,
    /// Sum of their sizes in bytes.
    pub total_bytes: u64,
}

/// Notes an artifact. Noting it twice is once.
pub async fn insert(
    conn: &mut Conn,
    artifact: &ArtifactRecord,
    created_at: DateTime<Utc>,
) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO artifacts (digest, file_count, total_bytes, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (digest) DO NOTHING",
        artifact.digest.as_bytes().as_slice(),
        decode::bigint(artifact.file_count),
        decode::bigint(artifact.total_bytes),
        created_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The artifact with this digest.
pub async fn get(conn: &mut Conn, digest: Digest) -> Result<Option<ArtifactRecord>, DbError> {
    sqlx::query!(
        "SELECT file_count, total_bytes FROM artifacts WHERE digest = $1",
        digest.as_bytes().as_slice()
    )
    .fetch_optional(conn)
    .await?
    .map(|row| {
        Ok(ArtifactRecord {
            digest,
            file_count: decode::unsigned("artifacts", "file_count", row.file_count)?,
            total_bytes: decode::unsigned("artifacts", "total_bytes", row.total_bytes)?,
        })
    })
    .transpose()
}
