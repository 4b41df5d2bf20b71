//! Packages of the distribution and where they come from.

use crate::window::Window;
use serde::{Deserialize, Serialize};

/// A package of apt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its name, with `:architecture` when it is not the machine's own.
    pub name: String,
    /// Whether it should be there, and which.
    pub ensure: PackageEnsure,
    /// Upgrades leave it alone (`apt-mark hold`).
    pub hold: bool,
}

/// What should be so of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackageEnsure {
    /// Installed, in whichever version.
    Present,
    /// Installed in this version: `1.22.1-9+deb12u1`, or a prefix with `*` at its end: `16.*`.
    Version(String),
    /// Not installed; its configuration stays.
    Absent,
    /// Not installed, nor its configuration.
    Purged,
}

/// A source of packages, signed with a key of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AptRepository {
    /// Names its file in `/etc/apt/sources.list.d`.
    pub name: String,
    /// Where it is.
    pub uris: Vec<String>,
    /// Suites, such as `bookworm`; a path that ends in `/` for a flat one.
    pub suites: Vec<String>,
    /// Components, such as `main`; none for a flat one.
    pub components: Vec<String>,
    /// Architectures; none means the machine's own.
    pub architectures: Vec<String>,
    /// The OpenPGP key that signs it, armored or not. Only this key is accepted, and for this source alone.
    pub key: Vec<u8>,
}

/// Which upgrades are installed without anybody asking, and when the machine may restart for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OsUpdates {
    /// Which upgrades.
    pub scope: UpdateScope,
    /// When a needed restart of the machine may happen; absent: it is only reported.
    pub reboot: Option<Window>,
}

/// Which upgrades are installed by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateScope {
    /// None.
    None,
    /// Security updates.
    Security,
    /// Everything that the configured sources offer.
    All,
}
