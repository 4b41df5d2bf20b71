//! One instance's pipes, from the process to memory and files.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use memchr::memrchr;
use muster_supervisor_protocol::{AppSpec, LogStreamName};
use serde::{Deserialize, Serialize};
use tokio::net::unix::pipe;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::destination::Destination;
use super::lines::{Cut, LineSplitter, count, pieces, text};
use super::writer::{Job, Write};
use super::{FileWriter, LogHub};
use crate::keeper::{Parked, Spill};

/// Read at once. The memory for it is one for all.
const READ_BYTES: usize = 64 * 1024;
/// Size of the pipe of standard output: the kernel takes memory for what is in it only, and Node.js becomes slow once it
/// found a pipe full (what it cannot write at once it queues, line by line).
const PIPE_BYTES: usize = 256 * 1024;
/// The pipe of an application that floods is made this large. Not every pipe: users other than root may have 64 MiB.
const LARGE_PIPE_BYTES: usize = 1024 * 1024;
/// Lines of stderr that are told when a start fails.
const TAIL_LINES: usize = 20;
/// Longest of them.
const TAIL_LINE_BYTES: usize = 2_000;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The last stderr lines of one process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    fn push(&self, cut: &Cut) {
        let mut last: VecDeque<&[u8]> = VecDeque::new();
        let mut bytes = cut.bytes.strip_suffix(b"\n").unwrap_or(&cut.bytes);
        // Of a chunk that is full of lines only the last ones are looked at.
        while last.len() < TAIL_LINES {
            let Some(end) = memrchr(b'\n', bytes) else {
                last.push_front(bytes);
                break;
            };
            last.push_front(&bytes[end + 1..]);
            bytes = &bytes[..end];
        }
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for line in last {
            let (piece, continues) = pieces(line, false).next().unwrap_or((&[], false));
            let line = text(piece, continues && piece.len() < line.len());
            if lines.len() == TAIL_LINES {
                lines.pop_front();
            }
            let end = line.floor_char_boundary(TAIL_LINE_BYTES);
            lines.push_back(line[..end].trim_end_matches('\r').to_owned());
        }
    }

    /// With lines an earlier supervisor read.
    pub(crate) fn with(lines: Vec<String>) -> Self {
        Self(Arc::new(Mutex::new(lines.into())))
    }

    /// A copy.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// Where the output of one instance goes.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    pub(crate) hub: LogHub,
    pub(crate) writer: FileWriter,
    pub(crate) spec: Arc<AppSpec>,
    pub(crate) instance: u32,
    /// Number unique under this supervisor, as the status tells it.
    pub(crate) id: u32,
}

/// A pipe, and what is known of it from before.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) pipe: pipe::Receiver,
    pub(crate) parked: Parked,
    pub(crate) spill: Spill,
    pub(crate) rest: OutputRest,
}

/// What is under way when the supervisor replaces itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct OutputRest {
    /// The beginning of a line.
    partial: Vec<u8>,
    /// Lines missing in the file, not told there yet.
    dropped_lines: u64,
    /// What came before `partial` in its line was stored already.
    #[serde(default)]
    mid_line: bool,
}

/// Reads one pipe to its end.
#[derive(Debug)]
pub(crate) struct OutputTask {
    task: JoinHandle<OutputRest>,
    stop: Option<oneshot::Sender<()>>,
}

