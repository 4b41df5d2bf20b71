//! Log files: one thread owns them all, so a slow disk stops nobody else.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use muster_supervisor_protocol::LogRotation;
use tokio::sync::{mpsc, oneshot};

/// Chunks on their way to the disk; a chunk is at most one read of a pipe.
const QUEUED_CHUNKS: usize = 256;
/// How long a reader waits for the disk before it goes on without it.
const PATIENCE: Duration = Duration::from_millis(500);

/// Hands chunks to the writing thread.
#[derive(Debug, Clone)]
pub(crate) struct FileWriter {
    jobs: mpsc::Sender<Job>,
}

#[derive(Debug)]
enum Job {
    Write { path: Arc<Path>, bytes: Vec<u8>, rotation: LogRotation },
    Close { path: Arc<Path> },
    Flush { done: oneshot::Sender<()> },
}

impl FileWriter {
    /// Starts the thread; it ends when the last clone is dropped.
    pub(crate) fn start() -> io::Result<Self> {
        let (jobs, received) = mpsc::channel(QUEUED_CHUNKS);
        std::thread::Builder::new()
            .name("muster-logs".to_owned())
            .stack_size(128 * 1024)
            .spawn(move || work(received))?;
        Ok(Self { jobs })
    }

    /// Queues a chunk. False: the disk is too slow, the chunk was dropped.
    pub(crate) async fn write(
        &self,
        path: &Arc<Path>,
        bytes: Vec<u8>,
        rotation: LogRotation,
        patient: bool,
    ) -> bool {
        let job = Job::Write { path: Arc::clone(path), bytes, rotation };
        if patient {
            self.jobs.send_timeout(job, PATIENCE).await.is_ok()
        } else {
            self.jobs.try_send(job).is_ok()
        }
    }

    /// Lets go of a file; a later write opens it again.
    pub(crate) async fn close(&self, path: &Arc<Path>) {
        let job = Job::Close { path: Arc::clone(path) };
        if self.jobs.send_timeout(job, PATIENCE).await.is_err() {
            tracing::debug!(path = %path.display(), "a log file stays open: the disk is too slow");
        }
    }

    /// Waits until everything queued is written. False: the disk did not make it within that time.
    pub(crate) async fn flush_within(&self, patience: Duration) -> bool {
        let (done, written) = oneshot::channel();
        self.jobs.send_timeout(Job::Flush { done }, patience).await.is_ok()
            && tokio::time::timeout(patience, written).await.is_ok_and(|written| written.is_ok())
    }

    /// Waits (a while) until everything queued is written.
    pub(crate) async fn flush(&self) {
        if !self.flush_within(PATIENCE).await {
            tracing::warn!("the last log lines may not be on the disk: it is too slow");
        }
    }
}

fn work(mut jobs: mpsc::Receiver<Job>) {
    let mut files = Files::default();
    while let Some(job) = jobs.blocking_recv() {
        match job {
            Job::Write { path, bytes, rotation } => files.write(&path, &bytes, &rotation),
            Job::Close { path } => files.close(&path),
            Job::Flush { done } => {
                if done.send(()).is_err() {
                    tracing::debug!("whoever waited for the log files has lost patience");
                }
            }
        }
    }
}

#[derive(Debug, Default)]
struct Files {
    open: HashMap<PathBuf, OpenFile>,
    /// Paths that failed; told once until they work again.
    failing: HashMap<PathBuf, io::ErrorKind>,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    size: u64,
}

impl Files {
    fn write(&mut self, path: &Path, bytes: &[u8], rotation: &LogRotation) {
        match self.try_write(path, bytes, rotation) {
            Ok(()) => {
                if self.failing.remove(path).is_some() {
                    tracing::info!(path = %path.display(), "a log file can be written again");
                }
            }
            Err(error) => {
                self.open.remove(path);
                if self.failing.insert(path.to_owned(), error.kind()) != Some(error.kind()) {
                    tracing::warn!(path = %path.display(), %error, "a log file cannot be written; its lines are only kept in memory");
                }
            }
        }
    }

    fn try_write(&mut self, path: &Path, bytes: &[u8], rotation: &LogRotation) -> io::Result<()> {
        let added = bytes.len() as u64;
        if !self.open.contains_key(path) {
            self.open.insert(path.to_owned(), open(path)?);
        }
        let full = |file: &OpenFile| file.size > 0 && file.size + added > rotation.max_bytes.max(1);
        if self.open.get(path).is_some_and(full) {
            self.open.remove(path);
            rotate(path, rotation.keep)?;
            self.open.insert(path.to_owned(), open(path)?);
        }
        if let Some(open) = self.open.get_mut(path) {
            open.file.write_all(bytes)?;
            open.size += added;
        }
        Ok(())
    }

    fn close(&mut self, path: &Path) {
        self.open.remove(path);
        self.failing.remove(path);
    }
}

fn open(path: &Path) -> io::Result<OpenFile> {
    if let Some(dir) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o750).create(dir)?;
    }
    let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
    let size = file.metadata()?.len();
    Ok(OpenFile { file, size })
}

/// `x.log` becomes `x.log.1`, `x.log.1` becomes `x.log.2`, and so on; the oldest goes.
fn rotate(path: &Path, keep: u32) -> io::Result<()> {
    let numbered = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    let missing_is_fine = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    if keep == 0 {
        return missing_is_fine(std::fs::remove_file(path));
    }
    missing_is_fine(std::fs::remove_file(numbered(keep)))?;
    for number in (1..keep).rev() {
        missing_is_fine(std::fs::rename(numbered(number), numbered(number + 1)))?;
    }
    missing_is_fine(std::fs::rename(path, numbered(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotation_keeps_every_line_of_the_files_it_keeps() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shop/0-out.log");
        let rotation = LogRotation { max_bytes: 100, keep: 2, ..LogRotation::default() };
        let mut files = Files::default();
        for number in 0..40 {
            files.write(&path, format!("line {number:03}\n").as_bytes(), &rotation);
        }
        let read = |suffix: &str| std::fs::read_to_string(dir.path().join(format!("shop/0-out.log{suffix}")));
        let kept = [read(".2").unwrap(), read(".1").unwrap(), read("").unwrap()].concat();
        let numbers: Vec<u32> = kept.lines().map(|line| line[5..].parse().unwrap()).collect();
        assert_eq!(numbers, (numbers[0]..40).collect::<Vec<_>>(), "no hole");
        assert!(read(".1").unwrap().len() <= 100);
        assert!(read(".3").is_err());
    }

    #[test]
    fn a_file_is_continued_after_it_was_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        let mut files = Files::default();
        files.write(&path, b"one\n", &LogRotation::default());
        files.close(&path);
        files.write(&path, b"two\n", &LogRotation::default());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn a_file_that_cannot_be_written_harms_nobody() {
        let mut files = Files::default();
        files.write(Path::new("/proc/nowhere/a.log"), b"x\n", &LogRotation::default());
        files.write(Path::new("/proc/nowhere/a.log"), b"x\n", &LogRotation::default());
        assert_eq!(files.failing.len(), 1);
    }
}
