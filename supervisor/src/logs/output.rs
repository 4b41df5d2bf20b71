//! One instance's pipes, from the process to hub and files.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::Utc;
use muster_supervisor_protocol::{AppSpec, LogLine, LogRotation, LogStreamName};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::JoinHandle;

use super::lines::LineSplitter;
use super::{FileWriter, LogHub};

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

/// Reads one pipe to its end.
#[derive(Debug)]
pub(crate) struct OutputTask(JoinHandle<()>);

impl OutputTask {
    /// Waits for the end of the pipe, but not for ever: a process that left the tree may keep it open.
    pub(crate) async fn finish(mut self, grace: Duration) {
        if tokio::time::timeout(grace, &mut self.0).await.is_err() {
            self.0.abort();
        }
    }
}

impl Output {
    /// Reads a pipe in a task of its own.
    pub(crate) fn follow<P>(&self, pipe: P, stream: LogStreamName, tail: Option<Tail>) -> OutputTask
    where
        P: AsyncRead + Unpin + Send + 'static,
    {
        let file = self.spec.log_dir.as_ref().map(|dir| {
            let suffix = match stream {
                LogStreamName::Out => "out",
                LogStreamName::Err => "err",
            };
            let path: PathBuf =
                Path::new(dir).join(&self.spec.name).join(format!("{}-{suffix}.log", self.instance));
            FileEnd { path: path.into(), rotation: self.spec.log_rotation, dropped_lines: 0 }
        });
        let reader = Reader { output: self.clone(), stream, tail, file };
        OutputTask(tokio::spawn(reader.run(pipe)))
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
    async fn run<P: AsyncRead + Unpin>(mut self, mut pipe: P) {
        let mut splitter = LineSplitter::default();
        let mut buffer = vec![0_u8; READ_BYTES];
        loop {
            let mut lines = Vec::new();
            let ended = match pipe.read(&mut buffer).await {
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
        if let Some(file) = &self.file {
            self.output.writer.close(&file.path).await;
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
            if self.output.writer.write(&file.path, bytes, file.rotation, patient).await {
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
