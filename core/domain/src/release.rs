//! A release: one immutable version of an application.

use crate::{ApplicationName, Digest, ReleaseId, ReleaseVersion};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Where the files of a release came from, when they were built in a git work tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitOrigin {
    /// Full commit id.
    pub commit: String,
    /// Branch, when one was checked out.
    pub branch: Option<String>,
    /// The tree held uncommitted changes.
    pub dirty: bool,
}

/// One immutable version of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its id.
    pub id: ReleaseId,
    /// The application.
    pub application: ApplicationName,
    /// Its version, unique within the application.
    pub version: ReleaseVersion,
    /// The digest of its manifest.
    pub artifact_digest: Digest,
    /// Files in it.
    pub file_count: u64,
    /// Sum of their sizes in bytes.
    pub total_bytes: u64,
    /// Where it came from.
    pub git: Option<GitOrigin>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
}
