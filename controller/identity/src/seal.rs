//! Secrets at rest: XChaCha20-Poly1305 under a key that lies beside the database, never in it.
//!
//! A sealed value is bound to its place: the purpose (table and column) and the row take part as associated data, so a
//! value that was copied to another row does not open. Format 1, in bytes:
//! `1 | key id (8) | nonce (24) | ciphertext and tag`. Nonces are random; 192 bits make a repetition impossible in
//! practice. The file may hold several keys: the first seals, every one opens, so keys can be changed step by step.

use crate::random;
use chacha20poly1305::{
    Key, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, KeyInit as _, Payload},
};
use sha2::{Digest as _, Sha256};
use std::fmt;
use zeroize::Zeroizing;

const FORMAT: u8 = 1;
const KEY_ID_LEN: usize = 8;
const NONCE_LEN: usize = 24;
const HEADER_LEN: usize = 1 + KEY_ID_LEN + NONCE_LEN;
const LINE_PREFIX: &str = "muster-seal-1 ";

/// A sealed value that does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It was sealed with a key that is not here.
    #[error(
        "the value was sealed with key {key_id}, which is not among the keys of this controller: restore the identity folder that belongs to this database"
    )]
    UnknownKey {
        /// The key it wants.
        key_id: String,
    },
    /// It was changed, or belongs to another place.
    #[error("the sealed value was altered or belongs to another row")]
    Altered,
    /// It is not a sealed value of a known format.
    #[error("the value is not sealed in a format that this version knows")]
    Format,
    /// The key file cannot be read.
    #[error("line {line} is not a seal key")]
    KeyFile {
        /// Counted from one.
        line: usize,
    },
    /// The key file is empty.
    #[error("there is no seal key in the file")]
    NoKey,
}

struct SealKey {
    id: [u8; KEY_ID_LEN],
    cipher: XChaCha20Poly1305,
}

impl SealKey {
    fn new(key: &[u8; 32]) -> Self {
        let digest = Sha256::new().chain_update(b"muster.seal.key-id\0").chain_update(key).finalize();
        let mut id = [0; KEY_ID_LEN];
        id.copy_from_slice(&digest[..KEY_ID_LEN]);
        Self { id, cipher: XChaCha20Poly1305::new(&Key::from(*key)) }
    }
}

/// Seals and opens values of the database.
pub struct Seal {
    keys: Vec<SealKey>,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seal({} keys)", self.keys.len())
    }
}

impl Seal {
    /// The content of a new key file.
    pub(crate) fn generate_file() -> Zeroizing<String> {
        let key = Zeroizing::new(random::bytes::<32>());
        Zeroizing::new(format!("{LINE_PREFIX}{}\n", *Zeroizing::new(hex::encode(*key))))
    }

    /// Reads a key file: one key per line, the first one seals.
    pub fn from_file(content: &str) -> Result<Self, SealError> {
        let mut keys = Vec::new();
        for (index, line) in content.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let unreadable = SealError::KeyFile { line: index + 1 };
            let digits = line.trim().strip_prefix(LINE_PREFIX).ok_or(unreadable.clone())?;
            let mut key = Zeroizing::new([0; 32]);
            hex::decode_to_slice(digits, &mut *key).map_err(|_| unreadable)?;
            keys.push(SealKey::new(&key));
        }
        if keys.is_empty() { Err(SealError::NoKey) } else { Ok(Self { keys }) }
    }

    /// Seals `plaintext` for the place `purpose` (`secrets.sealed`) and `row` (its key).
    #[must_use]
    pub fn seal(&self, purpose: &str, row: &str, plaintext: &[u8]) -> Vec<u8> {
        let key = &self.keys[0];
        let nonce = random::bytes::<NONCE_LEN>();
        let aad = associated(purpose, row);
        let ciphertext = key
            .cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: plaintext, aad: &aad })
            .expect("only a plaintext beyond 256 GiB cannot be encrypted");
        let mut sealed = Vec::with_capacity(HEADER_LEN + ciphertext.len());
        sealed.push(FORMAT);
        sealed.extend_from_slice(&key.id);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&ciphertext);
        sealed
    }

    /// Opens what [`Self::seal`] made for the same place.
    pub fn open(&self, purpose: &str, row: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (header, ciphertext) = sealed.split_at_checked(HEADER_LEN).ok_or(SealError::Format)?;
        if header[0] != FORMAT {
            return Err(SealError::Format);
        }
        let (id, nonce) = header[1..].split_at(KEY_ID_LEN);
        let key = self
            .keys
            .iter()
            .find(|key| key.id == *id)
            .ok_or_else(|| SealError::UnknownKey { key_id: hex::encode(id) })?;
        let nonce = <[u8; NONCE_LEN]>::try_from(nonce).map_err(|_| SealError::Format)?;
        let aad = associated(purpose, row);
        key.cipher
            .decrypt(&XNonce::from(nonce), Payload { msg: ciphertext, aad: &aad })
            .map(Zeroizing::new)
            .map_err(|_| SealError::Altered)
    }

    /// Whether a value should be sealed again because a newer key is in use.
    #[must_use]
    pub fn outdated(&self, sealed: &[u8]) -> bool {
        sealed.get(1..1 + KEY_ID_LEN) != Some(&self.keys[0].id[..])
    }
}

