//! Who this node is: the key that was made here, the certificates that the controller gave, and what it signs with.
//!
//! `agent.json` is written last and read first: while it is missing the node has not joined.

use crate::{config::StateDir, durable};
use chrono::{DateTime, Utc};
use muster_domain::{NodeId, NodeName};
use muster_proto::v1;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const KEY: &str = "node.key";
const CERTIFICATE: &str = "node.crt";
const ROOT: &str = "root.crt";

/// What `agent.json` holds. Nothing of it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// The id that the controller gave.
    pub node_id: NodeId,
    /// The name that the invitation was for.
    pub node_name: NodeName,
    /// `https://host:port` of the listener for agents.
    pub controller_url: String,
    /// The agent was joined with `--rootless`.
    pub rootless: bool,
    /// Ed25519 keys that assignments may be signed with, in hexadecimal.
    pub assignment_keys: Vec<String>,
    /// The certificate counts from then.
    pub certificate_not_before: DateTime<Utc>,
    /// And until then.
    pub certificate_not_after: DateTime<Utc>,
    /// When the node joined.
    pub enrolled_at: DateTime<Utc>,
}

impl Enrolment {
    /// The keys as bytes.
    pub fn assignment_keys(&self) -> Vec<[u8; 32]> {
        let decode = |text: &String| {
            let mut key = [0; 32];
            hex::decode_to_slice(text, &mut key).ok().map(|()| key)
        };
        self.assignment_keys.iter().filter_map(decode).collect()
    }

    /// When the certificate should be renewed: after two thirds of its life, moved back by up to a tenth of it. The
    /// share is drawn once for each certificate by the caller, so that a fleet does not renew together.
    pub fn renew_at(&self, share: f64) -> DateTime<Utc> {
        let life = self.certificate_not_after - self.certificate_not_before;
        let life_ms = life.num_milliseconds().max(0);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "a life of hours, in ms"
        )]
        let offset_ms = (life_ms as f64 * (2.0 / 3.0 + 0.1 * share.clamp(0.0, 1.0))) as i64;
        self.certificate_not_before + chrono::TimeDelta::milliseconds(offset_ms)
    }
}

/// The proof of an identity.
pub struct Credentials {
    /// The node's certificate first, then its issuer.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key that was made on this host and never left it.
    pub key: PrivateKeyDer<'static>,
    /// What controllers are verified with.
    pub root: CertificateDer<'static>,
}

/// Why an identity could not be read, written or used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// There is none.
    #[error("this node has not joined a fleet: {} is missing; run `muster-agent join` with a token from `muster node invite`", path.display())]
    NotJoined {
        /// Where it should be.
        path: PathBuf,
    },
    /// A file could not be used.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} is damaged ({reason}); join again with --force and a fresh token", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No key or request could be made.
    #[error("cannot make a key or a certificate request")]
    Crypto(#[source] rcgen::Error),
    /// What the controller answered is not an identity.
    #[error("the controller answered with an identity that cannot be used: {reason}")]
    Answer {
        /// What is wrong.
        reason: String,
    },
}

/// Makes the key of a node, in PEM.
pub fn make_key() -> Result<Zeroizing<String>, IdentityError> {
    let key = rcgen::KeyPair::generate().map_err(IdentityError::Crypto)?;
    Ok(Zeroizing::new(key.serialize_pem()))
}

/// A request for a certificate over a key. It asks for no names: those are the controller's to give.
pub fn certificate_request(key_pem: &str) -> Result<Vec<u8>, IdentityError> {
    let key = rcgen::KeyPair::from_pem(key_pem).map_err(IdentityError::Crypto)?;
    let request =
        rcgen::CertificateParams::default().serialize_request(&key).map_err(IdentityError::Crypto)?;
    Ok(request.der().to_vec())
}

/// The files of an identity.
#[derive(Debug, Clone)]
pub struct IdentityStore {
    state: StateDir,
}

