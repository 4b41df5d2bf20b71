//! Seals files with a key that lies beside them (XChaCha20-Poly1305; the name of the file is part of what is sealed, so
//! that one file cannot be put in the place of another).

use crate::durable;
use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit, Payload},
};
use std::io;
use std::path::Path;
use zeroize::Zeroizing;

const NONCE_BYTES: usize = 24;

pub(super) struct SealKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey")
    }
}

impl SealKey {
    /// Reads the key. One that is missing or of the wrong length is made anew: what it sealed is lost then, and said so
    /// by whoever opens it.
    pub(super) fn load_or_create(path: &Path) -> io::Result<Self> {
        if let Some(key) = Self::load(path)? {
            return Ok(key);
        }
        let mut key = Zeroizing::new([0; 32]);
        rand::fill(key.as_mut_slice());
        durable::write(path, key.as_slice())?;
        Ok(Self(key))
    }

    /// Reads the key, if there is one of the right length.
    pub(super) fn load(path: &Path) -> io::Result<Option<Self>> {
        let bytes = durable::read(path)?.map(Zeroizing::new);
        let key = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
        Ok(key.map(|key| Self(Zeroizing::new(key))))
    }

    pub(super) fn seal(&self, name: &str, content: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        rand::fill(&mut nonce);
        let payload = Payload { msg: content, aad: name.as_bytes() };
        let sealed =
            self.cipher().encrypt(&XNonce::from(nonce), payload).expect("files stay far below 256 GiB");
        [nonce.as_slice(), &sealed].concat()
    }

    pub(super) fn open(&self, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, content) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        self.cipher().decrypt(&XNonce::from(*nonce), Payload { msg: content, aad: name.as_bytes() }).ok()
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&(*self.0).into())
    }
}