/// The length keeps `("ab", "c")` and `("a", "bc")` apart.
fn associated(purpose: &str, row: &str) -> Vec<u8> {
    let mut aad = b"muster.seal.v1\0".to_vec();
    aad.extend_from_slice(&(purpose.len() as u64).to_be_bytes());
    aad.extend_from_slice(purpose.as_bytes());
    aad.extend_from_slice(row.as_bytes());
    aad
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal() -> Seal {
        Seal::from_file(&Seal::generate_file()).unwrap()
    }

    #[test]
    fn values_open_in_their_place_and_nowhere_else() {
        let seal = seal();
        let sealed = seal.seal("secrets.sealed", "production/DATABASE_URL", b"hunter2");
        assert!(!sealed.windows(7).any(|w| w == b"hunter2"));
        assert_eq!(
            seal.open("secrets.sealed", "production/DATABASE_URL", &sealed).unwrap().as_slice(),
            b"hunter2"
        );
        for (purpose, row) in [
            ("secrets.sealed", "staging/DATABASE_URL"),
            ("secrets.sealedp", "roduction/DATABASE_URL"),
            ("other", "production/DATABASE_URL"),
        ] {
            assert_eq!(seal.open(purpose, row, &sealed), Err(SealError::Altered));
        }
        assert_ne!(sealed, seal.seal("secrets.sealed", "production/DATABASE_URL", b"hunter2"));
    }

    #[test]
    fn every_altered_bit_is_noticed() {
        let seal = seal();
        let sealed = seal.seal("p", "r", b"value");
        for index in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[index] ^= 1;
            assert!(seal.open("p", "r", &altered).is_err(), "byte {index}");
            assert!(seal.open("p", "r", &sealed[..index]).is_err(), "cut at {index}");
        }
    }

    #[test]
    fn another_key_says_so() {
        let sealed = seal().seal("p", "r", b"value");
        let error = seal().open("p", "r", &sealed).unwrap_err();
        assert!(matches!(error, SealError::UnknownKey { .. }));
        assert!(error.to_string().contains("restore the identity folder"), "{error}");
    }

    #[test]
    fn keys_can_be_changed() {
        let (old, new) = (Seal::generate_file(), Seal::generate_file());
        let sealed = Seal::from_file(&old).unwrap().seal("p", "r", b"value");
        let both = Seal::from_file(&format!("{}\n{}", *new, *old)).unwrap();
        assert_eq!(both.open("p", "r", &sealed).unwrap().as_slice(), b"value");
        assert!(both.outdated(&sealed));
        let sealed = both.seal("p", "r", b"value");
        assert!(!both.outdated(&sealed));
        assert!(Seal::from_file(&new).unwrap().open("p", "r", &sealed).is_ok());
    }

    #[test]
    fn a_damaged_key_file_names_the_line() {
        let good = Seal::generate_file();
        assert_eq!(
            Seal::from_file(&format!("{}\nrubbish", *good)).unwrap_err(),
            SealError::KeyFile { line: 3 }
        );
        assert_eq!(Seal::from_file("\n \n").unwrap_err(), SealError::NoKey);
        assert!(!format!("{:?}", Seal::from_file(&good).unwrap()).contains(&good[20..40]));
    }
}
