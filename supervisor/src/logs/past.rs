//! Lines from before: those in memory, and before them those in files.
//!
//! Every line in memory has the time it was read at. Of lines in files the time is known when they carry one (JSON, or a
//! date format that names day, hour and minute); else it is known to lie between the last writes to the file before and
//! to this one, and the line is told with the latter. Asked for lines since a time, lines that may be older are left out.
//! Of a shared file (`merge`, or one for both streams) raw lines do not say whose they are: they are told as the first
//! writer's, and left out when only some of the writers are asked for. Files are read back by at most
//! [`MAX_READ_BACK`] each.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use flate2::read::MultiGzDecoder;
use memchr::memrchr;
use muster_supervisor_protocol::{LogLine, LogStreamName};
use regex_lite::Regex;
use tokio::sync::{Semaphore, oneshot};

use super::destination::{Destination, Style};
use super::files::Marked;
use super::format::JsonLine;
use super::hub::{AppLogs, Chunk, Cursor};
use super::lines::{count, pieces, text};
use super::rotated;
use super::writer::Job;
use super::{FileWriter, LogHub};

/// Of the end of each file.
const MAX_READ_BACK: usize = 16 * 1024 * 1024;
/// First look at the end of a file; the next ones are longer.
const FIRST_READ_BACK: usize = 256 * 1024;
/// How long the log thread may take to say where its files end.
const PATIENCE: Duration = Duration::from_secs(2);
/// Each reader may need several times [`MAX_READ_BACK`]; the others wait.
static READERS: Semaphore = Semaphore::const_new(2);

/// Which lines somebody wants.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    pub(crate) apps: Vec<String>,
    pub(crate) instances: Vec<u32>,
    pub(crate) stream: Option<LogStreamName>,
    pub(crate) matching: Option<Regex>,
    pub(crate) since: Option<DateTime<Utc>>,
    /// Of each application.
    pub(crate) lines: usize,
}

impl Selection {
    pub(crate) fn wants_app(&self, app: &str) -> bool {
        self.apps.is_empty() || self.apps.iter().any(|wanted| wanted == app)
    }

    fn wants_writer(&self, instance: u32, stream: LogStreamName) -> bool {
        (self.instances.is_empty() || self.instances.contains(&instance))
            && self.stream.is_none_or(|wanted| wanted == stream)
    }

    fn wants_text(&self, line: &str) -> bool {
        self.matching.as_ref().is_none_or(|matching| matching.is_match(line))
    }

    /// The wanted lines of a chunk.
    pub(crate) fn of(&self, chunk: &Chunk) -> Vec<LogLine> {
        let wanted = self.wants_writer(chunk.instance, chunk.stream)
            && self.since.is_none_or(|since| chunk.at >= since);
        if !wanted {
            return Vec::new();
        }
        chunk.lines().filter(|line| self.wants_text(&line.line)).collect()
    }
}

/// The last lines of each application in order of time, and the place right behind them.
pub(crate) async fn past(hub: &LogHub, writer: &FileWriter, selection: &Selection) -> (Vec<LogLine>, Cursor) {
    let (reply, marked) = oneshot::channel();
    let (apps, cursor, ()) = hub.look(
        |app| selection.wants_app(app),
        |apps| {
            if selection.lines > 0 {
                let destinations = apps.iter().flat_map(|app| &app.destinations);
                let mut paths: Vec<Arc<Path>> = destinations
                    .filter_map(|destination| Some(Arc::clone(&destination.own_file()?.path)))
                    .collect();
                paths.sort();
                paths.dedup();
                writer.send(Job::Mark(paths, reply));
            }
        },
    );
    if selection.lines == 0 {
        return (Vec::new(), cursor);
    }
    let mut lines = Vec::new();
    let mut unfinished = Vec::new();
    for app in apps {
        let kept = in_memory(&app, selection);
        let reaches = |since| app.chunks.first().is_some_and(|chunk| chunk.at < since);
        if kept.len() < selection.lines && !selection.since.is_some_and(reaches) {
            unfinished.push((app, kept));
        } else {
            lines.extend(kept);
        }
    }
    if !unfinished.is_empty() {
        let selection = selection.clone();
        // Held until it is read. Nobody closes this.
        let _turn = READERS.acquire().await;
        let marked = match tokio::time::timeout(PATIENCE, marked).await {
            Ok(Ok(marked)) => marked,
            _ => Vec::new(),
        };
        let read = tokio::task::spawn_blocking(move || {
            let marked = marked.into_iter().map(|marked| (Arc::clone(&marked.path), marked)).collect();
            with_files(unfinished, &marked, &selection)
        });
        lines.extend(read.await.unwrap_or_default());
    }
    lines.sort_by_key(|line| line.at);
    (lines, cursor)
}

