//! From a directory to a manifest and the files it names.
//!
//! Reproducible: only paths, contents, executable bits and link targets count. The same tree elsewhere, with other
//! times and another owner, gives the same digest.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::digest::{Digest, HashingReader};
use crate::files::open_regular;
use crate::limits::{MAX_ENTRIES, MAX_FILE_BYTES, MAX_TREE_BYTES};
use crate::manifest::{Entry, EntryKind, Manifest, ManifestError};

/// The file with the ignore rules of an application, at the root of its directory.
pub const IGNORE_FILE: &str = ".musterignore";

/// Left out unless `.musterignore` takes it in again, for example with `!.env`: version control, our own files, what
/// the desktop leaves behind, crash logs of package managers, and files that hold secrets (which belong into
/// `muster secret set`).
pub const DEFAULT_IGNORE_RULES: &[&str] = &[
    ".git",
    ".hg",
    ".svn",
    ".muster",
    ".musterignore",
    ".DS_Store",
    "npm-debug.log*",
    "yarn-error.log*",
    ".env",
    ".env.*",
];

/// How to pack.
#[derive(Debug, Clone, Default)]
pub struct PackOptions {
    /// Further rules in gitignore syntax; they win over `.musterignore`.
    pub exclude: Vec<String>,
}

/// A packed directory.
#[derive(Debug)]
pub struct Packed {
    /// What is in it.
    pub manifest: Manifest,
    /// Where each content can be read.
    pub sources: BTreeMap<Digest, SourceFile>,
    /// The paths which a rule left out (a directory stands for all it holds), sorted.
    pub excluded: Vec<String>,
}

/// A file that has the content of a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub size_bytes: u64,
}

