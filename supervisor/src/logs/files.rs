//! Log files: appended to, rotated between lines, and given up for a while when the disk refuses them.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Local, Utc};
use memchr::{memchr, memrchr};

use super::compress::{self, Compressor};
use super::destination::{Destination, Rotation, Target};
use super::lines::{CONTINUES, count};
use super::rotated::{self, Rotated};
use super::writer::Write;
use super::{floor, format};
use crate::trusted_path::{self, How};

/// How often it is looked whether a file is still where its name says, and how much is free.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// The same, for who writes fast.
const CHECK_BYTES: u64 = 16 * 1024 * 1024;
/// A file that failed is left alone for this long.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// A file that could not be renamed grows for this long.
const ROTATE_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// A schedule is looked at again after this long, whatever the clock does.
const MAX_SLEEP: Duration = Duration::from_secs(3_600);
/// Files nobody writes to that are remembered, for their renamed siblings may have to go.
const MAX_IDLE: usize = 512;

/// Every file of every application.
#[derive(Debug, Default)]
pub(super) struct Files {
    files: HashMap<Arc<Path>, LogFile>,
    compressor: Compressor,
}

/// How far a file goes, and what is before it.
#[derive(Debug)]
pub(super) struct Marked {
    pub(super) path: Arc<Path>,
    /// The file and its length; none when there is none.
    pub(super) file: Option<(File, u64)>,
    pub(super) rotated: Vec<Rotated>,
}

#[derive(Debug)]
struct LogFile {
    path: Arc<Path>,
    rotation: Arc<Rotation>,
    open: Option<Open>,
    writers: BTreeSet<u64>,
    /// Who has begun a line and not ended it.
    line_of: Option<u64>,
    /// To be opened again when the line has ended.
    reopen: bool,
    trouble: Option<Trouble>,
    /// Lines that are not in the file, which does not say so yet.
    missing: u64,
    rotate_not_before: Option<Instant>,
    /// Number of the file that was renamed last.
    last_number: u64,
}

#[derive(Debug)]
struct Open {
    file: File,
    size: u64,
    device_inode: (u64, u64),
    /// Not a pipe or a device.
    regular: bool,
    /// We wrote to it.
    touched: bool,
    checked_at: Instant,
    unchecked: u64,
    rotate_at: Option<DateTime<Local>>,
}

#[derive(Debug)]
struct Trouble {
    cause: Cause,
    retry_at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Failed(io::ErrorKind),
    Full,
}

/// What could not be written, in lines.
struct Lost {
    cause: Option<(Cause, String)>,
    lines: u64,
}

impl Files {
    /// Stores a chunk in every file it goes to. Gives the number of lines that are lost.
    pub(super) fn write(&mut self, write: &Write) -> u64 {
        let Write { destination, at, bytes, begins_mid_line, .. } = write;
        let text = format::format(destination, *at, bytes, *begins_mid_line);
        let lost = destination.files.iter().map(|target| self.append(target, write, &text));
        lost.max().unwrap_or(0)
    }

    fn append(&mut self, target: &Target, write: &Write, text: &[u8]) -> u64 {
        let Self { files, compressor } = self;
        let file = files.entry(Arc::clone(&target.path)).or_insert_with(|| {
            compress::recover(&target.path, target.rotation.compress.then_some(compressor));
            LogFile::new(target)
        });
        file.rotation = Arc::clone(&target.rotation);
        file.writers.insert(write.destination.source);
        file.missing += write.missing;
        if file.trouble.as_ref().is_some_and(|trouble| Instant::now() < trouble.retry_at) {
            let lines = count(text);
            file.missing += lines;
            return lines;
        }
        let stored = match self.ready(&target.path) {
            Ok(()) => self
                .file(&target.path)
                .map_or(Ok(()), |(file, compressor)| file.store(write, text, compressor)),
            Err(cause) => Err(Lost { cause: Some(cause), lines: count(text) }),
        };
        let Some((file, _)) = self.file(&target.path) else { return 0 };
        match stored {
            Ok(()) => {
                if file.trouble.take().is_some() {
                    tracing::info!(path = %file.path.display(), "a log file can be written again");
                }
                0
            }
            Err(lost) => {
                file.missing += lost.lines;
                if let Some((cause, reason)) = lost.cause {
                    file.fail(cause, &reason);
                }
                lost.lines
            }
        }
    }

    fn file(&mut self, path: &Path) -> Option<(&mut LogFile, &Compressor)> {
        Some((self.files.get_mut(path)?, &self.compressor))
    }

