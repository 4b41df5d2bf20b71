//! The thread that stores lines, and how it is asked. It owns all log files, so a slow disk stops nobody else.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::destination::Destination;
use super::files::{Files, Marked};

/// Bytes on their way to the disk, over all applications.
const MAX_QUEUED_BYTES: usize = 2 * 1024 * 1024;
/// How long a reader waits for the disk before it goes on without it.
const PATIENCE: Duration = Duration::from_millis(500);
/// The room is counted in parts of this size.
const UNIT_BYTES: usize = 1024;

/// Hands chunks to the writing thread.
#[derive(Debug, Clone)]
pub(crate) struct FileWriter {
    jobs: Sender<Job>,
    room: Arc<Semaphore>,
}

#[derive(Debug)]
pub(super) enum Job {
    Write(Write),
    /// A stream has ended.
    Close(Arc<Destination>),
    Flush(oneshot::Sender<()>),
    /// Close and open again everything.
    Reopen(oneshot::Sender<()>),
    /// Empty the files of these.
    Truncate(Vec<Arc<Destination>>, oneshot::Sender<()>),
    /// How far the own files of these go at this moment.
    Mark(Vec<Arc<Path>>, oneshot::Sender<Vec<Marked>>),
}

/// A chunk on its way.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) destination: Arc<Destination>,
    pub(super) at: DateTime<Utc>,
    pub(super) bytes: Bytes,
    pub(super) begins_mid_line: bool,
    /// Lines that are missing before it.
    pub(super) missing: u64,
    pub(super) _room: Option<Room>,
}

/// Room in the queue for one chunk.
#[derive(Debug)]
pub(super) struct Room(#[expect(dead_code, reason = "given back when dropped")] OwnedSemaphorePermit);

impl FileWriter {
    /// Starts the thread; it ends when the last clone is dropped.
    pub(crate) fn start() -> io::Result<Self> {
        let (jobs, received) = mpsc::channel();
        std::thread::Builder::new()
            .name("muster-logs".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || work(&received))?;
        Ok(Self { jobs, room: Arc::new(Semaphore::new(MAX_QUEUED_BYTES / UNIT_BYTES)) })
    }

    /// Waits for room for a chunk; not at all when not `patient`. `None`: the disk is too slow.
    pub(super) async fn room(&self, bytes: usize, patient: bool) -> Option<Room> {
        let units = u32::try_from((bytes / UNIT_BYTES + 1).min(MAX_QUEUED_BYTES / UNIT_BYTES)).ok()?;
        let room = Arc::clone(&self.room);
        if let Ok(permit) = Arc::clone(&room).try_acquire_many_owned(units) {
            return Some(Room(permit));
        }
        if !patient {
            return None;
        }
        let acquired = tokio::time::timeout(PATIENCE, room.acquire_many_owned(units)).await;
        acquired.ok()?.ok().map(Room)
    }

    /// Queues it; never waits.
    pub(super) fn send(&self, job: Job) {
        if self.jobs.send(job).is_err() {
            tracing::error!("the log thread has ended: nothing is stored");
        }
    }

    /// Waits until everything queued is written. False: the disk did not make it within that time.
    pub(crate) async fn flush_within(&self, patience: Duration) -> bool {
        let (done, written) = oneshot::channel();
        self.send(Job::Flush(done));
        tokio::time::timeout(patience, written).await.is_ok_and(|written| written.is_ok())
    }

    /// Waits (a while) until everything queued is written.
    pub(crate) async fn flush(&self) {
        if !self.flush_within(PATIENCE).await {
            tracing::warn!("the last log lines may not be on the disk: it is too slow");
        }
    }

    /// Closes every file and opens it again where its name says. A file within a line follows at the end of the line.
    pub(crate) async fn reopen(&self) {
        let (done, reopened) = oneshot::channel();
        self.send(Job::Reopen(done));
        // It happens in any case, in turn; there is nothing to do about a slow disk.
        drop(tokio::time::timeout(PATIENCE * 4, reopened).await);
    }

    /// Empties files.
    pub(crate) async fn truncate(&self, destinations: Vec<Arc<Destination>>) {
        let (done, truncated) = oneshot::channel();
        self.send(Job::Truncate(destinations, done));
        drop(tokio::time::timeout(PATIENCE * 4, truncated).await);
    }
}

fn work(jobs: &Receiver<Job>) {
    let mut files = Files::default();
    loop {
        let job = match jobs.try_recv() {
            Ok(job) => job,
            Err(mpsc::TryRecvError::Disconnected) => return,
            Err(mpsc::TryRecvError::Empty) => match files.next_rotation() {
                None => match jobs.recv() {
                    Ok(job) => job,
                    Err(mpsc::RecvError) => return,
                },
                Some(due) => match jobs.recv_timeout(due.saturating_duration_since(Instant::now())) {
                    Ok(job) => job,
                    Err(RecvTimeoutError::Timeout) => {
                        files.rotate_due();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                },
            },
        };
        carry_out(&mut files, job);
    }
}

fn carry_out(files: &mut Files, job: Job) {
    let told = match job {
        Job::Write(write) => {
            let lost = files.write(&write);
            write.destination.dropped.add(lost);
            true
        }
        Job::Close(destination) => {
            files.close(&destination);
            true
        }
        Job::Flush(done) => done.send(()).is_ok(),
        Job::Reopen(done) => {
            files.reopen();
            done.send(()).is_ok()
        }
        Job::Truncate(destinations, done) => {
            files.truncate(&destinations);
            done.send(()).is_ok()
        }
        Job::Mark(paths, marked) => marked.send(files.mark(&paths)).is_ok(),
    };
    if !told {
        tracing::debug!("whoever waited for the log files has lost patience");
    }
}
