//! Decides about sources of packages, and renders their files.

use super::{Action, Observed, Verdict, mismatch};
use base64::Engine;
use muster_domain::{Digest, host_names, resource::AptRepository};
use std::fmt::Write;

/// The files of a source of packages, as they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryFiles {
    /// Where the sources stand.
    pub sources_path: String,
    /// Their content.
    pub sources: String,
    /// Where the key is: an armored one ends in `.asc`, a binary one in `.gpg`; apt goes by the name.
    pub key_path: String,
    /// Where it would be in the other form, and must not be.
    pub other_key_path: String,
}

/// What was found of a source of packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedRepository {
    /// What the file of sources holds; absent when there is none.
    pub sources: Option<Digest>,
    /// What the key holds; absent when there is none.
    pub key: Option<Digest>,
    /// A key in the other form is there.
    pub other_key: bool,
    /// How owners and modes differ from those of files that root writes and everybody reads.
    pub attributes: Vec<String>,
    /// Who fetches lists or changes packages at this moment, in words.
    pub locked_by: Option<String>,
}

/// Why a source of packages cannot be what is declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRepository {
    /// A value that would become something else in the file.
    #[error("{what} {given:?} cannot stand in a file of sources")]
    Value {
        /// Which.
        what: &'static str,
        /// What was given.
        given: String,
    },
    /// An address that is not fetched from.
    #[error("the address {0:?} is not one of http or https")]
    Scheme(String),
    /// Nowhere to fetch from, or nothing to fetch.
    #[error("it names no {0}")]
    Missing(&'static str),
    /// Components with a flat repository, or none with another.
    #[error("the suite {0:?} {1}")]
    Components(String, &'static str),
    /// The key is none.
    #[error("its key {0}")]
    Key(#[from] InvalidKey),
}

/// What is wrong with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Nothing is there.
    #[error("is empty")]
    Empty,
    /// A secret key, which does not belong on any node.
    #[error("is a secret key; export the public one")]
    Secret,
    /// Not what a key looks like.
    #[error("is not an OpenPGP public key, armored or not")]
    NotAKey,
    /// The armor is damaged.
    #[error("is damaged: {0}")]
    Damaged(&'static str),
}

/// The files of a source of packages.
pub fn repository_files(wanted: &AptRepository) -> Result<RepositoryFiles, InvalidRepository> {
    let AptRepository { name, uris, suites, components, architectures, key } = wanted;
    if !host_names::drop_in(name) {
        return Err(InvalidRepository::Value { what: "the name", given: shortened(name) });
    }
    let armored = check_key(key)?;
    let (form, other) = if armored { ("asc", "gpg") } else { ("gpg", "asc") };
    let key_path = |form: &str| format!("/etc/apt/keyrings/{name}.{form}");
    for uri in uris {
        if !["http://", "https://"].iter().any(|scheme| uri.len() > scheme.len() && uri.starts_with(scheme)) {
            return Err(InvalidRepository::Scheme(shortened(uri)));
        }
    }
    for suite in suites {
        match (suite.ends_with('/'), components.is_empty()) {
            (true, false) => {
                return Err(InvalidRepository::Components(shortened(suite), "is flat and has no components"));
            }
            (false, true) => {
                return Err(InvalidRepository::Components(
                    shortened(suite),
                    "needs a component, such as main",
                ));
            }
            (true, true) | (false, false) => {}
        }
    }
    if uris.is_empty() {
        return Err(InvalidRepository::Missing("address"));
    }
    if suites.is_empty() {
        return Err(InvalidRepository::Missing("suite"));
    }
    let mut sources =
        format!("# Kept by Muster as the apt_repository {name:?}; changes are put back.\nTypes: deb\n");
    for (field, what, values) in [
        ("URIs", "the address", uris),
        ("Suites", "the suite", suites),
        ("Components", "the component", components),
        ("Architectures", "the architecture", architectures),
    ] {
        if let Some(bad) = values.iter().find(|value| !host_names::source_word(value)) {
            return Err(InvalidRepository::Value { what, given: shortened(bad) });
        }
        if !values.is_empty() {
            // Writing to a string cannot fail.
            writeln!(sources, "{field}: {}", values.join(" ")).ok();
        }
    }
    writeln!(sources, "Signed-By: {}", key_path(form)).ok();
    Ok(RepositoryFiles {
        sources_path: format!("/etc/apt/sources.list.d/{name}.sources"),
        sources,
        key_path: key_path(form),
        other_key_path: key_path(other),
    })
}

fn shortened(text: &str) -> String {
    text.chars().take(120).collect()
}

/// Whether these bytes are an OpenPGP public key, and whether it is armored. Looks at the outer form only; whether it signs
/// anything is apt's to say.
pub fn check_key(key: &[u8]) -> Result<bool, InvalidKey> {
    const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
    const END: &str = "-----END PGP PUBLIC KEY BLOCK-----";
    if key.iter().all(u8::is_ascii_whitespace) {
        return Err(InvalidKey::Empty);
    }
    let Ok(text) = std::str::from_utf8(key) else {
        return packets(key).map(|()| false);
    };
    if text.contains("PRIVATE KEY BLOCK") {
        return Err(InvalidKey::Secret);
    }
    let Some((_, rest)) = text.split_once(BEGIN) else {
        return packets(key).map(|()| false);
    };
    let (body, _) = rest.split_once(END).ok_or(InvalidKey::Damaged("its last line is missing"))?;
    // Headers such as `Version:` stand before an empty line.
    let mut lines = body.lines().map(str::trim).skip_while(|line| line.is_empty() || line.contains(": "));
    let mut data = String::new();
    let mut checksum = None;
    for line in lines.by_ref().filter(|line| !line.is_empty()) {
        match line.strip_prefix('=') {
            Some(sum) if sum.len() == 4 => checksum = Some(sum),
            _ => data.push_str(line),
        }
    }
    let base64 = base64::engine::general_purpose::STANDARD;
    let data = base64.decode(data).map_err(|_| InvalidKey::Damaged("it is not in base64"))?;
    if let Some(checksum) = checksum {
        let expected =
            base64.decode(checksum).map_err(|_| InvalidKey::Damaged("its checksum is not in base64"))?;
        if expected != crc24(&data) {
            return Err(InvalidKey::Damaged("its checksum differs"));
        }
    }
    packets(&data).map(|()| true)
}

/// RFC 9580, 6.1.1.
fn crc24(data: &[u8]) -> [u8; 3] {
    let mut crc: u32 = 0x00B7_04CE;
    for byte in data {
        crc ^= u32::from(*byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= 0x0186_4CFB;
            }
        }
    }
    let [_, high, middle, low] = crc.to_be_bytes();
    [high, middle, low]
}

/// Walks over the packets: a public key first, no secret one, and none that goes over the end.
fn packets(data: &[u8]) -> Result<(), InvalidKey> {
    let mut rest = data;
    let mut first = true;
    while let Some((&head, after)) = rest.split_first() {
        if head & 0x80 == 0 {
            return Err(if first {
                InvalidKey::NotAKey
            } else {
                InvalidKey::Damaged("a packet has no header")
            });
        }
        let (tag, length, body) = if head & 0x40 == 0 {
            let (length, body) =
                old_length(head & 3, after).ok_or(InvalidKey::Damaged("it ends too early"))?;
            ((head >> 2) & 0xf, length, body)
        } else {
            let (length, body) = new_length(after).ok_or(InvalidKey::Damaged("it ends too early"))?;
            (head & 0x3f, length, body)
        };
        match tag {
            5 | 7 => return Err(InvalidKey::Secret),
            6 => {}
            _ if first => return Err(InvalidKey::NotAKey),
            _ => {}
        }
        first = false;
        rest = body.get(length..).ok_or(InvalidKey::Damaged("it ends too early"))?;
    }
    Ok(())
}

fn old_length(kind: u8, data: &[u8]) -> Option<(usize, &[u8])> {
    let bytes = match kind {
        0 => 1,
        1 => 2,
        2 => 4,
        // Of unknown length; keys have none of these.
        _ => return None,
    };
    let (length, body) = data.split_at_checked(bytes)?;
    Some((length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), body))
}

