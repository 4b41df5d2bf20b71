//! Fetching the programs that the controller hands out, when they are others than those that run here.
//!
//! Trust: the connection is verified with the root certificate that this node joined with, and the list of programs is
//! signed by the key that assignments are signed with. Every program must have the digest that the list says. What
//! happens with them then is [`crate::install`], done by the new agent itself.
//!
//! Start here: [`Offer::look`].

mod fetch;
mod manifest;

pub use manifest::{Entry, InvalidManifest, Manifest};

use crate::config::StateDir;
use crate::identity::{IdentityError, IdentityStore};
use crate::install::layout::PROGRAMS;
use crate::install::release::Build;
use crate::link::dial::{ControllerAddress, DialError, InvalidAddress};
use crate::link::tls;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use fetch::Source;
use muster_proto::signing::programs_statement;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A list of eight programs is under a kilobyte.
const MAX_MANIFEST_BYTES: usize = 64 * 1024;
/// A signature in hexadecimal, and a line feed.
const MAX_SIGNATURE_BYTES: usize = 256;

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// The node has no identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Its controller's address is none.
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    /// The controller cannot be reached, or is another one.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The stored root is no certificate.
    #[error("the stored root certificate cannot be used")]
    Root(#[source] rustls::Error),
    /// The answer is not one.
    #[error("the controller did not send {path}: {reason}")]
    Answer {
        /// What was asked for.
        path: String,
        /// What came.
        reason: String,
    },
    /// The list is not from this fleet.
    #[error("the list of programs is not signed by this fleet's controller; nothing was fetched")]
    Signature,
    /// The list makes no sense.
    #[error(transparent)]
    Manifest(#[from] InvalidManifest),
    /// There is nothing for this machine.
    #[error("the controller has no programs for {0}; put a build for it into the folder of its --agent-dir")]
    Architecture(&'static str),
    /// A program is not what the list says.
    #[error("{program} is not what the controller's list says; nothing was changed, try again")]
    Damaged {
        /// Which.
        program: String,
    },
    /// A file could not be written.
    #[error("cannot use {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What the controller hands out.
pub struct Offer {
    source: Source,
    /// Its list.
    pub manifest: Manifest,
}

impl Offer {
    /// Asks the controller of a node.
    pub async fn look(state: &StateDir) -> Result<Self, UpgradeError> {
        let store = IdentityStore::new(state.clone());
        let enrolment = store.enrolment()?;
        let config = tls::downloads(store.credentials()?.root).map_err(UpgradeError::Root)?;
        let source = Source::new(ControllerAddress::parse(&enrolment.controller_url)?, config);
        // Twice: the programs may be replaced in the moment between the list and its signature.
        for _ in 0..2 {
            let text = source.small("manifest", MAX_MANIFEST_BYTES).await?;
            let signature = source.small("manifest.sig", MAX_SIGNATURE_BYTES).await?;
            if signed(&enrolment.assignment_keys(), &text, &signature) {
                return Ok(Self { source, manifest: Manifest::parse(&text)? });
            }
        }
        Err(UpgradeError::Signature)
    }

    /// The programs for this machine.
    pub fn programs(&self) -> Result<Vec<&Entry>, UpgradeError> {
        let architecture = std::env::consts::ARCH;
        let found = PROGRAMS.map(|name| self.manifest.entry(architecture, name));
        found.into_iter().collect::<Option<_>>().ok_or(UpgradeError::Architecture(architecture))
    }

    /// Whether these are the programs of a build that is there.
    pub fn same_as(&self, build: &Build) -> Result<bool, UpgradeError> {
        let same = |entry: &&Entry| build.digest_of(&entry.program) == Some(entry.sha256.as_str());
        Ok(self.programs()?.iter().all(same))
    }

    /// Fetches them into a new folder. What was fetched of a set that is not whole stays there: the caller removes it.
    pub async fn fetch(&self, folder: &Path) -> Result<(), UpgradeError> {
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(folder)
            .map_err(|source| UpgradeError::Io { path: folder.to_owned(), source })?;
        for entry in self.programs()? {
            let path = folder.join(&entry.program);
            tracing::info!("fetching {}, {} bytes", entry.program, entry.bytes);
            self.source.program(entry, &path).await?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
                .map_err(|source| UpgradeError::Io { path, source })?;
        }
        Ok(())
    }
}

fn signed(keys: &[[u8; 32]], text: &[u8], signature: &[u8]) -> bool {
    let Some(signature) = std::str::from_utf8(signature).ok().and_then(|text| hex::decode(text.trim()).ok())
    else {
        return false;
    };
    let statement = programs_statement(text);
    keys.iter().any(|key| UnparsedPublicKey::new(&ED25519, key).verify(&statement, &signature).is_ok())
}
