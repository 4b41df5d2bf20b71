//! Finds the Node.js runtimes of a host. Asking a binary for its version starts a process of 40 MB, so an answer is kept
//! as long as the file behind it stays the same.

use super::command::{executable, run_as, search_path};
use crate::host::{CommandLine, NodeRuntime};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

const VERSION_TIMEOUT_MS: u64 = 10_000;

/// Folders that hold one runtime each, as version managers and vendors lay them out.
const COLLECTIONS: [&str; 3] = ["/opt/nodejs", "/usr/local/lib/nodejs", "/usr/local/n/versions/node"];

/// Folders with executables that a service manager may leave out of the search path.
const FOLDERS: [&str; 4] = ["/usr/local/bin", "/usr/bin", "/opt/node/bin", "/snap/bin"];

#[derive(Debug, Default)]
pub(super) struct Cache {
    known: Mutex<BTreeMap<PathBuf, Known>>,
}

#[derive(Debug)]
struct Known {
    /// Device, inode, length and time of change.
    file: (u64, u64, u64, i64),
    version: String,
}

impl Cache {
    pub(super) fn list(&self, side_by_side: &Path) -> Vec<NodeRuntime> {
        let mut candidates: Vec<PathBuf> = search_path();
        candidates.extend(FOLDERS.iter().map(PathBuf::from));
        let collections = COLLECTIONS.iter().map(Path::new).chain([side_by_side]);
        candidates.extend(collections.flat_map(children).map(|runtime| runtime.join("bin")));

        let mut runtimes: Vec<NodeRuntime> = Vec::new();
        for path in candidates.into_iter().map(|folder| folder.join("node")) {
            if runtimes.iter().any(|runtime| runtime.path == path) {
                continue;
            }
            if let Some(version) = self.version(&path) {
                runtimes.push(NodeRuntime { version, path });
            }
        }
        runtimes
    }

    fn version(&self, path: &Path) -> Option<String> {
        if !executable(path) {
            return None;
        }
        let metadata = path.metadata().ok()?;
        let file = (metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime());
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(entry) = known.get(path).filter(|entry| entry.file == file) {
            return Some(entry.version.clone());
        }
        // No answer is not kept: it may be a moment's trouble.
        let version = ask(path)?;
        known.insert(path.to_owned(), Known { file, version: version.clone() });
        Some(version)
    }
}

/// The folders of a collection. Those that begin with a dot are not finished.
fn children(collection: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(collection) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| entry.path())
        .collect();
    paths.sort_unstable();
    paths
}

/// Who besides root and us decides what is run under a path: the owner of the file, of a link to it, or of a folder on
/// the way. Version managers ask people to own these folders; what lies there must not run with the rights of root.
fn other_owner(path: &Path) -> Option<u32> {
    let own = rustix::process::geteuid();
    if !own.is_root() {
        return None;
    }
    let behind = path.canonicalize().ok();
    let places = [Some(path), behind.as_deref()].into_iter().flatten().flat_map(Path::ancestors);
    places.filter_map(|place| Some(place.symlink_metadata().ok()?.uid())).find(|uid| *uid != own.as_raw())
}

fn ask(path: &Path) -> Option<String> {
    let command = CommandLine {
        program: path.to_owned(),
        args: vec!["--version".into()],
        timeout_ms: VERSION_TIMEOUT_MS,
        ..CommandLine::default()
    };
    let output = run_as(&command, other_owner(path));
    let output = output.ok().filter(crate::host::CommandOutput::success)?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().strip_prefix('v')?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_another_user_owns_is_not_asked_with_the_rights_of_root() {
        if !rustix::process::geteuid().is_root() {
            // Nobody else's files can be made here, and nothing is run as root either.
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let bin = dir.path().join("22/bin");
        std::fs::create_dir_all(&bin).unwrap();
        let node = bin.join("node");
        std::fs::write(&node, "#!/bin/sh\necho v22.$(id -u).$(id -G | tr -d ' ')\n").unwrap();
        std::fs::set_permissions(&node, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(ask(&node).unwrap(), "22.0.0");
        // The folder is enough: its owner can put another file there.
        std::os::unix::fs::chown(&bin, Some(4711), None).unwrap();
        assert_eq!(ask(&node).unwrap(), "22.4711.65534");
    }
}
