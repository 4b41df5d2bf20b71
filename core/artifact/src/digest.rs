//! Content addresses: blake3, in the type that the whole product shares.

use std::io::{self, Read};

pub use muster_domain::Digest;

/// The digest of bytes at hand.
pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(*blake3::hash(bytes).as_bytes())
}

/// A reader that hashes and counts what passes through it.
pub(crate) struct HashingReader<R> {
    inner: R,
    hasher: blake3::Hasher,
    read_bytes: u64,
}

impl<R: Read> HashingReader<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, hasher: blake3::Hasher::new(), read_bytes: 0 }
    }

    /// The digest and the number of bytes read so far.
    pub(crate) fn result(&self) -> (Digest, u64) {
        (Digest::from_bytes(*self.hasher.finalize().as_bytes()), self.read_bytes)
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.read_bytes += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_and_slices_give_the_same_digest() {
        let content = vec![7; 100_000];
        let mut reader = HashingReader::new(content.as_slice());
        io::copy(&mut reader, &mut io::sink()).unwrap();
        assert_eq!(reader.result(), (digest_of(&content), 100_000));
        // The published digest of nothing: the algorithm is blake3, unkeyed.
        let empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(digest_of(b"").to_string(), empty);
    }
}
