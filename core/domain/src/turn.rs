//! Turns: so many nodes of a role may be changing disruptively at once, the others wait. Decided in `muster-planning`.

use crate::{NodeId, assignment::Generation, observed::ChangeCause};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What a node wants its turn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnKind {
    /// To change what it does its work with: services, packages, applications, firewall, sshd.
    Change,
    /// To be restarted.
    Reboot,
}

impl TurnKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Change, Self::Reboot];

    /// The word in SQL, REST and the dashboard.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Reboot => "reboot",
        }
    }

    /// Reads the word back.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// How a node's turn stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnState {
    /// It asked, and others are before it.
    Waiting,
    /// It may change.
    Granted,
    /// Its change failed, or it fell silent in the middle of it. It keeps its place.
    Failed,
}

impl TurnState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Granted, Self::Failed];

    /// The word in SQL, REST and the dashboard.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Granted => "granted",
            Self::Failed => "failed",
        }
    }

    /// Reads the word back.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// A node's turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The node.
    pub node: NodeId,
    /// What for.
    pub kind: TurnKind,
    /// Whether something new was asked for, or drift is put right.
    pub cause: ChangeCause,
    /// What for, in the words of the node.
    pub reason: String,
    /// The generation that asks.
    pub generation: Generation,
    /// The fleet configuration that was in force when it asked.
    pub configuration_version: i64,
    /// How it stands.
    pub state: TurnState,
    /// Since when.
    pub since: DateTime<Utc>,
    /// When a node that does not ask again has lost it; absent of one that failed.
    pub expires_at: Option<DateTime<Utc>>,
    /// Whom it waits for, or what failed; empty when it is granted.
    pub detail: String,
}

/// A node asks for its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnRequest {
    /// The generation that asks for the change.
    pub generation: Generation,
    /// What for.
    pub kind: TurnKind,
    /// Whether something new was asked for, or drift is put right.
    pub cause: ChangeCause,
    /// What would be done, for a person; one line.
    pub reason: String,
}

/// How a turn was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnOutcome {
    /// What it was for is done, or not needed any more.
    Done,
    /// A change failed.
    Failed {
        /// What failed, for a person; one line.
        detail: String,
    },
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnAnswer {
    /// The turn is the node's.
    Granted {
        /// For so long; asking again starts it anew.
        lease_ms: u32,
    },
    /// Others are before it.
    Waiting {
        /// Whom it waits for and why, for a person.
        reason: String,
        /// The names of the nodes that have the places; not all when they are many.
        holders: Vec<String>,
        /// Ask again after this.
        retry_after_ms: u32,
    },
}
