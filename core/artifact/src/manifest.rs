//! The list of files of an artifact, and the rules it obeys.
//!
//! The encoding is canonical: one tree has exactly one manifest, so that the digest of the manifest is the digest of
//! the artifact. [`Manifest::parse`] checks everything; a `Manifest` that exists is safe to assemble.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::{Digest, digest_of};
use crate::limits::{
    MAX_ENTRIES, MAX_FILE_BYTES, MAX_LINK_HOPS, MAX_LINK_STEPS, MAX_MANIFEST_BYTES, MAX_PATH_BYTES,
    MAX_TREE_BYTES,
};
use crate::path::{PathFault, check_path, parent};

/// The version of the format which this code reads and writes.
pub const FORMAT: u32 = 1;

/// A checked list of files, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    entries: Vec<Entry>,
}

/// One path of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Relative to the root of the artifact, with `/` between names.
    pub path: String,
    /// What is at the path.
    pub kind: EntryKind,
}

/// What is at a path. Owner, times and all mode bits except the executable one are not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum EntryKind {
    /// A regular file.
    File {
        /// Of its content.
        digest: Digest,
        /// Its length.
        #[serde(rename = "size")]
        size_bytes: u64,
        /// Whether its owner may execute it.
        executable: bool,
    },
    /// A directory. Each directory is listed, also one that holds files.
    Directory,
    /// A symbolic link, which stays in the tree.
    Symlink {
        /// Relative to the directory of the link.
        target: String,
    },
}

/// Why bytes are not a manifest, or a tree cannot be one.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// More bytes than [`MAX_MANIFEST_BYTES`].
    #[error("the manifest has {bytes} bytes, at most {MAX_MANIFEST_BYTES} are allowed")]
    TooLarge {
        /// How many there are.
        bytes: usize,
    },
    /// Not JSON, or not of the right shape.
    #[error("the manifest cannot be read")]
    Malformed(#[source] serde_json::Error),
    /// Made by another version of Muster.
    #[error("the manifest has format {found}, this version reads format {FORMAT}")]
    UnknownFormat {
        /// The number found.
        found: u32,
    },
    /// The same content written in another way, which would give the artifact a second digest.
    #[error("the manifest is not in canonical form")]
    NotCanonical,
    /// More entries than [`MAX_ENTRIES`].
    #[error("the artifact has more than {MAX_ENTRIES} files and directories")]
    TooManyEntries,
    /// A path that must not be used.
    #[error("the path \"{}\" is not allowed: {fault}", path.escape_debug())]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        fault: PathFault,
    },
    /// Two entries are equal or in the wrong order.
    #[error("the path \"{}\" is listed twice or out of order", path.escape_debug())]
    Order {
        /// The later of the two.
        path: String,
    },
    /// The path lies below something that is not a directory of this manifest.
    #[error("the path \"{}\" lies below \"{}\", which is not a directory of the artifact", path.escape_debug(), parent.escape_debug())]
    NotInDirectory {
        /// The path.
        path: String,
        /// What it lies below.
        parent: String,
    },
    /// A link that must not be created.
    #[error("the symbolic link \"{}\" -> \"{}\" is not allowed: {fault}", path.escape_debug(), target.escape_debug())]
    Link {
        /// Where the link is.
        path: String,
        /// Where it points.
        target: String,
        /// What is wrong with it.
        fault: LinkFault,
    },
    /// A file larger than [`MAX_FILE_BYTES`].
    #[error("the file \"{path}\" has {size_bytes} bytes, at most {MAX_FILE_BYTES} are allowed")]
    FileTooLarge {
        /// The file.
        path: String,
        /// Its length.
        size_bytes: u64,
    },
    /// All files together are larger than [`MAX_TREE_BYTES`].
    #[error("the files of the artifact have more than {MAX_TREE_BYTES} bytes together")]
    TreeTooLarge,
    /// Two files of the same content have different lengths.
    #[error("the file \"{path}\" has a length that differs from another file with the same digest")]
    SizesDiffer {
        /// The later of the two.
        path: String,
    },
}

