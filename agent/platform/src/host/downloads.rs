//! What the agent fetches from elsewhere than its controller.

use super::HostError;
use std::path::Path;

/// A host that can fetch by HTTPS.
pub trait DownloadHost {
    /// Fetches a small document into memory.
    fn fetch(&self, download: &Download<'_>) -> Result<Vec<u8>, HostError>;
    /// Fetches into a new file (of the machine itself, not of the managed system).
    fn fetch_into(&self, download: &Download<'_>, file: &Path) -> Result<(), HostError>;
}

/// What to fetch.
#[derive(Debug, Clone, Copy)]
pub struct Download<'a> {
    /// From where. Only `https` is spoken, and plain `http` to this machine itself.
    pub url: &'a str,
    /// What the answer should be in.
    pub accept: Option<&'a str>,
    /// More than this is refused.
    pub max_bytes: u64,
    /// How long it may take in all.
    pub timeout_ms: u64,
}
