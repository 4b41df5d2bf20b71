//! A certificate of the fleet for a service of the node.

use serde::{Deserialize, Serialize};

/// A certificate that the fleet's issuer for services gives, for a key that is made on the node and never leaves it.
/// Renewed by the agent before it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// A name of one's own.
    pub name: String,
    /// Names that it is valid for. The controller gives only those that the configuration gives to this node.
    pub dns_names: Vec<String>,
    /// Addresses that it is valid for.
    pub addresses: Vec<std::net::IpAddr>,
    /// Where the private key lies, mode 0600 unless `group` is given (then 0640).
    pub key_path: String,
    /// Where the chain lies, the node's own certificate first.
    pub certificate_path: String,
    /// Where the root of the fleet lies; absent means nowhere.
    pub ca_path: Option<String>,
    /// Owner of the files by name; absent means root.
    pub owner: Option<String>,
    /// Group of the files by name; absent means root.
    pub group: Option<String>,
}
