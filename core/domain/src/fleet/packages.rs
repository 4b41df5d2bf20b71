//! Packages and where they come from, as people declare them.

use super::entry::entries;
use super::lists::{self, Texts};
use super::off;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

entries! {
    /// A package of the distribution or of a declared repository. Packages of one run are installed in one transaction.
    PackageEntry {
        /// The package, when it is not called like the entry: two entries can then say different things of it on different
        /// nodes. `:architecture` may stand behind it. Default: the name of the entry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The version, or the beginning of one with `*` at its end: `"1.22.1-9+deb12u1"`, `"16.*"`. Default: whichever the
        /// sources offer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
        /// Whether it should be there: `present`, `absent` (its configuration stays), or `purged`. Default: present.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ensure: Option<PackagePresence>,
        /// Upgrades leave it alone, as with `apt-mark hold`. Default: false.
        #[serde(default, skip_serializing_if = "off")]
        hold: bool,
        /// The entry of `apt_repositories` that it comes from: without it, the package is not tried. Default: any source of
        /// the node.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repository: Option<String>,
    }

    /// A source of packages with the key that signs it. The key is accepted for this source alone.
    AptRepositoryEntry {
        /// Its name on the node, when it is not that of the entry. Default: the name of the entry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Where it is: `https://deb.example.com/debian`, or a list of such addresses. Required.
        #[serde(deserialize_with = "lists::texts")]
        #[schemars(with = "Texts")]
        uris: Vec<String>,
        /// Suites such as `bookworm`, or a path that ends in `/` for a repository without them. Required.
        #[serde(deserialize_with = "lists::texts")]
        #[schemars(with = "Texts")]
        suites: Vec<String>,
        /// Components such as `main`. Default: none, for a repository without them.
        #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lists::texts")]
        #[schemars(with = "Texts")]
        components: Vec<String>,
        /// Architectures such as `amd64`. Default: that of the node.
        #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lists::texts")]
        #[schemars(with = "Texts")]
        architectures: Vec<String>,
        /// The OpenPGP public key that signs it, armored. Default: `key_source`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// A file beside the fleet files that holds the key, armored, relative to the folder that is applied. Default:
        /// `key`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_source: Option<String>,
    }
}

/// Whether a package should be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PackagePresence {
    /// Installed.
    Present,
    /// Not installed; its configuration stays.
    Absent,
    /// Not installed, nor its configuration.
    Purged,
}
