//! What the supervisor says itself, rotated like what applications say.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::rotated;

/// A file that reaches this size is renamed.
const MAX_BYTES: u64 = 5 * 1024 * 1024;
/// Renamed files that are kept.
const KEEP: u32 = 3;
/// Names the file to a successor that is executed in our place; one that does not know it writes to standard error.
const VARIABLE: &str = "MUSTER_SUPERVISOR_LOG";

/// For the process as a whole.
static IN_USE: OnceLock<PathBuf> = OnceLock::new();

/// The log file of the supervisor. Whatever happens to it, the supervisor goes on.
#[derive(Debug, Clone)]
pub struct OwnLog {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: File,
    size: u64,
    max_bytes: u64,
}

impl OwnLog {
    /// Opens (or makes) the file. Its folder is mostly the state directory, which is not there yet at the first start.
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o711).create(folder)?;
        }
        let inner = Inner::open(path, MAX_BYTES)?;
        // Later ones are of tests.
        IN_USE.get_or_init(|| path.to_owned());
        Ok(Self { inner: Arc::new(Mutex::new(inner)) })
    }

    /// What a successor has to find in its environment.
    pub(crate) fn environment() -> Option<(&'static str, &'static Path)> {
        IN_USE.get().map(|path| (VARIABLE, path.as_path()))
    }
}

impl Inner {
    fn open(path: &Path, max_bytes: u64) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, size, max_bytes })
    }

    fn rotate(&mut self) -> io::Result<()> {
        // Names that are free again may be used again.
        rotated::rename(&self.path, &mut 0)?;
        rotated::prune(&self.path, KEEP);
        *self = Self::open(&self.path, self.max_bytes)?;
        Ok(())
    }
}

/// One call is one line.
impl Write for OwnLog {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.size > 0 && inner.size + line.len() as u64 > inner.max_bytes && inner.rotate().is_err() {
            // Tried again after as much again; there is nobody to tell.
            inner.size = 0;
        }
        inner.size += line.len() as u64;
        inner.file.write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_small_and_lines_stay_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("supervisor.log");
        let inner = Inner::open(&path, 100).unwrap();
        let mut log = OwnLog { inner: Arc::new(Mutex::new(inner)) };
        for number in 0..100 {
            writeln!(log, "line {number:03}").unwrap();
        }
        let mut text = String::new();
        let rotated = rotated::list(&path);
        assert_eq!(rotated.len(), KEEP as usize);
        for file in rotated.iter().map(|file| &file.path).chain([&path]) {
            let part = std::fs::read_to_string(file).unwrap();
            assert!(part.len() <= 100);
            text += &part;
        }
        let numbers: Vec<u32> = text.lines().map(|line| line[5..].parse().unwrap()).collect();
        assert_eq!(numbers, (numbers[0]..100).collect::<Vec<_>>());
    }
}