    /// Opens the file when it is not, and looks at it and at the disk when it is time.
    fn ready(&mut self, path: &Path) -> Result<(), (Cause, String)> {
        let failed = |error: io::Error| (Cause::Failed(error.kind()), error.to_string());
        let Some(file) = self.files.get_mut(path) else { return Ok(()) };
        let mut look = file.trouble.is_some();
        if let Some(open) = &mut file.open
            && (open.checked_at.elapsed() >= CHECK_EVERY || open.unchecked >= CHECK_BYTES)
        {
            look = true;
            open.checked_at = Instant::now();
            open.unchecked = 0;
            let there =
                std::fs::metadata(path).is_ok_and(|named| (named.dev(), named.ino()) == open.device_inode);
            if !there && file.line_of.is_none() {
                file.open = None;
            } else if open.regular {
                open.size = open.file.metadata().map_err(failed)?.len();
            }
        }
        if file.reopen && file.line_of.is_none() {
            file.open = None;
        }
        if file.open.is_none() {
            look = true;
            file.reopen = false;
            file.open = Some(Open::new(path, &file.rotation).map_err(failed)?);
        }
        if look {
            let floor = file.rotation.min_free_bytes;
            let all = self.files.keys().map(|path| &**path);
            if !floor::room(path, floor, all).map_err(failed)? {
                return Err((Cause::Full, format!("less than {floor} bytes are free")));
            }
        }
        Ok(())
    }

    /// A stream has ended.
    pub(super) fn close(&mut self, destination: &Destination) {
        for target in &destination.files {
            let Some(file) = self.files.get_mut(&target.path) else { continue };
            if file.line_of == Some(destination.source) {
                file.line_of = None;
                // If that fails, the next line says so.
                drop(file.put(b"\n"));
            }
            file.writers.remove(&destination.source);
            if file.writers.is_empty() {
                file.open = None;
            }
        }
        let idle = self.files.values().filter(|file| file.writers.is_empty()).count();
        if idle > MAX_IDLE {
            self.files.retain(|_, file| !file.writers.is_empty());
        }
    }

    /// Whoever renamed files wants new ones.
    pub(super) fn reopen(&mut self) {
        let paths: Vec<Arc<Path>> = self.files.keys().cloned().collect();
        for path in paths {
            let Some(file) = self.files.get_mut(&path).filter(|file| !file.writers.is_empty()) else {
                continue;
            };
            file.reopen = true;
            file.trouble = None;
            if let Err((cause, reason)) = self.ready(&path)
                && let Some((file, _)) = self.file(&path)
            {
                file.fail(cause, &reason);
            }
        }
    }

    /// Empties files.
    pub(super) fn truncate(&mut self, destinations: &[Arc<Destination>]) {
        for target in destinations.iter().flat_map(|destination| &destination.files) {
            let emptied = match self.files.get_mut(&target.path) {
                Some(LogFile { open: Some(open), line_of, missing, .. }) if open.regular => {
                    (open.size, *line_of, *missing) = (0, None, 0);
                    open.file.set_len(0)
                }
                _ => trusted_path::open(&target.path, How::empty()).map(drop),
            };
            match emptied {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %target.path.display(), %error, "a log file cannot be emptied");
                }
                _ => {}
            }
        }
    }

    /// How far files go right now.
    pub(super) fn mark(&self, paths: &[Arc<Path>]) -> Vec<Marked> {
        let mark = |path: &Arc<Path>| {
            let file = trusted_path::open(path, How::read()).ok();
            let length = |file: &File| Some(file.metadata().ok().filter(std::fs::Metadata::is_file)?.len());
            let file = file.and_then(|file| length(&file).map(|length| (file, length)));
            Marked { path: Arc::clone(path), file, rotated: rotated::list(path) }
        };
        paths.iter().map(mark).collect()
    }

    /// When the next file is to be rotated because of the time.
    pub(super) fn next_rotation(&self) -> Option<Instant> {
        let due = self.files.values().filter(|file| file.may_rotate()).filter_map(LogFile::due).min()?;
        let wait = (due - Local::now()).to_std().unwrap_or(Duration::ZERO);
        Some(Instant::now() + wait.min(MAX_SLEEP))
    }

    /// Rotates what is due.
    pub(super) fn rotate_due(&mut self) {
        let now = Local::now();
        for file in self.files.values_mut() {
            if file.may_rotate() && file.due().is_some_and(|due| due <= now) {
                file.rotate(&self.compressor);
            }
        }
    }
}

impl LogFile {
    fn new(target: &Target) -> Self {
        Self {
            path: Arc::clone(&target.path),
            rotation: Arc::clone(&target.rotation),
            open: None,
            writers: BTreeSet::new(),
            line_of: None,
            reopen: false,
            trouble: None,
            missing: 0,
            rotate_not_before: None,
            last_number: 0,
        }
    }

    fn fail(&mut self, cause: Cause, reason: &str) {
        if !matches!(cause, Cause::Full) {
            self.open = None;
        }
        if self.trouble.as_ref().is_none_or(|trouble| trouble.cause != cause) {
            tracing::warn!(
                path = %self.path.display(), reason,
                "a log file cannot be written; its lines are counted and only the last ones are kept in memory"
            );
        }
        self.trouble = Some(Trouble { cause, retry_at: Instant::now() + RETRY_AFTER });
    }

    /// Not within a line.
    fn may_rotate(&self) -> bool {
        self.line_of.is_none()
            && self.rotate_not_before.is_none_or(|at| at <= Instant::now())
            && self.open.as_ref().is_some_and(|open| open.regular && open.size > 0)
    }

    fn due(&self) -> Option<DateTime<Local>> {
        self.open.as_ref()?.rotate_at
    }

