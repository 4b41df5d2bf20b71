//! The folder of assembled releases: `<name>/` with the files, and beside it `<name>.manifest.json`.
//!
//! The manifest lies outside the tree, so that nothing in an artifact can take its place.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::manifest::Manifest;

/// An assembled release.
#[derive(Debug, Clone)]
pub struct ReleaseTree {
    /// Its name, usually the id of the release.
    pub name: String,
    /// The directory with its files.
    pub root: PathBuf,
    /// What was assembled.
    pub manifest: Manifest,
}

/// Whether a release may have this name: it becomes a file name, so no separators, and no name we use otherwise.
pub(crate) fn name_allowed(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && !name.starts_with('.')
        && !name.contains(PARTIAL_MARK)
        && !name.ends_with(MANIFEST_SUFFIX)
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+'))
}

/// Between the name of a release and a random number, while it is being assembled or removed.
pub(crate) const PARTIAL_MARK: &str = ".partial-";
const MANIFEST_SUFFIX: &str = ".manifest.json";

pub(crate) fn manifest_path(parent: &Path, name: &str) -> PathBuf {
    parent.join(format!("{name}{MANIFEST_SUFFIX}"))
}

/// Opens one release; `None` when it is not there, or was never completed.
pub fn release_open(parent: &Path, name: &str) -> io::Result<Option<ReleaseTree>> {
    if !name_allowed(name) {
        return Ok(None);
    }
    let root = parent.join(name);
    if !fs::symlink_metadata(&root).is_ok_and(|metadata| metadata.is_dir()) {
        return Ok(None);
    }
    let bytes = match fs::read(manifest_path(parent, name)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // A damaged manifest is as good as none: the release is not used as a source and is assembled anew.
    Ok(Manifest::parse(&bytes).ok().map(|manifest| ReleaseTree { name: name.to_owned(), root, manifest }))
}

/// All releases of a folder, sorted by name; empty when there is no folder.
pub fn release_list(parent: &Path) -> io::Result<Vec<ReleaseTree>> {
    let children = match fs::read_dir(parent) {
        Ok(children) => children,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for child in children {
        if let Ok(name) = child?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    let mut releases = Vec::new();
    for name in names {
        releases.extend(release_open(parent, &name)?);
    }
    Ok(releases)
}

/// Removes a release. It disappears at once, under a name that the next assembly cleans up if the removal is cut off.
/// Whether it was there.
pub fn release_remove(parent: &Path, name: &str) -> io::Result<bool> {
    if !name_allowed(name) {
        return Ok(false);
    }
    let doomed = parent.join(format!("{name}{PARTIAL_MARK}removed"));
    if doomed.exists() {
        fs::remove_dir_all(&doomed)?;
    }
    match fs::rename(parent.join(name), &doomed) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    }
    match fs::remove_file(manifest_path(parent, name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::remove_dir_all(&doomed)?;
    Ok(true)
}