impl IdentityStore {
    /// The files below a state folder.
    pub fn new(state: StateDir) -> Self {
        Self { state }
    }

    /// Whether this node has joined.
    pub fn joined(&self) -> bool {
        self.state.enrolment().exists()
    }

    /// Writes a new key, before the controller is asked: a token must not be spent on a disk that takes nothing.
    pub fn write_key(&self, key_pem: &str) -> Result<(), IdentityError> {
        let dir = self.state.identity();
        durable::private_folder(&dir).map_err(io_error("create", &dir))?;
        self.write(&dir.join(KEY), key_pem.as_bytes())
    }

    /// The key in PEM.
    pub fn key_pem(&self) -> Result<Zeroizing<String>, IdentityError> {
        let path = self.state.identity().join(KEY);
        let bytes = read(&path)?;
        let text = String::from_utf8(bytes).map_err(|_| damaged(&path, "it is not text"))?;
        Ok(Zeroizing::new(text))
    }

    /// Writes what the controller gave, `agent.json` last.
    pub fn write_identity(
        &self,
        enrolment: &Enrolment,
        identity: &v1::Identity,
    ) -> Result<(), IdentityError> {
        let dir = self.state.identity();
        let chain: String =
            identity.certificate_chain_der.iter().map(|der| pem("CERTIFICATE", der)).collect();
        self.write(&dir.join(ROOT), pem("CERTIFICATE", &identity.root_der).as_bytes())?;
        self.write(&dir.join(CERTIFICATE), chain.as_bytes())?;
        let text = serde_json::to_vec_pretty(enrolment).expect("names, times and text always encode");
        self.write(&self.state.enrolment(), &text)
    }

    /// Who this node is.
    pub fn enrolment(&self) -> Result<Enrolment, IdentityError> {
        let path = self.state.enrolment();
        let Some(bytes) = durable::read(&path).map_err(io_error("read", &path))? else {
            return Err(IdentityError::NotJoined { path });
        };
        serde_json::from_slice(&bytes).map_err(|error| damaged(&path, error))
    }

    /// How it proves that.
    pub fn credentials(&self) -> Result<Credentials, IdentityError> {
        let dir = self.state.identity();
        let certificates = |name: &str| {
            let path = dir.join(name);
            let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(&path)?).collect();
            match found {
                Ok(found) if !found.is_empty() => Ok(found),
                Ok(_) => Err(damaged(&path, "it holds no certificate")),
                Err(error) => Err(damaged(&path, error)),
            }
        };
        let chain = certificates(CERTIFICATE)?;
        let root = certificates(ROOT)?.swap_remove(0);
        let key = PrivateKeyDer::from_pem_slice(self.key_pem()?.as_bytes())
            .map_err(|error| damaged(&dir.join(KEY), error))?;
        Ok(Credentials { chain, key, root })
    }

    /// What controllers, and services of other nodes, are verified with.
    pub fn root(&self) -> Result<CertificateDer<'static>, IdentityError> {
        let path = self.state.identity().join(ROOT);
        CertificateDer::from_pem_slice(&read(&path)?).map_err(|error| damaged(&path, error))
    }

    fn write(&self, path: &Path, content: &[u8]) -> Result<(), IdentityError> {
        durable::write(path, content).map_err(io_error("write", path))
    }
}

/// Checks what the controller gave and joins it with what is known.
pub fn enrolment_from(
    known: EnrolmentBasics,
    identity: &v1::Identity,
    enrolled_at: DateTime<Utc>,
) -> Result<Enrolment, IdentityError> {
    let refuse = |reason: &str| IdentityError::Answer { reason: reason.to_owned() };
    if identity.certificate_chain_der.is_empty() || identity.root_der.is_empty() {
        return Err(refuse("a certificate is missing"));
    }
    if identity.assignment_keys.is_empty() || identity.assignment_keys.iter().any(|key| key.len() != 32) {
        return Err(refuse("the keys for assignments are missing or of the wrong length"));
    }
    let time = |seconds: i64| {
        let ms = seconds.checked_mul(1000);
        ms.and_then(DateTime::from_timestamp_millis).ok_or_else(|| refuse("a time is not valid"))
    };
    let EnrolmentBasics { node_id, node_name, controller_url, rootless } = known;
    Ok(Enrolment {
        node_id,
        node_name,
        controller_url,
        rootless,
        assignment_keys: identity.assignment_keys.iter().map(hex::encode).collect(),
        certificate_not_before: time(identity.not_before_s)?,
        certificate_not_after: time(identity.not_after_s)?,
        enrolled_at,
    })
}