fn in_memory(app: &AppLogs, selection: &Selection) -> Vec<LogLine> {
    let mut lines: Vec<LogLine> = Vec::new();
    for chunk in app.chunks.iter().rev() {
        lines.extend(selection.of(chunk).into_iter().rev());
        if lines.len() >= selection.lines {
            lines.truncate(selection.lines);
            break;
        }
    }
    lines.reverse();
    lines
}

type MarkedFiles = BTreeMap<Arc<Path>, Marked>;

fn with_files(
    apps: Vec<(AppLogs, Vec<LogLine>)>,
    marked: &MarkedFiles,
    selection: &Selection,
) -> Vec<LogLine> {
    let mut all = Vec::new();
    for (app, kept) in apps {
        let mut writers: BTreeMap<&Arc<Path>, Vec<&Arc<Destination>>> = BTreeMap::new();
        for destination in &app.destinations {
            if let Some(target) = destination.own_file() {
                writers.entry(&target.path).or_default().push(destination);
            }
        }
        let missing = selection.lines - kept.len();
        let mut lines: Vec<LogLine> = Vec::new();
        for (path, writers) in writers {
            let file = SharedFile { writers, app: &app, selection };
            lines.extend(file.read(marked.get(path), missing));
        }
        lines.sort_by_key(|line| line.at);
        let surplus = lines.len().saturating_sub(missing);
        lines.drain(..surplus);
        lines.extend(kept);
        all.append(&mut lines);
    }
    all
}

struct SharedFile<'a> {
    writers: Vec<&'a Arc<Destination>>,
    app: &'a AppLogs,
    selection: &'a Selection,
}

/// What is known of the times of lines that carry none.
#[derive(Debug, Clone, Copy)]
struct Times {
    after: Option<DateTime<Utc>>,
    until: DateTime<Utc>,
}