/// Why a link must not be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkFault {
    /// The target is empty.
    #[error("its target is empty")]
    Empty,
    /// The target begins with a slash.
    #[error("its target is absolute")]
    Absolute,
    /// The target lies outside the artifact.
    #[error("it leaves the tree")]
    LeavesTree,
    /// Following it never ends.
    #[error("it is part of a loop")]
    Loop,
    /// The target is longer than [`MAX_PATH_BYTES`].
    #[error("its target is longer than {MAX_PATH_BYTES} bytes")]
    TooLong,
    /// The target contains NUL or another control character.
    #[error("its target contains a control character")]
    Control,
    /// Checking all links takes more than [`MAX_LINK_STEPS`].
    #[error("the links of the artifact are too entangled to be checked")]
    TooEntangled,
}

#[derive(Serialize)]
struct Document<'a> {
    format: u32,
    entries: &'a [Entry],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDocument {
    format: u32,
    #[serde(deserialize_with = "capped_entries")]
    entries: Option<Vec<Entry>>,
}

impl Manifest {
    /// Checks a list of entries; their order does not matter.
    pub fn new(mut entries: Vec<Entry>) -> Result<Self, ManifestError> {
        entries.sort_unstable_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        check(&entries)?;
        let manifest = Self { entries };
        let bytes = manifest.encode().len();
        if bytes > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge { bytes });
        }
        Ok(manifest)
    }

    /// Reads and checks a manifest that came from elsewhere.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge { bytes: bytes.len() });
        }
        let raw: RawDocument = serde_json::from_slice(bytes).map_err(ManifestError::Malformed)?;
        if raw.format != FORMAT {
            return Err(ManifestError::UnknownFormat { found: raw.format });
        }
        let entries = raw.entries.ok_or(ManifestError::TooManyEntries)?;
        check(&entries)?;
        let manifest = Self { entries };
        if manifest.encode() != bytes {
            return Err(ManifestError::NotCanonical);
        }
        Ok(manifest)
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(&Document { format: FORMAT, entries: &self.entries })
            .expect("text, numbers and booleans always encode")
    }

    /// The digest of the artifact.
    pub fn digest(&self) -> Digest {
        digest_of(&self.encode())
    }

    /// All entries, sorted by the bytes of their paths: a directory comes before what it holds.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Each distinct content with its length in bytes.
    pub fn objects(&self) -> BTreeMap<Digest, u64> {
        self.files().map(|(_, digest, size_bytes, _)| (digest, size_bytes)).collect()
    }

    /// The regular files: path, digest, length in bytes, executable.
    pub fn files(&self) -> impl Iterator<Item = (&str, Digest, u64, bool)> {
        self.entries.iter().filter_map(|entry| match &entry.kind {
            EntryKind::File { digest, size_bytes, executable } => {
                Some((entry.path.as_str(), *digest, *size_bytes, *executable))
            }
            EntryKind::Directory | EntryKind::Symlink { .. } => None,
        })
    }

    /// The number of regular files.
    pub fn file_count(&self) -> usize {
        self.files().count()
    }

    /// The bytes of all files; equal files count each time.
    pub fn total_bytes(&self) -> u64 {
        self.files().map(|(_, _, size_bytes, _)| size_bytes).sum()
    }
}

