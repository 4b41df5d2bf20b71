//! People with an account on the controller.

use serde::{Deserialize, Serialize};

/// What a user may do: each role includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserRole {
    /// Sees everything but secrets.
    Viewer,
    /// Creates releases, deploys, rolls back.
    Deployer,
    /// Applies configuration, sets secrets, invites and revokes nodes.
    Operator,
    /// Manages users and the tokens of others.
    Admin,
}

impl UserRole {
    /// The word in SQL, REST and the dashboard.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Deployer => "deployer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}
