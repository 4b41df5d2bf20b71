//! Seals values of the saved list that look like secrets, with a key that lies in the supervisor's folder
//! (XChaCha20-Poly1305; the name of the application is part of what is sealed).

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit, Payload},
};
use zeroize::Zeroizing;

const NONCE_BYTES: usize = 24;
const KEY_BYTES: usize = 32;

/// The key. `Debug` does not show it.
pub(crate) struct SealKey(Zeroizing<[u8; KEY_BYTES]>);

impl SealKey {
    /// Reads the key, if there is one of the right length.
    pub(crate) fn load(path: &Path) -> io::Result<Option<Self>> {
        let mut bytes = Zeroizing::new(Vec::new());
        match OpenOptions::new().read(true).open(path) {
            Ok(mut file) => file.read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(<[u8; KEY_BYTES]>::try_from(bytes.as_slice()).ok().map(|key| Self(Zeroizing::new(key))))
    }

    /// Reads the key, or makes one that only its owner may read. Two commands that come first at the same time agree:
    /// only one of them can create the file.
    pub(crate) fn load_or_create(path: &Path) -> io::Result<Self> {
        if let Some(key) = Self::load(path)? {
            return Ok(key);
        }
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        rand::fill(key.as_mut_slice());
        let hidden = path.with_extension(format!("{}", std::process::id()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&hidden)?;
        file.write_all(key.as_slice())?;
        file.sync_all()?;
        let linked = std::fs::hard_link(&hidden, path);
        std::fs::remove_file(&hidden)?;
        match linked {
            Ok(()) => Ok(Self(key)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match Self::load(path)? {
                Some(key) => Ok(key),
                // Something of another length lies there: what it sealed is lost anyway.
                None => Err(io::Error::new(io::ErrorKind::InvalidData, "this is no key; remove it")),
            },
            Err(error) => Err(error),
        }
    }

    /// Seals a content under a name.
    pub(crate) fn seal(&self, name: &str, content: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        rand::fill(&mut nonce);
        let payload = Payload { msg: content, aad: name.as_bytes() };
        let sealed =
            self.cipher().encrypt(&XNonce::from(nonce), payload).expect("variables stay far below 256 GiB");
        [nonce.as_slice(), &sealed].concat()
    }

    /// Opens what was sealed under the same name with the same key.
    pub(crate) fn open(&self, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, content) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        self.cipher().decrypt(&XNonce::from(*nonce), Payload { msg: content, aad: name.as_bytes() }).ok()
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&(*self.0).into())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_the_key_and_the_name_open_what_was_sealed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dump.key");
        let key = SealKey::load_or_create(&path).unwrap();
        let sealed = key.seal("web", b"hunter2");
        assert!(!sealed.windows(7).any(|part| part == b"hunter2"));
        let again = SealKey::load(&path).unwrap().unwrap();
        assert_eq!(again.open("web", &sealed).as_deref(), Some(&b"hunter2"[..]));
        assert_eq!(again.open("api", &sealed), None);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let other = SealKey::load_or_create(&dir.path().join("other.key")).unwrap();
        assert_eq!(other.open("web", &sealed), None);
    }
}