impl OutputTask {
    /// Waits for the end of the pipe, but not for ever: a process that left the tree may keep it open.
    pub(crate) async fn finish(mut self, grace: Duration) {
        if tokio::time::timeout(grace, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }

    /// Stops reading where it is; everything read so far is on its way to the files.
    pub(crate) async fn stop(mut self) -> OutputRest {
        // Dropping it means the same.
        self.stop = None;
        self.task.await.unwrap_or_default()
    }
}

impl Output {
    /// Reads a pipe in a task of its own.
    pub(crate) fn follow(&self, source: Source, stream: LogStreamName, tail: Option<Tail>) -> OutputTask {
        let dropped = self.hub.dropped(&self.spec.name, self.instance);
        let destination = Arc::new(Destination::new(&self.spec, self.instance, self.id, stream, dropped));
        self.hub.register(&destination);
        if stream == LogStreamName::Out {
            enlarge(&source.pipe, PIPE_BYTES);
        }
        let reader = Reader {
            hub: self.hub.clone(),
            store: Store { writer: self.writer.clone(), destination, within_line: false },
            tail,
            missing: source.rest.dropped_lines,
        };
        let (stop, stopped) = oneshot::channel();
        OutputTask { task: tokio::spawn(reader.run(source, stopped)), stop: Some(stop) }
    }
}

/// However the reader ends, its files are let go, unless another supervisor goes on with them.
struct Store {
    writer: FileWriter,
    destination: Arc<Destination>,
    within_line: bool,
}

impl Drop for Store {
    fn drop(&mut self) {
        if !self.destination.files.is_empty() && !self.within_line {
            self.writer.send(Job::Close(Arc::clone(&self.destination)));
        }
    }
}

struct Reader {
    hub: LogHub,
    store: Store,
    tail: Option<Tail>,
    /// Lines that did not make it to the disk since it became too slow.
    missing: u64,
}

enum Seen {
    Nothing,
    Some(Option<Cut>),
    Full(Option<Cut>),
    End,
}

impl Reader {
    async fn run(mut self, source: Source, mut stopped: oneshot::Receiver<()>) -> OutputRest {
        let Source { pipe, parked, spill, rest } = source;
        let mut splitter = LineSplitter::with(rest.partial, rest.mid_line);
        self.catch_up(&spill, &mut splitter).await;
        let mut large = false;
        loop {
            let ready = tokio::select! {
                biased;
                _ = &mut stopped => {
                    let (partial, mid_line) = splitter.into_rest();
                    let dropped_lines = self.missing;
                    // Another supervisor goes on with the line.
                    self.store.within_line = mid_line;
                    return OutputRest { partial, dropped_lines, mid_line };
                }
                ready = pipe.readable() => ready,
            };
            let seen = if ready.is_ok() { read(&pipe, &mut splitter) } else { Seen::End };
            match seen {
                Seen::Nothing => {}
                Seen::Some(cut) => self.write(cut).await,
                Seen::Full(cut) => {
                    if !large {
                        large = true;
                        enlarge(&pipe, LARGE_PIPE_BYTES);
                    }
                    self.write(cut).await;
                    // An application that floods is not alone.
                    tokio::task::yield_now().await;
                }
                Seen::End => {
                    let cut = splitter.finish();
                    self.write(cut).await;
                    drop(parked);
                    return OutputRest::default();
                }
            }
        }
    }

    /// What was written while no supervisor was there comes first.
    async fn catch_up(&mut self, spill: &Spill, splitter: &mut LineSplitter) {
        for part in spill.bytes.chunks(READ_BYTES) {
            let cut = splitter.feed(part);
            self.write(cut).await;
        }
        if spill.missing > 0 {
            let cut = splitter.finish();
            self.write(cut).await;
            let note = format!(
                "[muster: {} bytes are missing here, written while no supervisor was there]\n",
                spill.missing
            );
            self.write(Some(Cut { bytes: note.into_bytes(), begins_mid_line: false })).await;
        }
    }

    async fn write(&mut self, cut: Option<Cut>) {
        let Some(cut) = cut else { return };
        if let Some(tail) = &self.tail {
            tail.push(&cut);
        }
        let destination = &self.store.destination;
        let at = Utc::now();
        let Cut { bytes, begins_mid_line } = cut;
        let bytes = Bytes::from(bytes);
        let room = if destination.files.is_empty() {
            None
        } else {
            // Once the disk failed us, its slowness is not waited for again until it recovers.
            let room = self.store.writer.room(bytes.len(), self.missing == 0).await;
            if room.is_none() {
                let lines = count(&bytes);
                self.missing += lines;
                destination.dropped.add(lines);
            }
            room
        };
        let write = room.map(|room| Write {
            destination: Arc::clone(destination),
            at,
            bytes: bytes.clone(),
            begins_mid_line,
            missing: std::mem::take(&mut self.missing),
            _room: Some(room),
        });
        // At one moment, so that whoever reads back knows where memory begins in the files.
        self.hub.push(destination, at, bytes, begins_mid_line, || {
            if let Some(write) = write {
                self.store.writer.send(Job::Write(write));
            }
        });
    }
}

fn enlarge(pipe: &pipe::Receiver, bytes: usize) {
    // After an upgrade it may be larger already.
    if rustix::pipe::fcntl_getpipe_size(pipe).is_ok_and(|size| size >= bytes) {
        return;
    }
    if let Err(error) = rustix::pipe::fcntl_setpipe_size(pipe, bytes) {
        tracing::debug!(%error, "a pipe stays small");
    }
}

fn read(pipe: &pipe::Receiver, splitter: &mut LineSplitter) -> Seen {
    BUFFER.with_borrow_mut(|buffer| {
        buffer.resize(READ_BYTES, 0);
        match pipe.try_read(buffer) {
            Ok(0) => Seen::End,
            Ok(READ_BYTES) => Seen::Full(splitter.feed(buffer)),
            Ok(count) => Seen::Some(splitter.feed(&buffer[..count])),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Seen::Nothing
            }
            Err(_) => Seen::End,
        }
    })
}
