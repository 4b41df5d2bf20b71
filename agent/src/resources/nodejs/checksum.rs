//! What an archive must be: the digests of npm's registry and of Node.js's own distribution.

use base64::Engine;
use sha2::{Digest, Sha256, Sha512};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// A digest that an archive must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Checksum {
    /// As in `SHASUMS256.txt`.
    Sha256(Vec<u8>),
    /// As in the registry's `integrity`.
    Sha512(Vec<u8>),
}

impl Checksum {
    /// Reads the registry's `integrity`: the strongest of several. Older kinds prove nothing any more.
    pub(super) fn of_integrity(text: &str) -> Option<Self> {
        let kind = |prefix: &str, bytes: usize| {
            let of_kind = |word: &str| {
                let value = word.strip_prefix(prefix)?.split('?').next()?;
                let value = base64::engine::general_purpose::STANDARD.decode(value).ok()?;
                (value.len() == bytes).then_some(value)
            };
            text.split_ascii_whitespace().find_map(of_kind)
        };
        kind("sha512-", 64).map(Self::Sha512).or_else(|| kind("sha256-", 32).map(Self::Sha256))
    }

    /// Finds the line of a file in `SHASUMS256.txt`.
    pub(super) fn in_list(list: &str, file: &str) -> Option<Self> {
        let line = |line: &str| {
            let (digest, name) = line.split_once(char::is_whitespace)?;
            let digest = hex::decode(digest).ok().filter(|digest| digest.len() == 32)?;
            (name.trim().trim_start_matches('*') == file).then_some(Self::Sha256(digest))
        };
        list.lines().find_map(line)
    }

    /// Whether a file has it.
    pub(super) fn check(&self, path: &Path) -> Result<(), String> {
        let found = match self {
            Self::Sha256(_) => digest::<Sha256>(path),
            Self::Sha512(_) => digest::<Sha512>(path),
        };
        let found = found.map_err(|error| format!("cannot be read: {error}"))?;
        let (Self::Sha256(wanted) | Self::Sha512(wanted)) = self;
        if found == *wanted {
            return Ok(());
        }
        Err(format!("has the digest {} instead of {}", hex::encode(found), hex::encode(wanted)))
    }
}

fn digest<D: Digest>(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut hasher = D::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().to_vec()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digests_that_prove_something_are_taken() {
        let base64 = base64::engine::general_purpose::STANDARD;
        let (short, long) = (base64.encode([7; 32]), base64.encode([9; 64]));
        assert_eq!(Checksum::of_integrity(&format!("sha512-{long}")), Some(Checksum::Sha512(vec![9; 64])));
        let both = format!("sha256-{short} sha512-{long}?x");
        assert_eq!(Checksum::of_integrity(&both), Some(Checksum::Sha512(vec![9; 64])));
        for bad in [
            String::new(),
            "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=".into(),
            format!("sha512-{short}"),
            "sha512-!".into(),
        ] {
            assert_eq!(Checksum::of_integrity(&bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_list_names_each_file_once() {
        let digest = "ab".repeat(32);
        let list = format!(
            "{}  node-v1-linux-x64.tar.gz.asc\n{digest}  node-v1-linux-x64.tar.gz\njunk\n",
            "cd".repeat(32)
        );
        assert_eq!(
            Checksum::in_list(&list, "node-v1-linux-x64.tar.gz"),
            Some(Checksum::Sha256(vec![0xab; 32]))
        );
        assert_eq!(Checksum::in_list(&list, "node-v1-linux-arm64.tar.gz"), None);
        assert_eq!(Checksum::in_list("abcd  x", "x"), None);
    }
}