fn check(entries: &[Entry]) -> Result<(), ManifestError> {
    if entries.len() > MAX_ENTRIES {
        return Err(ManifestError::TooManyEntries);
    }
    let mut index: HashMap<&str, &EntryKind> = HashMap::with_capacity(entries.len());
    let mut sizes: HashMap<Digest, u64> = HashMap::new();
    let mut total_bytes = 0_u64;
    let mut previous: Option<&str> = None;
    for Entry { path, kind } in entries {
        check_path(path).map_err(|fault| ManifestError::Path { path: path.clone(), fault })?;
        if previous.is_some_and(|previous| previous.as_bytes() >= path.as_bytes()) {
            return Err(ManifestError::Order { path: path.clone() });
        }
        previous = Some(path);
        let parent = parent(path);
        if !parent.is_empty() && !matches!(index.get(parent), Some(EntryKind::Directory)) {
            return Err(ManifestError::NotInDirectory { path: path.clone(), parent: parent.to_owned() });
        }
        match kind {
            EntryKind::File { digest, size_bytes, executable: _ } => {
                if *size_bytes > MAX_FILE_BYTES {
                    return Err(ManifestError::FileTooLarge { path: path.clone(), size_bytes: *size_bytes });
                }
                total_bytes += size_bytes;
                if total_bytes > MAX_TREE_BYTES {
                    return Err(ManifestError::TreeTooLarge);
                }
                if *sizes.entry(*digest).or_insert(*size_bytes) != *size_bytes {
                    return Err(ManifestError::SizesDiffer { path: path.clone() });
                }
            }
            EntryKind::Directory | EntryKind::Symlink { .. } => {}
        }
        index.insert(path, kind);
    }
    let mut steps_left = MAX_LINK_STEPS;
    for Entry { path, kind } in entries {
        if let EntryKind::Symlink { target } = kind {
            check_link(&index, path, target, &mut steps_left).map_err(|fault| ManifestError::Link {
                path: path.clone(),
                target: target.clone(),
                fault,
            })?;
        }
    }
    Ok(())
}

/// Follows a link as the kernel would, through the other links of the tree. Looking at the text alone is not enough:
/// with `a/up -> ..`, the target `up/../..` seems to end below the root but leaves it.
fn check_link(
    index: &HashMap<&str, &EntryKind>,
    path: &str,
    target: &str,
    steps_left: &mut u64,
) -> Result<(), LinkFault> {
    check_target(target)?;
    let mut at = parent(path).to_owned();
    let mut pending: Vec<&str> = target.split('/').rev().collect();
    let mut hops = 1;
    while let Some(component) = pending.pop() {
        *steps_left = steps_left.checked_sub(1).ok_or(LinkFault::TooEntangled)?;
        match component {
            "" | "." => {}
            ".." => {
                if at.is_empty() {
                    return Err(LinkFault::LeavesTree);
                }
                at.truncate(parent(&at).len());
            }
            name => {
                let before = at.len();
                if !at.is_empty() {
                    at.push('/');
                }
                at.push_str(name);
                if at.len() > 4 * MAX_PATH_BYTES {
                    return Err(LinkFault::TooLong);
                }
                if let Some(EntryKind::Symlink { target }) = index.get(at.as_str()) {
                    hops += 1;
                    if hops > MAX_LINK_HOPS {
                        return Err(LinkFault::Loop);
                    }
                    check_target(target)?;
                    at.truncate(before);
                    pending.extend(target.split('/').rev());
                }
            }
        }
    }
    Ok(())
}

fn check_target(target: &str) -> Result<(), LinkFault> {
    if target.is_empty() {
        Err(LinkFault::Empty)
    } else if target.len() > MAX_PATH_BYTES {
        Err(LinkFault::TooLong)
    } else if target.chars().any(char::is_control) {
        Err(LinkFault::Control)
    } else if target.starts_with('/') {
        Err(LinkFault::Absolute)
    } else {
        Ok(())
    }
}

/// Reads entries and stops at the cap, so that a hostile list does not fill the memory. `None`: too many.
fn capped_entries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Entry>>, D::Error> {
    struct Capped;
    impl<'de> Visitor<'de> for Capped {
        type Value = Option<Vec<Entry>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of entries")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = list.next_element()? {
                if entries.len() == MAX_ENTRIES {
                    while list.next_element::<serde::de::IgnoredAny>()?.is_some() {}
                    return Ok(None);
                }
                entries.push(entry);
            }
            Ok(Some(entries))
        }
    }
    deserializer.deserialize_seq(Capped)
}

#[cfg(test)]
mod tests;
