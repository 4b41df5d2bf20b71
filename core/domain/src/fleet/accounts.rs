//! Users and groups of the nodes, as people declare them.

use super::entry::entries;
use super::lists::{self, Texts};
use super::off;
use crate::resource::Ensure;

entries! {
    /// A user of the node, and the keys with which somebody signs in as that user. Passwords are never set.
    UserEntry {
        /// The user, when it is not called like the entry. Default: the name of the entry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Whether it should be there: `present`, or `absent` (its home stays). Default: present.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ensure: Option<Ensure>,
        /// Its number. Default: whichever is free.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uid: Option<u32>,
        /// Its primary group. Default: one of its own name for a new user, and as it is for an old one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// Groups that it is in besides; others that it is in stay. Default: none.
        #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lists::texts")]
        #[schemars(with = "Texts")]
        groups: Vec<String>,
        /// Its shell. Default: the distribution's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shell: Option<String>,
        /// Its home. Default: the distribution's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        home: Option<String>,
        /// Its full name or purpose. Default: as it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<String>,
        /// An account of a service: a low number, and no home is made. Default: false.
        #[serde(default, skip_serializing_if = "off")]
        system: bool,
        /// SSH keys with which somebody signs in as this user, as in `authorized_keys`. Default: none are managed.
        #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lists::texts")]
        #[schemars(with = "Texts")]
        keys: Vec<String>,
        /// Keys that are not listed are taken away; `false` leaves those that somebody added on the node. Default: true.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exclusive_keys: Option<bool>,
    }

    /// A group of the node.
    GroupEntry {
        /// The group, when it is not called like the entry. Default: the name of the entry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Whether it should be there: `present` or `absent`. Default: present.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ensure: Option<Ensure>,
        /// Its number. Default: whichever is free.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gid: Option<u32>,
        /// A group of a service: a low number. Default: false.
        #[serde(default, skip_serializing_if = "off")]
        system: bool,
    }
}
