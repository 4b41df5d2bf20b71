//! Logs never fill a disk: below a floor of free space old log files go, and then lines.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::rotated;

/// Free space of a file system, for those who are not root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Space {
    free: u64,
    total: u64,
}

impl Space {
    fn of(dir: &Path) -> io::Result<Self> {
        let seen = rustix::fs::statvfs(dir)?;
        Ok(Self {
            free: seen.f_bavail.saturating_mul(seen.f_frsize),
            total: seen.f_blocks.saturating_mul(seen.f_frsize),
        })
    }

    /// At most a tenth of the file system: a small one is for logs, too.
    fn below(self, min_free_bytes: u64) -> bool {
        self.free < min_free_bytes.min(self.total / 10)
    }
}

/// Whether there is enough room where `path` is. If not, renamed files of `all` on the same file system are deleted,
/// oldest first.
pub(super) fn room<'a>(
    path: &Path,
    min_free_bytes: u64,
    all: impl Iterator<Item = &'a Path>,
) -> io::Result<bool> {
    let Some(dir) = path.parent() else { return Ok(true) };
    if min_free_bytes == 0 || !Space::of(dir)?.below(min_free_bytes) {
        return Ok(true);
    }
    let device = fs::metadata(dir)?.dev();
    let mut files: Vec<_> = all.flat_map(rotated::list).collect();
    files.sort_by_key(|file| (file.modified, file.number));
    files.dedup_by(|a, b| a.path == b.path);
    for file in files {
        if fs::metadata(&file.path).is_ok_and(|metadata| metadata.dev() == device) {
            match fs::remove_file(&file.path) {
                Ok(()) => {
                    tracing::warn!(path = %file.path.display(), "an old log file was deleted: the disk is almost full");
                }
                Err(error) => {
                    tracing::debug!(path = %file.path.display(), %error, "an old log file cannot be deleted");
                }
            }
            if !Space::of(dir)?.below(min_free_bytes) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_disk_is_used_all_the_same() {
        const MIB: u64 = 1024 * 1024;
        let space = |free, total| Space { free: free * MIB, total: total * MIB };
        assert!(!space(50, 100).below(256 * MIB));
        assert!(space(9, 100).below(256 * MIB));
        assert!(space(200, 100_000).below(256 * MIB));
        assert!(!space(0, 100).below(0));
    }

    #[test]
    fn old_files_go_oldest_first_and_current_ones_never() {
        let dir = tempfile::tempdir().unwrap();
        let current = dir.path().join("out.log");
        for name in ["out.log", "out.log.1", "out.log.2.gz"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        // More than any disk has free: everything that may go goes, and it is not enough.
        let disk = Space::of(dir.path()).unwrap();
        if disk.below(u64::MAX) {
            assert!(!room(&current, u64::MAX, [current.as_path()].into_iter()).unwrap());
            assert!(rotated::list(&current).is_empty());
        }
        assert!(current.exists());
        assert!(room(&current, 0, std::iter::empty()).unwrap());
    }
}