impl SharedFile<'_> {
    fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.app.chunks.iter().filter(|chunk| {
            self.writers
                .iter()
                .any(|writer| (writer.instance, writer.stream) == (chunk.instance, chunk.stream))
        })
    }

    fn json(&self) -> bool {
        self.writers.iter().all(|writer| matches!(writer.style, Style::Json(_)))
    }

    /// The last `most` wanted lines before those in memory.
    fn read(&self, marked: Option<&Marked>, most: usize) -> Vec<LogLine> {
        let wants = |writer: &&Arc<Destination>| self.selection.wants_writer(writer.instance, writer.stream);
        if !self.writers.iter().any(wants) || (!self.json() && !self.writers.iter().all(wants)) {
            return Vec::new();
        }
        let json = self.json();
        let lines_of = |chunk: &Chunk| match json {
            true => pieces(&chunk.bytes, chunk.begins_mid_line).count() as u64,
            false => count(&chunk.bytes),
        };
        // The last lines in the files are those in memory.
        let mut skip: u64 = self.chunks().map(lines_of).sum();
        let mut rotated = marked.map(|marked| marked.rotated.clone()).unwrap_or_default();
        rotated.dedup_by_key(|file| file.number);
        let mut lines: Vec<LogLine> = Vec::new();
        let before = |at: usize| rotated.get(at).map(|file| file.modified.into());
        // Lines are written after they were read, so a file can be younger than lines that come after its own.
        let in_memory_from = self.chunks().map(|chunk| chunk.at).min();
        let until = |modified: SystemTime| {
            let modified = DateTime::from(modified);
            in_memory_from.map_or(modified, |at| at.min(modified))
        };
        if let Some(Marked { file: Some((file, length)), .. }) = marked {
            let modified = file.metadata().and_then(|metadata| metadata.modified());
            let until = until(modified.unwrap_or_else(|_| SystemTime::now()));
            let times = Times { after: rotated.len().checked_sub(1).and_then(before), until };
            let end = |window: usize| window_of(file, *length, window);
            if self.collect(end, times, &mut skip, most, &mut lines) {
                lines.reverse();
                return lines;
            }
        }
        for (at, file) in rotated.iter().enumerate().rev() {
            let times = Times { after: at.checked_sub(1).and_then(before), until: until(file.modified) };
            if self.selection.since.is_some_and(|since| times.until < since) {
                break;
            }
            let end = |window: usize| {
                if file.compressed {
                    return unpacked_end(&file.path);
                }
                match File::open(&file.path) {
                    Ok(plain) => window_of(&plain, plain.metadata()?.len(), window),
                    // Compressed meanwhile.
                    Err(_) => unpacked_end(&rotated::with_suffix(&file.path, ".gz")),
                }
            };
            if self.collect(end, times, &mut skip, most, &mut lines) {
                break;
            }
        }
        lines.reverse();
        lines
    }

    /// Appends lines, the last one first. True: that was all that is wanted.
    fn collect(
        &self,
        end: impl Fn(usize) -> io::Result<(Vec<u8>, bool)>,
        times: Times,
        skip: &mut u64,
        most: usize,
        lines: &mut Vec<LogLine>,
    ) -> bool {
        let (found, skipped) = (lines.len(), *skip);
        let mut window = FIRST_READ_BACK;
        loop {
            lines.truncate(found);
            *skip = skipped;
            let Ok((bytes, whole)) = end(window) else { return false };
            let enough = self.scan(&bytes, whole, times, skip, most, lines);
            if enough || whole || window >= MAX_READ_BACK {
                return enough;
            }
            window = (window * 8).min(MAX_READ_BACK);
        }
    }

    fn scan(
        &self,
        bytes: &[u8],
        whole: bool,
        times: Times,
        skip: &mut u64,
        most: usize,
        lines: &mut Vec<LogLine>,
    ) -> bool {
        // What follows the last end of line is in memory.
        let Some(mut end) = memrchr(b'\n', bytes) else { return false };
        loop {
            let start = match memrchr(b'\n', &bytes[..end]) {
                Some(before) => before + 1,
                None if whole => 0,
                None => return false,
            };
            if *skip > 0 {
                *skip -= 1;
            } else {
                let (read, older) = self.line(&bytes[start..=end], times);
                for line in read.into_iter().rev() {
                    lines.push(line);
                    if lines.len() >= most {
                        return true;
                    }
                }
                if older {
                    return true;
                }
            }
            if start == 0 {
                return false;
            }
            end = start - 1;
        }
    }

    /// What is wanted of a line, and whether it is from before the time asked for.
    fn line(&self, line: &[u8], times: Times) -> (Vec<LogLine>, bool) {
        let Some(first) = self.writers.first() else { return (Vec::new(), false) };
        let whole = String::from_utf8_lossy(line);
        let whole = whole.trim_end_matches(['\n', '\r']);
        let known = match &first.style {
            Style::Raw => None,
            Style::Dated(date) => date.read(whole).map(|(at, rest)| {
                (at, first.instance, first.stream, rest.strip_prefix(": ").unwrap_or(rest).to_owned())
            }),
            Style::Json(date) => serde_json::from_str::<JsonLine<'_>>(whole).ok().map(|json| {
                let at = match date {
                    Some(date) => date.read(&json.timestamp).map(|(at, _)| at),
                    None => DateTime::parse_from_rfc3339(&json.timestamp).ok().map(|at| at.to_utc()),
                };
                let writer = |writer: &&&Arc<Destination>| {
                    (writer.id, writer.stream) == (json.process_id, json.stream)
                };
                let instance =
                    self.writers.iter().find(writer).map_or(first.instance, |writer| writer.instance);
                (at.unwrap_or(times.until), instance, json.stream, json.message.into_owned())
            }),
        };
        let timed = known.is_some();
        let (at, instance, stream, message) =
            known.unwrap_or_else(|| (times.until, first.instance, first.stream, whole.to_owned()));
        if let Some(since) = self.selection.since {
            if timed && at < since {
                return (Vec::new(), true);
            }
            if !timed && times.after.is_none_or(|after| after < since) {
                return (Vec::new(), false);
            }
        }
        if !self.selection.wants_writer(instance, stream) {
            return (Vec::new(), false);
        }
        let ended = [message.as_bytes(), b"\n"].concat();
        let lines = pieces(&ended, false).map(|(piece, continues)| LogLine {
            at,
            app: first.app.to_string(),
            instance,
            stream,
            line: text(piece, continues).into_owned(),
        });
        (lines.filter(|line| self.selection.wants_text(&line.line)).collect(), false)
    }
}

/// The last bytes of what is before `length`, and whether that is all.
fn window_of(mut file: &File, length: u64, window: usize) -> io::Result<(Vec<u8>, bool)> {
    let start = length.saturating_sub(window as u64);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(length - start).read_to_end(&mut bytes)?;
    Ok((bytes, start == 0))
}

/// The last bytes of a compressed file.
fn unpacked_end(path: &Path) -> io::Result<(Vec<u8>, bool)> {
    let mut unpacked = MultiGzDecoder::new(io::BufReader::new(File::open(path)?));
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    let mut whole = true;
    loop {
        let count = unpacked.read(&mut chunk)?;
        if count == 0 {
            // There is no more of it, however long it is looked.
            return Ok((bytes, whole));
        }
        bytes.extend_from_slice(&chunk[..count]);
        if bytes.len() > 2 * MAX_READ_BACK {
            bytes.drain(..bytes.len() - MAX_READ_BACK);
            whole = false;
        }
    }
}
