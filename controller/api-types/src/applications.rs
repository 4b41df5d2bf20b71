//! Applications, artifacts, releases, logs.

use crate::Process;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Which of these objects does the controller lack?
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectsQuery {
    /// Digests, at most 20,000 in one request.
    pub digests: Vec<String>,
}

/// The objects that the controller lacks.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ObjectsMissing {
    /// Digests, in the order of the question.
    pub missing: Vec<String>,
}

/// What an upload of a bundle stored.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ObjectsStored {
    /// How many objects the bundle held.
    pub stored: u64,
    /// Their size in bytes, uncompressed.
    pub bytes: u64,
}

/// A stored manifest: a complete tree of files.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Artifact {
    /// The digest of its manifest.
    pub digest: String,
    /// Files in it.
    pub file_count: u64,
    /// Sum of their sizes in bytes.
    pub total_bytes: u64,
}

/// Where the files of a release came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GitOrigin {
    /// Full commit id.
    pub commit: String,
    /// Branch, when one was checked out.
    #[serde(default)]
    pub branch: Option<String>,
    /// The tree held uncommitted changes.
    #[serde(default)]
    pub dirty: bool,
}

/// Make a release of an uploaded artifact.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseCreate {
    /// Unique within the application.
    pub version: String,
    /// The digest of its manifest.
    pub artifact_digest: String,
    /// Where the files came from.
    #[serde(default)]
    pub git: Option<GitOrigin>,
    /// The command that built it.
    #[serde(default)]
    pub build_command: Option<String>,
}

/// A release.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Release {
    /// Its id.
    pub id: Uuid,
    /// The application.
    pub application: String,
    /// Its version.
    pub version: String,
    /// The digest of its manifest.
    pub artifact_digest: String,
    /// Files in it.
    pub file_count: u64,
    /// Sum of their sizes in bytes.
    pub total_bytes: u64,
    /// Where the files came from.
    pub git: Option<GitOrigin>,
    /// The command that built it.
    pub build_command: Option<String>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Environments whose target it is.
    pub target_of: Vec<String>,
}

/// An application in a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApplicationSummary {
    /// Its name.
    pub name: String,
    /// It is in the fleet configuration; false: only releases of it are left.
    pub declared: bool,
    /// Per environment in which it may run.
    pub environments: Vec<ApplicationEnvironment>,
    /// How many releases there are.
    pub release_count: u32,
    /// The newest release's version.
    pub latest_release: Option<String>,
}

/// An application in one environment.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApplicationEnvironment {
    /// The environment.
    pub environment: String,
    /// The version of the release that it should run.
    pub release: Option<String>,
    /// Nodes that should run it.
    pub nodes: Vec<String>,
    /// Processes in all.
    pub process_count: u32,
    /// Processes that are ready.
    pub process_ready_count: u32,
    /// The rollout under way.
    pub active_rollout: Option<Uuid>,
}

/// An application in full.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApplicationDetail {
    /// What the list shows.
    #[serde(flatten)]
    pub summary: ApplicationSummary,
    /// Its declaration in the fleet configuration.
    #[schema(value_type = Option<Object>)]
    pub declaration: Option<serde_json::Value>,
    /// Its processes on all nodes.
    pub processes: Vec<Process>,
}

/// Standard output or standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// One message of a log answer: newline-delimited JSON, or the data of a server-sent event.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LogMessage {
    /// A line.
    Line {
        /// When it was written, by the node's clock.
        at: DateTime<Utc>,
        /// The node.
        node: String,
        /// The instance.
        instance: u32,
        /// Which stream.
        stream: LogStream,
        /// The text, without its end of line.
        line: String,
    },
    /// Lines were left out because the reader was too slow.
    Dropped {
        /// The node.
        node: String,
        /// How many.
        count: u64,
    },
    /// A node could not be asked, or could not answer.
    Problem {
        /// The node.
        node: String,
        /// Why.
        message: String,
    },
    /// Every node has answered with its past lines.
    CaughtUp,
}
