//! Digests of files that were read once, kept as long as the file is the same: a run that finds nothing to do reads none.
//!
//! A file counts as the same while device, inode, length, time of change and time of the change of its inode are. The
//! kernel stamps with the time of its last tick, so a file that was written to a moment ago may be written to again
//! without another stamp: such a digest is not kept.

use muster_domain::Digest;
use rustix::fs::Stat;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Far longer than a tick of any kernel, and than the stamps of file systems that count seconds.
const SETTLED_NS: i128 = 3_000_000_000;

/// More files than an assignment may name; what is beyond is read each time.
const MAX_FILES: usize = 20_000;

/// What tells a file from the same file after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileState {
    device: u64,
    inode: u64,
    pub(super) size: u64,
    modified_ns: i128,
    changed_ns: i128,
}

impl From<&Stat> for FileState {
    fn from(stat: &Stat) -> Self {
        let ns = |s: i64, ns: u64| i128::from(s) * 1_000_000_000 + i128::from(ns);
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified_ns: ns(stat.st_mtime, stat.st_mtime_nsec),
            changed_ns: ns(stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

/// The digests.
#[derive(Debug, Default)]
pub(super) struct Cache {
    known: Mutex<BTreeMap<PathBuf, (FileState, Digest)>>,
}

impl Cache {
    pub(super) fn get(&self, path: &Path, state: FileState) -> Option<Digest> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(path).filter(|(kept, _)| *kept == state).map(|(_, digest)| *digest)
    }

    /// Keeps a digest, if the file was the same before and after it was read, and rested before that.
    pub(super) fn put(&self, path: &Path, before: FileState, after: FileState, digest: Digest) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now_ns = now.map_or(0, |now| i128::try_from(now.as_nanos()).unwrap_or(0));
        // A stamp from the future (the clock was set back) does not rest either.
        let rested = now_ns - before.changed_ns.max(before.modified_ns) > SETTLED_NS;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if before == after && rested && (known.len() < MAX_FILES || known.contains_key(path)) {
            known.insert(path.to_owned(), (before, digest));
        } else {
            known.remove(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: Digest = Digest::from_bytes([7; 32]);

    fn state(modified_ns: i128, size: u64) -> FileState {
        FileState { device: 1, inode: 2, size, modified_ns, changed_ns: modified_ns }
    }

    #[test]
    fn a_digest_is_kept_while_the_file_is_the_same_and_had_rested() {
        let cache = Cache::default();
        let path = Path::new("/etc/motd");
        let old = state(1_000, 3);
        cache.put(path, old, old, DIGEST);
        assert_eq!(cache.get(path, old), Some(DIGEST));
        assert_eq!(cache.get(path, state(1_001, 3)), None);
        assert_eq!(cache.get(path, state(1_000, 4)), None);
        assert_eq!(cache.get(Path::new("/etc/other"), old), None);
        cache.put(path, old, state(1_000, 4), DIGEST);
        assert_eq!(cache.get(path, old), None, "it was written to while it was read");
    }

    #[test]
    fn what_was_written_a_moment_ago_or_in_the_future_is_read_again() {
        let cache = Cache::default();
        let path = Path::new("/etc/motd");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let now = i128::try_from(now).unwrap();
        for stamp in [now, now + 7_200_000_000_000] {
            let fresh = state(stamp, 3);
            cache.put(path, fresh, fresh, DIGEST);
            assert_eq!(cache.get(path, fresh), None);
        }
    }
}
