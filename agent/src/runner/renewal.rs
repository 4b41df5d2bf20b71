//! Whether the supervisor that runs is the one that belongs to this agent. Their versions do not tell: two builds may have
//! the same. The bytes of the two programs do, and the kernel shows those of one that runs, also after its file was
//! replaced or removed.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What became of an attempt to have the right supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renewal {
    /// The right one runs, or none does.
    Current,
    /// It was replaced in place.
    Renewed {
        /// The version that ran.
        from: String,
        /// The version that runs now.
        to: String,
    },
}

/// Whether a process runs the program that this file holds.
pub(super) fn runs(pid: u32, binary: &Path) -> io::Result<bool> {
    same_program(&PathBuf::from(format!("/proc/{pid}/exe")), binary)
}

fn same_program(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (File::open(one)?, File::open(other)?);
    let (a, b) = (one.metadata()?, other.metadata()?);
    // A file that is being run cannot be written to, so the same file is the same program.
    if (a.dev(), a.ino()) == (b.dev(), b.ino()) {
        return Ok(true);
    }
    Ok(a.len() == b.len() && digest(one)? == digest(other)?)
}

fn digest(file: File) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_the_same_program_and_another_byte_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let own = std::env::current_exe().unwrap();
        assert!(runs(std::process::id(), &own).unwrap());
        let copy = dir.path().join("copy");
        std::fs::copy(&own, &copy).unwrap();
        assert!(runs(std::process::id(), &copy).unwrap());
        let mut bytes = std::fs::read(&copy).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&copy, bytes).unwrap();
        assert!(!runs(std::process::id(), &copy).unwrap());
        assert!(runs(std::process::id(), &dir.path().join("missing")).is_err());
    }
}
