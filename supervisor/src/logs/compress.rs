//! Renamed log files become `.gz` in the background, at the lowest priority, one at a time.
//!
//! Written aside, made durable, renamed, and only then is the original deleted: whenever it is cut short, either the
//! original or the whole compressed file is there, and [`recover`] deletes the other.

use std::collections::VecDeque;
use std::fs::{self, File, FileTimes};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::rotated::{self, UNFINISHED, with_suffix};
use crate::trusted_path::{self, How};

/// Files that wait. The thread exists only while there are any.
#[derive(Debug, Clone, Default)]
pub(super) struct Compressor {
    queue: Arc<Mutex<Queue>>,
}

#[derive(Debug, Default)]
struct Queue {
    files: VecDeque<PathBuf>,
    working: bool,
}

impl Compressor {
    /// Queues a file.
    pub(super) fn add(&self, path: PathBuf) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.files.push_back(path);
        if queue.working {
            return;
        }
        let compressor = self.clone();
        let started = std::thread::Builder::new()
            .name("muster-gzip".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || compressor.work());
        match started {
            Ok(_) => queue.working = true,
            // It is taken up with the next one.
            Err(error) => tracing::warn!(%error, "log files stay uncompressed for now"),
        }
    }

    fn work(&self) {
        // On Linux this is the priority of this thread alone.
        if let Err(error) = rustix::process::setpriority_process(None, 19) {
            tracing::debug!(%error, "log files are compressed at normal priority");
        }
        loop {
            let next = {
                let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                let next = queue.files.pop_front();
                queue.working = next.is_some();
                next
            };
            let Some(path) = next else { return };
            match compress(&path) {
                Ok(()) => {}
                // Deleted meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a log file stays uncompressed");
                }
            }
        }
    }
}

fn compress(path: &Path) -> io::Result<()> {
    let unfinished = with_suffix(path, UNFINISHED);
    let written = write_aside(path, &unfinished);
    if written.is_err() {
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        return written;
    }
    let compressed = with_suffix(path, ".gz");
    fs::rename(&unfinished, &compressed)?;
    if let Some(dir) = path.parent() {
        File::open(dir)?.sync_all()?;
    }
    match fs::remove_file(path) {
        // Its time had come while we worked.
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::remove_file(&compressed),
        other => other,
    }
}

fn write_aside(path: &Path, aside: &Path) -> io::Result<()> {
    let mut original = trusted_path::open(path, How::read())?;
    let metadata = original.metadata()?;
    let mode = metadata.permissions().mode() & 0o777;
    match fs::remove_file(aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = trusted_path::open(aside, How::create_new(mode))?;
    let mut encoder = GzEncoder::new(file, Compression::new(6));
    io::copy(&mut original, &mut encoder)?;
    let file = encoder.finish()?;
    // Age decides what is deleted first, and bounds the times of the lines in it.
    file.set_times(FileTimes::new().set_modified(metadata.modified()?))?;
    file.sync_all()
}

/// After whatever happened to an earlier supervisor: no line twice, and what should be compressed still will be.
pub(super) fn recover(path: &Path, compressor: Option<&Compressor>) {
    let files = rotated::list(path);
    for plain in files.iter().filter(|file| !file.compressed) {
        let twin = with_suffix(&plain.path, ".gz");
        let unfinished = with_suffix(&plain.path, UNFINISHED);
        let delete = |path: &Path| match fs::remove_file(path) {
            Ok(()) => {
                tracing::info!(path = %path.display(), "the rest of an interrupted compression was deleted")
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(path = %path.display(), %error, "cannot be deleted"),
        };
        delete(&unfinished);
        if files.iter().any(|file| file.path == twin) {
            if holds_all_of(&twin, &plain.path) {
                delete(&plain.path);
                continue;
            }
            delete(&twin);
        }
        if let Some(compressor) = compressor {
            compressor.add(plain.path.clone());
        }
    }
}

/// The last four bytes of a whole gzip file are the length of what it holds.
fn holds_all_of(compressed: &Path, plain: &Path) -> bool {
    let length = || -> io::Result<u32> {
        let mut file = File::open(compressed)?;
        file.seek(SeekFrom::End(-4))?;
        let mut bytes = [0; 4];
        file.read_exact(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    };
    let Ok(plain) = fs::metadata(plain) else { return false };
    length().is_ok_and(|length| u64::from(length) == plain.len() % (1 << 32))
}

#[cfg(test)]
mod tests {
    use flate2::read::GzDecoder;

    use super::*;

    fn read(path: &Path) -> String {
        let mut text = String::new();
        GzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn whenever_it_was_cut_short_nothing_is_lost_or_there_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.log");
        let file = |number: u32, suffix: &str| dir.path().join(format!("out.log.{number}{suffix}"));
        for number in 1..=3 {
            fs::write(file(number, ""), format!("content {number}\n")).unwrap();
        }
        // Within writing aside.
        fs::write(file(1, UNFINISHED), "half").unwrap();
        // Between renaming and deleting.
        write_aside(&file(2, ""), &file(2, ".gz")).unwrap();
        // A machine that lost power in spite of everything.
        fs::write(file(3, ".gz"), "").unwrap();
        recover(&path, None);
        let names: Vec<_> = rotated::list(&path)
            .iter()
            .map(|file| file.path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["out.log.1", "out.log.2.gz", "out.log.3"]);
        assert!(!file(1, UNFINISHED).exists());
        assert_eq!(read(&file(2, ".gz")), "content 2\n");
        let modified = fs::metadata(file(1, "")).unwrap().modified().unwrap();
        compress(&file(1, "")).unwrap();
        assert_eq!(read(&file(1, ".gz")), "content 1\n");
        assert!(!file(1, "").exists());
        assert_eq!(fs::metadata(file(1, ".gz")).unwrap().modified().unwrap(), modified);
        assert_eq!(compress(&file(9, "")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
