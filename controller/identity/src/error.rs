//! What can be wrong with the identity of a fleet on disk.

use std::{io, path::PathBuf};

/// The identity could not be made, read or used. Every message names the file and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The operating system said no.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file with a private key can be read by more than its owner.
    #[error("{} holds a private key, but others may read it (mode {mode:03o}): run chmod {wanted} on it, and consider the key known to others", path.display())]
    Exposed {
        /// The file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they should be.
        wanted: &'static str,
    },
    /// A file does not hold what it should.
    #[error("{} is damaged: {reason}; restore the identity folder from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate and a key that a person brought do not work together.
    #[error("the certificate {} cannot be used: {reason}", path.display())]
    BroughtCertificate {
        /// The certificate file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate could not be made.
    #[error("cannot make {what}")]
    Make {
        /// Which.
        what: &'static str,
        /// Why not.
        source: rcgen::Error,
    },
    /// A name that a server certificate cannot hold.
    #[error("{name:?} is not a host name or an address that a certificate can hold")]
    ServerName {
        /// The name.
        name: String,
    },
    /// rustls refused a configuration.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
}

impl IdentityError {
    pub(crate) fn damaged(path: impl Into<PathBuf>, reason: impl ToString) -> Self {
        Self::Damaged { path: path.into(), reason: reason.to_string() }
    }
}
