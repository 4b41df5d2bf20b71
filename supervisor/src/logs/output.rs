//! One instance's pipes, from the process to hub and files.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::Utc;
use muster_supervisor_protocol::{AppSpec, LogLine, LogRotation, LogStreamName};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::lines::LineSplitter;
use super::{FileWriter, LogHub};
use crate::keeper::{Parked, Spill};

const READ_BYTES: usize = 8 * 1024;
/// Lines of stderr that are told when a start fails.
const TAIL_LINES: usize = 20;
/// Longest of them.
const TAIL_LINE_BYTES: usize = 2_000;

/// The last stderr lines of one process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    fn push(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == TAIL_LINES {
            lines.pop_front();
        }
        let end =
            (0..=TAIL_LINE_BYTES.min(line.len())).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
        lines.push_back(line[..end].to_owned());
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
        let file = self.spec.logs.dir.as_ref().map(|dir| {
            let suffix = match stream {
                LogStreamName::Out => "out",
                LogStreamName::Err => "err",
            };
            let path: PathBuf =
                Path::new(dir).join(&self.spec.name).join(format!("{}-{suffix}.log", self.instance));
            FileEnd {
                path: path.into(),
                rotation: self.spec.logs.rotation.clone(),
                dropped_lines: source.rest.dropped_lines,
            }
        });
        let reader = Reader { output: self.clone(), stream, tail, file };
        let (stop, stopped) = oneshot::channel();
        OutputTask { task: tokio::spawn(reader.run(source, stopped)), stop: Some(stop) }
    }
}

struct FileEnd {
    path: Arc<Path>,
    rotation: LogRotation,
    /// Lines that did not make it since the disk became too slow.
    dropped_lines: u64,
}

struct Reader {
    output: Output,
    stream: LogStreamName,
    tail: Option<Tail>,
    file: Option<FileEnd>,
}

impl Reader {
    async fn run(mut self, source: Source, mut stopped: oneshot::Receiver<()>) -> OutputRest {
        let Source { mut pipe, parked, spill, rest } = source;
        let mut splitter = LineSplitter::with(rest.partial);
        self.catch_up(&spill, &mut splitter).await;
        let mut buffer = vec![0_u8; READ_BYTES];
        loop {
            let mut lines = Vec::new();
            let read = tokio::select! {
                biased;
                _ = &mut stopped => {
                    let dropped_lines = self.file.as_ref().map_or(0, |file| file.dropped_lines);
                    return OutputRest { partial: splitter.into_partial(), dropped_lines };
                }
                read = pipe.read(&mut buffer) => read,
            };
            let ended = match read {
                Ok(0) | Err(_) => {
                    splitter.finish(|line| lines.push(line));
                    true
                }
                Ok(count) => {
                    splitter.feed(&buffer[..count], |line| lines.push(line));
                    false
                }
            };
            if !lines.is_empty() {
                self.write(lines).await;
            }
            if ended {
                break;
            }
        }
        drop(parked);
        if let Some(file) = &self.file {
            self.output.writer.close(&file.path).await;
        }
        OutputRest::default()
    }

    /// What was written while no supervisor was there comes first.
    async fn catch_up(&mut self, spill: &Spill, splitter: &mut LineSplitter) {
        let mut lines = Vec::new();
        splitter.feed(&spill.bytes, |line| lines.push(line));
        if spill.missing > 0 {
            std::mem::take(splitter).finish(|line| lines.push(line));
            lines.push(format!(
                "[muster: {} bytes are missing here, written while no supervisor was there]",
                spill.missing
            ));
        }
        if !lines.is_empty() {
            self.write(lines).await;
        }
    }

    async fn write(&mut self, lines: Vec<String>) {
        let at = Utc::now();
        if let Some(file) = &mut self.file {
            let mut bytes = Vec::with_capacity(lines.iter().map(|line| line.len() + 1).sum());
            if file.dropped_lines > 0 {
                let note = format!(
                    "[muster: {} lines are missing here, the disk was too slow]\n",
                    file.dropped_lines
                );
                bytes.extend_from_slice(note.as_bytes());
            }
            for line in &lines {
                bytes.extend_from_slice(line.as_bytes());
                bytes.push(b'\n');
            }
            // Once the disk failed us, its slowness is not waited for again until it recovers.
            let patient = file.dropped_lines == 0;
            if self.output.writer.write(&file.path, bytes, file.rotation.clone(), patient).await {
                file.dropped_lines = 0;
            } else {
                file.dropped_lines += lines.len() as u64;
            }
        }
        for line in lines {
            if let Some(tail) = &self.tail {
                tail.push(&line);
            }
            self.output.hub.publish(LogLine {
                at,
                app: self.output.spec.name.clone(),
                instance: self.output.instance,
                stream: self.stream,
                line,
            });
        }
    }
}
