//! The keys that assignments are signed with.
//!
//! They are apart from the TLS certificates: whoever can stand between an agent and the controller still cannot make up
//! an assignment. The file may hold several keys: the first signs, all are announced. To change keys, append the new one,
//! wait until every agent has renewed its certificate (it learns the keys then), move it to the front, remove the old one
//! a day later.

use crate::IdentityError;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use std::{fmt, path::Path};
use zeroize::Zeroizing;

/// Signs assignments.
pub struct AssignmentSigner {
    keys: Vec<Ed25519KeyPair>,
}

impl fmt::Debug for AssignmentSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AssignmentSigner({} keys)", self.keys.len())
    }
}

impl AssignmentSigner {
    /// The content of a new key file.
    pub(crate) fn generate_file() -> Result<Zeroizing<String>, IdentityError> {
        rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)
            .map(|key| Zeroizing::new(key.serialize_pem()))
            .map_err(|source| IdentityError::Make { what: "the key for assignments", source })
    }

    /// Reads a key file; `path` is for messages.
    pub(crate) fn from_file(path: &Path, content: &[u8]) -> Result<Self, IdentityError> {
        let keys = PrivatePkcs8KeyDer::pem_slice_iter(content)
            .map(|key| {
                let key = key.map_err(|e| IdentityError::damaged(path, e))?;
                Ed25519KeyPair::from_pkcs8(key.secret_pkcs8_der())
                    .map_err(|e| IdentityError::damaged(path, e))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(IdentityError::damaged(path, "it holds no key"));
        }
        Ok(Self { keys })
    }

    /// Signs a statement (`muster_proto::signing`) with the first key.
    #[must_use]
    pub fn sign(&self, statement: &[u8]) -> Vec<u8> {
        self.keys[0].sign(statement).as_ref().to_vec()
    }

    /// The public keys that agents should accept, 32 bytes each; the one that signs today is the first.
    #[must_use]
    pub fn public_keys(&self) -> Vec<Vec<u8>> {
        self.keys.iter().map(|key| key.public_key().as_ref().to_vec()).collect()
    }
}

/// Whether `signature` over `statement` was made with one of `public_keys`.
#[must_use]
pub fn verify(public_keys: &[Vec<u8>], statement: &[u8], signature: &[u8]) -> bool {
    public_keys.iter().any(|key| UnparsedPublicKey::new(&ED25519, key).verify(statement, signature).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Zeroizing<String> {
        AssignmentSigner::generate_file().unwrap()
    }

    fn signer(content: &str) -> AssignmentSigner {
        AssignmentSigner::from_file(Path::new("assignment.keys"), content.as_bytes()).unwrap()
    }

    #[test]
    fn what_was_signed_verifies_and_nothing_else() {
        let signer = signer(&file());
        let keys = signer.public_keys();
        assert_eq!(keys[0].len(), 32);
        let signature = signer.sign(b"statement");
        assert_eq!(signature.len(), 64);
        assert!(verify(&keys, b"statement", &signature));
        assert!(!verify(&keys, b"statemenT", &signature));
        assert!(!verify(&keys, b"statement", &signature[..63]));
        assert!(!verify(&[], b"statement", &signature));
        assert!(!verify(&[vec![], vec![0; 32]], b"statement", &signature));
    }

    #[test]
    fn keys_can_be_changed_while_agents_know_only_one() {
        let (old, new) = (file(), file());
        let before = signer(&format!("{}{}", *old, *new));
        let after = signer(&format!("{}{}", *new, *old));
        assert!(verify(&before.public_keys(), b"s", &after.sign(b"s")));
        assert!(verify(&signer(&old).public_keys(), b"s", &before.sign(b"s")));
        assert!(!verify(&signer(&old).public_keys(), b"s", &after.sign(b"s")));
    }

    #[test]
    fn a_file_without_a_usable_key_is_refused() {
        let path = Path::new("assignment.keys");
        for bad in ["", "rubbish", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            assert!(matches!(
                AssignmentSigner::from_file(path, bad.as_bytes()),
                Err(IdentityError::Damaged { .. })
            ));
        }
    }
}
