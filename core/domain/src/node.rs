//! A node: an enrolled VPS.

use serde::{Deserialize, Serialize};

/// What a node is for. The compiler turns roles into resources; the agent never sees them.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Takes the traffic from outside.
    LoadBalancer,
    /// Runs applications.
    AppServer,
    /// Runs databases.
    Datastore,
}

impl Role {
    /// Every role, in the order of the path of a request.
    pub const ALL: [Self; 3] = [Self::LoadBalancer, Self::AppServer, Self::Datastore];

    /// The word in fleet files, SQL, REST and the dashboard.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LoadBalancer => "load_balancer",
            Self::AppServer => "app_server",
            Self::Datastore => "datastore",
        }
    }

    /// Reads the word back.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// Whether the controller hears from a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Liveness {
    /// Enrolled, never heard since.
    Pending,
    /// Beats arrive.
    Up,
    /// At least one beat is overdue, too few to call it down.
    Late,
    /// So many beats are overdue that it counts as down.
    Down,
    /// Its identity was withdrawn.
    Revoked,
}

impl Liveness {
    /// The word in SQL, REST and the dashboard.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Up => "up",
            Self::Late => "late",
            Self::Down => "down",
            Self::Revoked => "revoked",
        }
    }
}

/// How a node stands to what it should be, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Convergence {
    /// Everything is as it should be.
    Converged,
    /// It has not said yet how it stands with what it should be now.
    Pending,
    /// Something differs and has to wait: for a turn, a lock, a window.
    Waiting,
    /// Something differs and may not be changed.
    Drifted,
    /// Something failed.
    Failed,
}

impl Convergence {
    /// Every word, the best first.
    pub const ALL: [Self; 5] = [Self::Converged, Self::Pending, Self::Waiting, Self::Drifted, Self::Failed];

    /// The word in SQL, REST and the dashboard.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Converged => "converged",
            Self::Pending => "pending",
            Self::Waiting => "waiting",
            Self::Drifted => "drifted",
            Self::Failed => "failed",
        }
    }

    /// Reads the word back.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|word| word.as_str() == text)
    }
}

/// What a host says of itself. Informational: nothing is decided by it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostFacts {
    /// Its own idea of its name.
    pub hostname: String,
    /// Distribution and version, `Debian GNU/Linux 12`.
    pub os: String,
    /// Kernel release.
    pub kernel: String,
    /// `x86_64`, `aarch64`.
    pub architecture: String,
    /// Logical processors.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// The agent's version.
    pub agent_version: String,
    /// The agent runs without root and reports what needs root as unsupported.
    pub rootless: bool,
}
