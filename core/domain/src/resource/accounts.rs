//! Users and groups of a node, and who may sign in.

use serde::{Deserialize, Serialize};

/// A user of the node. Its password is never set: who signs in does so with a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Whether it should be there.
    pub ensure: Ensure,
    /// Its number; absent means "whichever is free".
    pub uid: Option<u32>,
    /// Its primary group by name; absent means one of its own name for a new user, and "as it is" for an old one.
    pub group: Option<String>,
    /// Groups that it is in besides; others that it is in stay.
    pub groups: Vec<String>,
    /// Its shell; absent means the distribution's usual one.
    pub shell: Option<String>,
    /// Its home; absent means the distribution's usual one.
    pub home: Option<String>,
    /// Its full name or purpose.
    pub comment: Option<String>,
    /// An account of a service: a low number, no home made.
    pub system: bool,
}

/// A group of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Whether it should be there.
    pub ensure: Ensure,
    /// Its number; absent means "whichever is free".
    pub gid: Option<u32>,
    /// A group of a service: a low number.
    pub system: bool,
}

/// Keys with which somebody may sign in as a user over SSH.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizedKey {
    /// The user.
    pub user: String,
    /// Whole lines of `authorized_keys`: `ssh-ed25519 AAAA... comment`.
    pub keys: Vec<String>,
    /// Keys that are not listed are taken away.
    pub exclusive: bool,
}

/// Whether something should be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ensure {
    /// It should.
    #[default]
    Present,
    /// It should not.
    Absent,
}