fn new_length(data: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, body) = data.split_first()?;
    match first {
        0..192 => Some((usize::from(first), body)),
        192..224 => {
            let (&second, body) = body.split_first()?;
            Some(((usize::from(first) - 192) * 256 + usize::from(second) + 192, body))
        }
        255 => old_length(2, body),
        _ => None,
    }
}

pub(super) fn verdict(wanted: &AptRepository, observed: &Observed) -> Verdict {
    let Observed::Repository(observed) = observed else { return mismatch() };
    let files = match repository_files(wanted) {
        Ok(files) => files,
        Err(error) => return Verdict::Impossible { reason: error.to_string() },
    };
    let ObservedRepository { sources, key, other_key, attributes, locked_by } = observed;
    let digest = |content: &[u8]| Digest::from_bytes(*blake3::hash(content).as_bytes());
    let mut reasons = Vec::new();
    for (what, wanted, found) in [
        ("its file of sources", digest(files.sources.as_bytes()), sources),
        ("its key", digest(&wanted.key), key),
    ] {
        match found {
            None => reasons.push(format!("{what} is missing")),
            Some(found) if *found != wanted => reasons.push(format!("{what} differs")),
            Some(_) => {}
        }
    }
    if *other_key {
        reasons.push("a former key is still there".to_owned());
    }
    reasons.extend(attributes.iter().cloned());
    let reason = reasons.join(", ");
    match locked_by {
        _ if reasons.is_empty() => Verdict::InPlace,
        Some(holder) => Verdict::Waiting {
            reason: format!("{reason}; waits for the lock of dpkg and apt, which {holder} holds"),
        },
        None => Verdict::Change { actions: vec![Action::WriteRepository], reason },
    }
}

#[cfg(test)]
mod tests;
