//! The primitive resources that an agent understands. The agent knows nothing of roles, environments or fleets: a new role
//! is a new compiler module and these stay.

mod application;

pub use application::{
    Application, CombinedLog, ExecMode, Interpreter, Limits, LogFile, LogRotation, Logs, ProcessSettings,
    Readiness, Watch,
};

use crate::names::InvalidName;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The identity of a resource within an assignment: `kind:name`, for example `file:/etc/motd` or `application:web`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceKey(String);

impl ResourceKey {
    /// The longest accepted key: a path of the longest length that Linux takes, and a kind before it.
    pub const MAX_BYTES: usize = 4096 + 64;

    /// Builds the key of a resource.
    pub fn new(kind: &str, name: impl fmt::Display) -> Self {
        Self(format!("{kind}:{name}"))
    }

    /// Parses a key that came from outside.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidName> {
        let text = text.into();
        let ok = text.len() <= Self::MAX_BYTES
            && !text.chars().any(char::is_control)
            && text.split_once(':').is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty());
        if ok {
            Ok(Self(text))
        } else {
            Err(InvalidName {
                kind: "resource",
                given: text.chars().take(80).collect(),
                rule: "use kind:name without control characters",
            })
        }
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first colon.
    pub fn kind(&self) -> &str {
        self.0.split_once(':').map_or(&self.0, |(kind, _)| kind)
    }
}

impl TryFrom<String> for ResourceKey {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::parse(text)
    }
}

impl From<ResourceKey> for String {
    fn from(key: ResourceKey) -> String {
        key.0
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One resource of an assignment: what it is, and what has to be in place before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Unique within the assignment.
    pub key: ResourceKey,
    /// Keys that must be converged first. A resource whose dependency failed is skipped, not tried.
    pub depends_on: Vec<ResourceKey>,
    /// What it should be.
    pub desired: DesiredState,
}

/// The desired state of one resource, by kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "a node has some hundred resources, and a box would be in the way of every match"
)]
pub enum DesiredState {
    /// A folder with an owner and a mode.
    Directory(Directory),
    /// A regular file with its content.
    File(File),
    /// A symbolic link.
    Symlink(Symlink),
    /// A Node.js that satisfies a version range.
    Nodejs(Nodejs),
    /// A release of an application, and its processes.
    Application(Application),
}

impl DesiredState {
    /// The word for the kind, as it stands in keys, SQL, REST and the dashboard.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Directory(_) => "directory",
            Self::File(_) => "file",
            Self::Symlink(_) => "symlink",
            Self::Nodejs(_) => "nodejs",
            Self::Application(_) => "application",
        }
    }
}

/// A folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// Absolute path.
    pub path: String,
    /// Permission bits, `0o0000` to `0o7777`.
    pub mode: u32,
    /// Owner by name; absent means "leave as it is".
    pub owner: Option<String>,
    /// Group by name; absent means "leave as it is".
    pub group: Option<String>,
}

/// A regular file. The parent folder must exist or be declared.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Absolute path.
    pub path: String,
    /// The whole content.
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Owner by name; absent means "leave as it is".
    pub owner: Option<String>,
    /// Group by name; absent means "leave as it is".
    pub group: Option<String>,
    /// The content is a secret: never shown in a diff, a report or a log.
    pub sensitive: bool,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("path", &self.path)
            .field("content_bytes", &self.content.len())
            .field("mode", &format_args!("{:#o}", self.mode))
            .field("owner", &self.owner)
            .field("group", &self.group)
            .field("sensitive", &self.sensitive)
            .finish()
    }
}

/// A symbolic link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symlink {
    /// Absolute path of the link itself.
    pub path: String,
    /// What it points to, verbatim.
    pub target: String,
}

/// A Node.js runtime. One that is installed and satisfies `range` is used; else the newest version that does is installed
/// side by side with the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nodejs {
    /// A version range in npm's grammar: `22`, `>=20.19 <23`, `20.20.2`.
    pub range: String,
}
