//! Events: one time axis for the fleet.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// How much to care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// For the record.
    Info,
    /// Worth a look.
    Warning,
    /// Somebody has to act.
    Error,
}

/// One thing that happened.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Orders the events of the fleet.
    pub sequence: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Stable dotted word.
    pub kind: String,
    /// How much to care.
    pub severity: Severity,
    /// One line for a person.
    pub message: String,
    /// A user, a node or the controller.
    pub actor: String,
    /// The node that it is about.
    pub node: Option<String>,
    /// The environment that it is about.
    pub environment: Option<String>,
    /// The application that it is about.
    pub application: Option<String>,
    /// The rollout that it is about.
    pub rollout: Option<Uuid>,
}

/// A live message to the dashboard (`GET /api/v1/live`, server-sent events): what changed, so that the page can read it
/// again. Sent at most once a second per topic.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "topic", rename_all = "snake_case")]
pub enum LiveMessage {
    /// A node's state, resources, processes or figures.
    Node {
        /// Its name.
        name: String,
    },
    /// A rollout moved.
    Rollout {
        /// Its id.
        id: Uuid,
        /// Its application.
        application: String,
    },
    /// Releases or targets of an application changed.
    Application {
        /// Its name.
        name: String,
    },
    /// The fleet configuration has a new version.
    FleetConfiguration {
        /// The version.
        version: i64,
    },
    /// Something happened.
    Event {
        /// What.
        event: Event,
    },
    /// Messages were lost: read everything again.
    Resync,
}