    fn store(&mut self, write: &Write, text: &[u8], compressor: &Compressor) -> Result<(), Lost> {
        let source = write.destination.source;
        let lost = |lines| {
            move |error: io::Error| Lost {
                cause: Some((Cause::Failed(error.kind()), error.to_string())),
                lines,
            }
        };
        if write.begins_mid_line
            && self.line_of.is_none()
            && self.open.as_ref().is_some_and(|open| !open.touched && open.size > 0)
        {
            // An earlier supervisor began it.
            self.line_of = Some(source);
        }
        if self.line_of.is_some_and(|of| of != source || self.missing > 0) {
            self.put(format!("{CONTINUES}\n").as_bytes()).map_err(lost(count(text)))?;
            self.line_of = None;
        }
        if self.missing > 0 {
            let message =
                format!("[muster: {} lines are missing here, the disk was too slow or full]", self.missing);
            let note = format::note(&write.destination, Utc::now(), &message);
            self.put(&note).map_err(lost(count(text)))?;
            self.missing = 0;
        }
        if self.due().is_some_and(|due| due <= Local::now()) && self.may_rotate() {
            self.rotate(compressor);
        }
        let mut rest = text;
        while !rest.is_empty() {
            let Some(open) = &self.open else {
                // Not there any more after a rotation; the next chunk tries again.
                return Err(Lost {
                    cause: Some((Cause::Failed(io::ErrorKind::NotFound), "it is gone".to_owned())),
                    lines: count(rest),
                });
            };
            let room = self.rotation.max_bytes.saturating_sub(open.size);
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            let waits = self.rotate_not_before.is_some_and(|at| at > Instant::now());
            let take = if rest.len() <= room || waits || !open.regular {
                rest.len()
            } else if let Some(end) = memrchr(b'\n', &rest[..room]) {
                end + 1
            } else if self.may_rotate() {
                self.rotate(compressor);
                continue;
            } else {
                memchr(b'\n', rest).map_or(rest.len(), |end| end + 1)
            };
            let (now, later) = rest.split_at(take);
            if let Err((error, kept)) = self.put_whole_lines(now) {
                return Err(lost(count(&rest[kept..]))(error));
            }
            self.line_of = (now.last() != Some(&b'\n')).then_some(source);
            rest = later;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.put_whole_lines(bytes).map_err(|(error, _)| error)
    }

    /// On failure, no part of a line stays behind, and it is told how much did.
    fn put_whole_lines(&mut self, bytes: &[u8]) -> Result<(), (io::Error, usize)> {
        let Some(open) = &mut self.open else { return Err((io::ErrorKind::NotFound.into(), 0)) };
        let mut written = 0;
        let error = loop {
            if written == bytes.len() {
                open.touched = true;
                open.size += written as u64;
                open.unchecked += written as u64;
                return Ok(());
            }
            match open.file.write(&bytes[written..]) {
                Ok(0) => break io::ErrorKind::WriteZero.into(),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error,
            }
        };
        let kept = memrchr(b'\n', &bytes[..written]).map_or(0, |end| end + 1);
        if written > kept && open.regular {
            let length = open.file.metadata().map(|metadata| metadata.len());
            let cut =
                length.and_then(|length| open.file.set_len(length.saturating_sub((written - kept) as u64)));
            if let Err(error) = cut {
                tracing::warn!(path = %self.path.display(), %error, "half a line stays in a log file");
            }
        }
        if kept > 0 {
            self.line_of = None;
        }
        open.size += kept as u64;
        Err((error, kept))
    }

    /// Gives the file its number and begins a new one. What fails is tried again later; meanwhile the file grows.
    fn rotate(&mut self, compressor: &Compressor) {
        match rotated::rename(&self.path, &mut self.last_number) {
            Ok(renamed) => {
                rotated::prune(&self.path, self.rotation.keep);
                if self.rotation.compress && self.rotation.keep > 0 {
                    compressor.add(renamed);
                }
            }
            // Somebody took it away.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "a log file cannot be renamed, it grows on");
                self.rotate_not_before = Some(Instant::now() + ROTATE_AGAIN_AFTER);
                return;
            }
        }
        self.rotate_not_before = None;
        self.open = match Open::new(&self.path, &self.rotation) {
            Ok(open) => Some(open),
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "a new log file cannot be made");
                None
            }
        };
    }
}

impl Open {
    fn new(path: &Path, rotation: &Rotation) -> io::Result<Self> {
        let file = trusted_path::open(path, How::append(0o640, 0o750))?;
        let metadata = file.metadata()?;
        let size = if metadata.is_file() { metadata.len() } else { 0 };
        let since = if size > 0 { metadata.modified()?.into() } else { Local::now() };
        let rotate_at =
            rotation.schedule.as_ref().and_then(|schedule| schedule.find_next_occurrence(&since, false).ok());
        Ok(Self {
            size,
            device_inode: (metadata.dev(), metadata.ino()),
            regular: metadata.is_file(),
            file,
            touched: false,
            checked_at: Instant::now(),
            unchecked: 0,
            rotate_at,
        })
    }
}

#[cfg(test)]
mod tests;
