//! Compares a directory with a manifest.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::digest::HashingReader;
use crate::files::open_regular;
use crate::manifest::{EntryKind, Manifest};

/// One way in which a directory is not what the manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The path is not there, or cannot be read.
    Missing(String),
    /// Something else is at the path: another kind, content, executable bit or target.
    Changed(String),
    /// The path is not in the manifest. Applications that write into their own directory cause this.
    Unexpected(String),
}

impl Difference {
    /// Whether the release is damaged by it; a file that is not in the manifest does no harm.
    pub fn damage(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Changed(_))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "\"{}\" is missing", path.escape_debug()),
            Self::Changed(path) => write!(f, "\"{}\" was changed", path.escape_debug()),
            Self::Unexpected(path) => write!(f, "\"{}\" does not belong to it", path.escape_debug()),
        }
    }
}

/// Reads every file below `root` and lists what differs from the manifest, first by manifest order, then unexpected
/// paths (a directory stands for all it holds).
pub fn verify_tree(root: &Path, manifest: &Manifest) -> io::Result<Vec<Difference>> {
    let mut differences = Vec::new();
    let mut expected = HashSet::new();
    let mut directories = vec![String::new()];
    // Below a path that should be a directory and is not, nothing is looked at: it might be a link to elsewhere.
    let mut broken: HashSet<&str> = HashSet::new();
    for entry in manifest.entries() {
        expected.insert(entry.path.as_str());
        if broken.contains(crate::path::parent(&entry.path)) {
            broken.insert(&entry.path);
            differences.push(Difference::Missing(entry.path.clone()));
            continue;
        }
        match state(&root.join(&entry.path), &entry.kind)? {
            State::Good => {
                if entry.kind == EntryKind::Directory {
                    directories.push(entry.path.clone());
                }
                continue;
            }
            State::Missing => differences.push(Difference::Missing(entry.path.clone())),
            State::Changed => differences.push(Difference::Changed(entry.path.clone())),
        }
        broken.insert(&entry.path);
    }
    let mut unexpected = Vec::new();
    for directory in directories {
        for child in fs::read_dir(root.join(&directory))? {
            let name = child?.file_name();
            let name = name.to_string_lossy();
            let path = if directory.is_empty() { name.into_owned() } else { format!("{directory}/{name}") };
            if !expected.contains(path.as_str()) {
                unexpected.push(path);
            }
        }
    }
    unexpected.sort_unstable();
    differences.extend(unexpected.into_iter().map(Difference::Unexpected));
    Ok(differences)
}

enum State {
    Good,
    Missing,
    Changed,
}

fn state(path: &Path, kind: &EntryKind) -> io::Result<State> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(State::Missing);
        }
        Err(error) => return Err(error),
    };
    let good = match kind {
        EntryKind::Directory => metadata.is_dir(),
        EntryKind::Symlink { target } => {
            metadata.is_symlink() && fs::read_link(path)?.to_str() == Some(target.as_str())
        }
        EntryKind::File { digest, size_bytes, executable } => {
            metadata.is_file()
                && metadata.len() == *size_bytes
                && (metadata.permissions().mode() & 0o100 != 0) == *executable
                && {
                    let mut reader = HashingReader::new(open_regular(path)?);
                    io::copy(&mut reader, &mut io::sink())?;
                    reader.result() == (*digest, *size_bytes)
                }
        }
    };
    Ok(if good { State::Good } else { State::Changed })
}
