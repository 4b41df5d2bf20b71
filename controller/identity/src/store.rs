//! Everything that lies in `<data-dir>/identity`. Losing it means enrolling every node again and typing in every secret:
//! it belongs into the backup, apart from the database.

use crate::{
    AssignmentSigner, FleetCa, IdentityError, Seal, ca,
    files::{self, Readers},
    random,
};
use ca::{SERVER_LIFE, ServerCertificate};
use chrono::{DateTime, Utc};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

const FOLDER: &str = "identity";
const PARTIAL: &str = ".identity-partial-";
const ASSIGNMENT_KEYS: &str = "assignment.keys";
const SEAL_KEYS: &str = "seal.keys";
const SERVERS: &str = "servers";

/// The identity of one fleet: its CA, the key for assignments, the keys for secrets at rest.
#[derive(Debug)]
pub struct FleetIdentity {
    folder: PathBuf,
    /// Issues certificates.
    pub ca: FleetCa,
    /// Signs assignments.
    pub signer: AssignmentSigner,
    /// Seals values of the database.
    pub seal: Seal,
}

impl FleetIdentity {
    /// Reads the identity in `data_dir`, or makes one at the first start. It is made beside its place and moved there in
    /// one step, so there is a whole one or none. Answers whether it was made.
    pub fn open_or_create(data_dir: &Path, now: DateTime<Utc>) -> Result<(Self, bool), IdentityError> {
        let folder = data_dir.join(FOLDER);
        if folder.try_exists().map_err(|source| IdentityError::Io {
            action: "look for",
            path: folder.clone(),
            source,
        })? {
            files::check_folder(&folder)?;
            ca::complete(&folder, now)?;
            return Self::open(data_dir).map(|identity| (identity, false));
        }
        fs::create_dir_all(data_dir).map_err(|source| IdentityError::Io {
            action: "create",
            path: data_dir.to_owned(),
            source,
        })?;
        files::remove_leftovers(data_dir, PARTIAL)?;
        let partial = data_dir.join(format!("{PARTIAL}{}", random::alphanumeric(8)));
        files::create_folder(&partial)?;
        ca::create(&partial, now)?;
        files::write_new(&partial.join(ASSIGNMENT_KEYS), AssignmentSigner::generate_file()?.as_bytes())?;
        files::write_new(&partial.join(SEAL_KEYS), Seal::generate_file().as_bytes())?;
        files::create_folder(&partial.join(SERVERS))?;
        files::sync_folder(&partial)?;
        files::rename(&partial, &folder)?;
        tracing::info!(folder = %folder.display(), "made the identity of a new fleet; keep a backup of this folder");
        Self::open(data_dir).map(|identity| (identity, true))
    }

    /// Reads the identity in `data_dir`.
    pub fn open(data_dir: &Path) -> Result<Self, IdentityError> {
        let folder = data_dir.join(FOLDER);
        files::check_folder(&folder)?;
        let ca = ca::load(&folder)?;
        let path = folder.join(ASSIGNMENT_KEYS);
        let signer = AssignmentSigner::from_file(&path, &files::read(&path, Readers::Owner)?)?;
        let path = folder.join(SEAL_KEYS);
        let content = files::read(&path, Readers::Owner)?;
        let seal = std::str::from_utf8(&content)
            .map_err(|e| IdentityError::damaged(&path, e))
            .and_then(|text| Seal::from_file(text).map_err(|e| IdentityError::damaged(&path, e)))?;
        Ok(Self { folder, ca, signer, seal })
    }

    /// The folder, for messages.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The certificate of a listener (`people`, `agents`). It is kept, so that a restart does not show browsers a new one,
    /// and made anew when a third of its life is left, the names differ or the issuer changed.
    pub fn server_certificate(
        &self,
        listener: &'static str,
        names: &[String],
        now: DateTime<Utc>,
    ) -> Result<ServerCertificate, IdentityError> {
        let path = self.folder.join(SERVERS).join(format!("{listener}.pem"));
        if let Some(kept) = self.kept_certificate(&path, names, now)? {
            return Ok(kept);
        }
        let (pem, not_after) = self.ca.issue_server_pem(names, now)?;
        if let Err(error) = files::create_folder(&self.folder.join(SERVERS)) {
            let exists = matches!(&error, IdentityError::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists);
            if !exists {
                return Err(error);
            }
        }
        files::replace(&path, pem.as_bytes())?;
        tracing::info!(listener, ?names, %not_after, "issued a server certificate");
        ca::read_server(&self.ca, &path, pem.as_bytes()).map(|(certificate, _)| certificate)
    }

    fn kept_certificate(
        &self,
        path: &Path,
        names: &[String],
        now: DateTime<Utc>,
    ) -> Result<Option<ServerCertificate>, IdentityError> {
        let pem = match files::read(path, Readers::Owner) {
            Ok(pem) => pem,
            Err(IdentityError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let wanted = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        Ok(match ca::read_server(&self.ca, path, &pem) {
            Ok((kept, held)) if held == wanted && kept.not_after - now > SERVER_LIFE / 3 => Some(kept),
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(%error, "a kept server certificate cannot be used; issuing another");
                None
            }
        })
    }
}