/// What of an enrolment is not in the controller's [`v1::Identity`].
#[derive(Debug, Clone)]
pub struct EnrolmentBasics {
    /// The id that the controller gave.
    pub node_id: NodeId,
    /// The name that the invitation was for.
    pub node_name: NodeName,
    /// Where the controller is.
    pub controller_url: String,
    /// The agent runs without root.
    pub rootless: bool,
}

impl From<Enrolment> for EnrolmentBasics {
    fn from(known: Enrolment) -> Self {
        let Enrolment { node_id, node_name, controller_url, rootless, .. } = known;
        Self { node_id, node_name, controller_url, rootless }
    }
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IdentityError {
    let path = path.to_owned();
    move |source| IdentityError::Io { action, path, source }
}

fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    durable::read(path).map_err(io_error("read", path))?.ok_or_else(|| damaged(path, "it is missing"))
}

fn damaged(path: &Path, reason: impl ToString) -> IdentityError {
    IdentityError::Damaged { path: path.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enrolment() -> Enrolment {
        Enrolment {
            node_id: NodeId::from_uuid(uuid::Uuid::from_u128(1)),
            node_name: NodeName::parse("app-1").unwrap(),
            controller_url: "https://localhost:8444".into(),
            rootless: false,
            assignment_keys: vec![hex::encode([7; 32])],
            certificate_not_before: DateTime::from_timestamp(0, 0).unwrap(),
            certificate_not_after: DateTime::from_timestamp(86_400, 0).unwrap(),
            enrolled_at: DateTime::from_timestamp(0, 0).unwrap(),
        }
    }

    #[test]
    fn an_identity_survives_the_disk_and_its_files_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::new(dir.path());
        let store = IdentityStore::new(state.clone());
        assert!(matches!(store.enrolment(), Err(IdentityError::NotJoined { .. })));
        let key = make_key().unwrap();
        assert!(!certificate_request(&key).unwrap().is_empty());
        store.write_key(&key).unwrap();
        let identity = v1::Identity {
            certificate_chain_der: vec![vec![1; 100], vec![2; 3]],
            root_der: vec![3; 70],
            ..v1::Identity::default()
        };
        store.write_identity(&enrolment(), &identity).unwrap();
        assert_eq!(store.enrolment().unwrap(), enrolment());
        let read = store.credentials().unwrap();
        assert_eq!(read.chain, [CertificateDer::from(vec![1; 100]), CertificateDer::from(vec![2; 3])]);
        assert_eq!(read.root, CertificateDer::from(vec![3; 70]));
        for file in [state.enrolment(), state.identity().join(KEY), state.identity().join(CERTIFICATE)] {
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(std::fs::metadata(state.identity()).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn renewal_falls_into_the_last_third() {
        let hours =
            |share| (enrolment().renew_at(share) - DateTime::from_timestamp(0, 0).unwrap()).num_minutes();
        assert_eq!(hours(0.0), 16 * 60);
        assert!((16 * 60..20 * 60).contains(&hours(1.0)));
    }

    #[test]
    fn an_answer_without_keys_is_refused() {
        let identity = v1::Identity {
            certificate_chain_der: vec![vec![1]],
            root_der: vec![1],
            ..v1::Identity::default()
        };
        let result = enrolment_from(enrolment().into(), &identity, enrolment().enrolled_at);
        assert!(matches!(result, Err(IdentityError::Answer { .. })));
    }
}
