//! What a node has once: its name, its time zone, its kernel settings, its SSH server.

use serde::{Deserialize, Serialize};

/// A kernel setting, now and after each boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sysctl {
    /// `net.core.somaxconn`.
    pub name: String,
    /// Its value as text.
    pub value: String,
}

/// The node's own idea of its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hostname {
    /// The name.
    pub name: String,
}

/// Names that the node resolves by itself: a marked block of `/etc/hosts`, the rest of which stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hosts {
    /// In the order of the file.
    pub entries: Vec<HostsEntry>,
}

/// One line of `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostsEntry {
    /// The address.
    pub address: std::net::IpAddr,
    /// Its names; at least one.
    pub names: Vec<String>,
}

/// The node's time zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timezone {
    /// A name of the time zone database: `Etc/UTC`, `Europe/Berlin`.
    pub name: String,
}

/// Settings of the SSH server, in a file of their own that is read first, so that they win over the distribution's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sshd {
    /// Keyword and value, as in `sshd_config`.
    pub settings: Vec<(String, String)>,
}
