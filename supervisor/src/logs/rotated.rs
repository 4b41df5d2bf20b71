//! Renamed log files: `x.log.1`, `x.log.2`, ... (`.gz` when compressed). A higher number is newer, and a file keeps its
//! name for ever: nothing is ever renamed over something else, and nobody who reads one loses it but by retention.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// A compressed file that is not whole yet.
pub(super) const UNFINISHED: &str = ".gz.part";

/// One renamed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rotated {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) compressed: bool,
    pub(super) modified: SystemTime,
}

/// With another end of name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Oldest first. Files of other names, and half compressed ones, are not ours to name.
pub(super) fn list(path: &Path) -> Vec<Rotated> {
    let (Some(dir), Some(base)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut found: Vec<Rotated> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name();
            let rest = name.to_str()?.strip_prefix(base)?.strip_prefix('.')?;
            let (number, compressed) =
                rest.strip_suffix(".gz").map_or((rest, false), |number| (number, true));
            let canonical = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
            let number = number.parse().ok().filter(|_| canonical)?;
            let modified = entry.metadata().ok().filter(fs::Metadata::is_file)?.modified().ok()?;
            Some(Rotated { number, path: entry.path(), compressed, modified })
        })
        .collect();
    found.sort_by_key(|file| (file.number, file.compressed));
    found
}

/// Gives the file its next number, also after all of the files up to `last` were deleted.
pub(super) fn rename(path: &Path, last: &mut u64) -> io::Result<PathBuf> {
    let newest = list(path).last().map_or(0, |newest| newest.number);
    let mut number = newest.max(*last) + 1;
    loop {
        let to = with_suffix(path, &format!(".{number}"));
        let taken = |path: &Path| fs::symlink_metadata(path).is_ok();
        match renameat_with(CWD, path, CWD, &to, RenameFlags::NOREPLACE) {
            Ok(()) => {
                *last = number;
                return Ok(to);
            }
            Err(rustix::io::Errno::EXIST) => number += 1,
            // Not every file system knows how.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) if taken(&to) => number += 1,
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                fs::rename(path, &to)?;
                *last = number;
                return Ok(to);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Deletes the oldest beyond `keep`.
pub(super) fn prune(path: &Path, keep: u32) {
    let files = list(path);
    let mut numbers: Vec<u64> = files.iter().map(|file| file.number).collect();
    numbers.dedup();
    let Some(surplus) = numbers.len().checked_sub(usize::try_from(keep).unwrap_or(usize::MAX)) else {
        return;
    };
    let Some(last) = surplus.checked_sub(1).map(|last| numbers[last]) else { return };
    for file in files.iter().filter(|file| file.number <= last) {
        if let Err(error) = fs::remove_file(&file.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %file.path.display(), %error, "an old log file cannot be deleted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_never_used_twice_and_strangers_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.log");
        let strangers = ["out.log.bak", "out.log.01", "out.log.2.zip", "other.log.9", "out.log.5.gz.part"];
        for name in strangers {
            fs::write(dir.path().join(name), "keep me").unwrap();
        }
        fs::write(dir.path().join("out.log.3.gz"), "").unwrap();
        let mut last = 0;
        for number in 4..9 {
            fs::write(&path, format!("{number}")).unwrap();
            assert_eq!(rename(&path, &mut last).unwrap(), dir.path().join(format!("out.log.{number}")));
        }
        prune(&path, 2);
        let kept: Vec<_> = list(&path).iter().map(|file| file.number).collect();
        assert_eq!(kept, [7, 8]);
        assert_eq!(fs::read_to_string(dir.path().join("out.log.8")).unwrap(), "8");
        assert!(strangers.iter().all(|name| dir.path().join(name).exists()));
        prune(&path, 0);
        assert!(list(&path).is_empty());
        fs::write(&path, "").unwrap();
        assert_eq!(rename(&path, &mut last).unwrap(), dir.path().join("out.log.9"));
    }
}