/// Why a directory cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The directory is missing or something else.
    #[error("\"{}\" is not a directory", path.display())]
    NotADirectory {
        /// What was given.
        path: PathBuf,
    },
    /// Nothing is left after the ignore rules.
    #[error("\"{}\" holds nothing to pack", path.display())]
    Empty {
        /// What was given.
        path: PathBuf,
    },
    /// A file could not be read.
    #[error("cannot read \"{}\"", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line of the ignore rules is wrong.
    #[error("a rule in {origin} cannot be used: {message}")]
    IgnoreRule {
        /// The file, or "the exclude option".
        origin: String,
        /// What is wrong, with the line.
        message: String,
    },
    /// A name or a link target which is not UTF-8.
    #[error("\"{}\" has a name or a link target that is not UTF-8; rename it or leave it out in {IGNORE_FILE}", path.display())]
    NotUtf8 {
        /// Where, as far as it can be shown.
        path: PathBuf,
    },
    /// A device, pipe or socket.
    #[error("\"{}\" is a {kind}, only files, directories and symbolic links can be packed; leave it out in {IGNORE_FILE}", path.display())]
    SpecialFile {
        /// The path.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// A rule of the format is broken, such as a link that leaves the tree.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// Packs what the ignore rules leave of a directory.
pub fn pack(directory: &Path, options: &PackOptions) -> Result<Packed, PackError> {
    if !directory.is_dir() {
        return Err(PackError::NotADirectory { path: directory.to_owned() });
    }
    let rules = ignore_rules(directory, options)?;
    let mut walk =
        Walk { entries: Vec::new(), sources: BTreeMap::new(), excluded: Vec::new(), total_bytes: 0 };
    let mut pending = vec![(directory.to_owned(), String::new())];
    while let Some((path, prefix)) = pending.pop() {
        let failed = |source| PackError::Read { path: path.clone(), source };
        for child in fs::read_dir(&path).map_err(failed)? {
            let child = child.map_err(failed)?;
            let child_path = child.path();
            let file_name = child.file_name();
            let name = file_name.to_string_lossy();
            let relative = if prefix.is_empty() { name.into_owned() } else { format!("{prefix}/{name}") };
            let metadata = fs::symlink_metadata(&child_path)
                .map_err(|source| PackError::Read { path: child_path.clone(), source })?;
            if rules.matched(&relative, metadata.is_dir()).is_ignore() {
                walk.excluded.push(relative);
                continue;
            }
            if file_name.to_str().is_none() {
                return Err(PackError::NotUtf8 { path: child_path });
            }
            if metadata.is_dir() {
                pending.push((child_path.clone(), relative.clone()));
            }
            walk.add(&child_path, relative, &metadata)?;
        }
    }
    if walk.entries.is_empty() {
        return Err(PackError::Empty { path: directory.to_owned() });
    }
    walk.excluded.sort_unstable();
    Ok(Packed { manifest: Manifest::new(walk.entries)?, sources: walk.sources, excluded: walk.excluded })
}

struct Walk {
    entries: Vec<Entry>,
    sources: BTreeMap<Digest, SourceFile>,
    excluded: Vec<String>,
    total_bytes: u64,
}

impl Walk {
    fn add(&mut self, path: &Path, relative: String, metadata: &Metadata) -> Result<(), PackError> {
        if self.entries.len() == MAX_ENTRIES {
            return Err(ManifestError::TooManyEntries.into());
        }
        let failed = |source| PackError::Read { path: path.to_owned(), source };
        let file_type = metadata.file_type();
        let kind = if file_type.is_dir() {
            EntryKind::Directory
        } else if file_type.is_symlink() {
            let target = fs::read_link(path).map_err(failed)?;
            let target = target.to_str().ok_or_else(|| PackError::NotUtf8 { path: path.to_owned() })?;
            EntryKind::Symlink { target: target.to_owned() }
        } else if file_type.is_file() {
            if metadata.len() > MAX_FILE_BYTES {
                let size_bytes = metadata.len();
                return Err(ManifestError::FileTooLarge { path: relative, size_bytes }.into());
            }
            let mut reader = HashingReader::new(open_regular(path).map_err(failed)?.take(MAX_FILE_BYTES + 1));
            io::copy(&mut reader, &mut io::sink()).map_err(failed)?;
            let (digest, size_bytes) = reader.result();
            self.total_bytes += size_bytes;
            if self.total_bytes > MAX_TREE_BYTES {
                return Err(ManifestError::TreeTooLarge.into());
            }
            self.sources.entry(digest).or_insert_with(|| SourceFile { path: path.to_owned(), size_bytes });
            EntryKind::File { digest, size_bytes, executable: metadata.permissions().mode() & 0o100 != 0 }
        } else {
            let kind = if file_type.is_fifo() {
                "named pipe"
            } else if file_type.is_socket() {
                "socket"
            } else {
                "device"
            };
            return Err(PackError::SpecialFile { path: path.to_owned(), kind });
        };
        self.entries.push(Entry { path: relative, kind });
        Ok(())
    }
}

/// The built-in rules, then `.musterignore`, then the options: the last rule that matches decides.
fn ignore_rules(directory: &Path, options: &PackOptions) -> Result<Gitignore, PackError> {
    // Paths are matched relative to the packed directory, so the root of the rules is empty.
    let mut rules = GitignoreBuilder::new("");
    for rule in DEFAULT_IGNORE_RULES {
        rules.add_line(None, rule).expect("the built-in rules are well formed");
    }
    let file = directory.join(IGNORE_FILE);
    match fs::read(&file) {
        Ok(bytes) => {
            let text = String::from_utf8(bytes).map_err(|_| PackError::IgnoreRule {
                origin: IGNORE_FILE.to_owned(),
                message: "the file is not UTF-8".to_owned(),
            })?;
            for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
                rules.add_line(None, line).map_err(|error| PackError::IgnoreRule {
                    origin: format!("{IGNORE_FILE}:{}", number + 1),
                    message: error.to_string(),
                })?;
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(PackError::Read { path: file, source }),
    }
    let bad_option = |error: ignore::Error| PackError::IgnoreRule {
        origin: "the exclude option".to_owned(),
        message: error.to_string(),
    };
    for rule in &options.exclude {
        rules.add_line(None, rule).map_err(bad_option)?;
    }
    rules.build().map_err(bad_option)
}

#[cfg(test)]
mod tests;
