//! Reports that are still to be sent: one small file each, in the order of their sequence.
//!
//! The queue is bounded by [`MAX_QUEUED_REPORTS`] and [`MAX_QUEUED_BYTES`]. When it is full, the oldest report of a
//! convergence run goes first (a newer one says more about the node), then the oldest event, and a refusal last.
//! When the disk takes nothing, the newest few are kept in memory: that the disk is full must still be told.
//! Nothing gets in with a secret in it: the texts of a report quote applications.

use crate::durable;
use crate::redact::Redactor;
use muster_domain::{
    assignment::Generation,
    event::Severity,
    observed::{ConvergenceReport, ProcessEvent},
};
use muster_proto::{convert, v1};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// A day without the controller at one report in two minutes, with room for events.
pub const MAX_QUEUED_REPORTS: usize = 1_000;

/// What the queue may take on the disk. A report of a hundred resources has about 15 kB.
pub const MAX_QUEUED_BYTES: usize = 8 * 1024 * 1024;

/// Differences of one report in all; a run that changes more than that is not read line by line.
const MAX_DIFFS_BYTES: usize = 512 * 1024;

/// Stands for a difference that did not fit.
const DIFF_LEFT_OUT: &str = "(left out: the report is too long to show every difference)";

/// Reports kept in memory while the disk takes none.
const MAX_IN_MEMORY: usize = 32;

/// Keeps the last number that was given out, also when the queue is empty.
const LAST_SEQUENCE: &str = "last-sequence";

/// A report without its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum QueuedReport {
    /// A convergence run.
    Convergence(ConvergenceReport),
    /// An assignment that was not taken.
    Refusal {
        /// Its number.
        generation: Generation,
        /// Why.
        reason: String,
        /// When.
        at_ms: i64,
    },
    /// Something that happened.
    Event {
        /// Stable dotted word.
        event: String,
        /// How much to care.
        severity: Severity,
        /// For a person.
        message: String,
        /// What it is about, if an application.
        application: Option<String>,
        /// When.
        at_ms: i64,
        /// What happened to which process, if it is about one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        process: Option<ProcessEvent>,
    },
}

impl QueuedReport {
    /// An event of the agent.
    pub fn event(event: &str, severity: Severity, message: impl Into<String>, at_ms: i64) -> Self {
        Self::Event {
            event: event.to_owned(),
            severity,
            message: message.into(),
            application: None,
            at_ms,
            process: None,
        }
    }

    /// Without secrets.
    fn redacted(mut self, redactor: &Redactor) -> Self {
        let clean = |text: &mut String| *text = redactor.clean(std::mem::take(text));
        match &mut self {
            Self::Convergence(report) => {
                report.reboot_required.iter_mut().for_each(clean);
                for resource in &mut report.resources {
                    clean(&mut resource.detail);
                    resource.diff.iter_mut().for_each(clean);
                }
            }
            Self::Refusal { reason, .. } => clean(reason),
            Self::Event { message, process, .. } => {
                clean(message);
                if let Some(process) = process {
                    clean(&mut process.reason);
                    for line in process.exit.iter_mut().flat_map(|exit| &mut exit.last_stderr) {
                        *line = redactor.clean_line(std::mem::take(line));
                    }
                }
            }
        }
        self
    }

    /// With texts of a length that a person reads: they quote applications, and one of those must not push out everything
    /// else that waits here. The controller cuts them as well.
    fn bounded(mut self) -> Self {
        let cut = |text: &mut String| *text = convert::cut(std::mem::take(text), convert::MAX_DETAIL_BYTES);
        match &mut self {
            Self::Convergence(report) => {
                let mut left = MAX_DIFFS_BYTES;
                for resource in &mut report.resources {
                    cut(&mut resource.detail);
                    bound_diff(&mut resource.diff, &mut left);
                }
            }
            Self::Refusal { reason, .. } => cut(reason),
            Self::Event { message, process, .. } => {
                cut(message);
                if let Some(process) = process {
                    process.reason =
                        convert::cut(std::mem::take(&mut process.reason), convert::MAX_LINE_BYTES);
                    if let Some(exit) = &mut process.exit {
                        exit.last_stderr = convert::cut_stderr(std::mem::take(&mut exit.last_stderr));
                    }
                }
            }
        }
        self
    }

    /// What is dropped first has the lowest.
    const fn worth(&self) -> u8 {
        match self {
            Self::Convergence(_) => 0,
            Self::Event { .. } => 1,
            Self::Refusal { .. } => 2,
        }
    }

    fn to_wire(&self, sequence: u64) -> v1::Report {
        use v1::report::Report as Wire;
        let report = match self {
            Self::Convergence(report) => {
                Wire::Convergence(v1::ConvergenceReport { sequence, ..report.into() })
            }
            Self::Refusal { generation, reason, at_ms } => Wire::Refusal(v1::AssignmentRefusal {
                sequence,
                generation: generation.get(),
                reason: reason.clone(),
                at_ms: *at_ms,
            }),
            Self::Event { event, severity, message, application, at_ms, process } => {
                Wire::Event(v1::NodeEvent {
                    sequence,
                    at_ms: *at_ms,
                    kind: event.clone(),
                    severity: severity.as_str().to_owned(),
                    message: message.clone(),
                    application: application.clone().unwrap_or_default(),
                    process: process.as_ref().map(Into::into),
                })
            }
        };
        v1::Report { report: Some(report) }
    }
}

/// Cuts a difference to a length that a person reads, and leaves it out when the report is full.
fn bound_diff(diff: &mut Option<String>, left: &mut usize) {
    let Some(text) = diff else { return };
    *text = convert::cut(std::mem::take(text), convert::report::MAX_DIFF_BYTES);
    match left.checked_sub(text.len()) {
        Some(rest) => *left = rest,
        None => *text = DIFF_LEFT_OUT.to_owned(),
    }
}

/// The queue.
#[derive(Debug)]
pub struct ReportQueue {
    dir: PathBuf,
    max_reports: usize,
    max_bytes: usize,
    redactor: Arc<Redactor>,
    inner: Mutex<Inner>,
    news: Notify,
}

#[derive(Debug)]
struct Inner {
    last_sequence: u64,
    /// Through here everything is stored elsewhere. Queued entries up to it wait to be forgotten, not to be sent.
    stored_through: u64,
    /// What is queued, by its number.
    entries: BTreeMap<u64, Entry>,
    bytes: usize,
    dropped: u64,
}

#[derive(Debug)]
struct Entry {
    worth: u8,
    bytes: usize,
    /// Present while it could not be written.
    in_memory: Option<QueuedReport>,
}

impl ReportQueue {
    pub(super) fn open(dir: &Path, now_ms: i64, redactor: Arc<Redactor>) -> io::Result<Self> {
        Self::open_bounded(dir, now_ms, redactor, MAX_QUEUED_REPORTS, MAX_QUEUED_BYTES)
    }

    pub(super) fn open_bounded(
        dir: &Path,
        now_ms: i64,
        redactor: Arc<Redactor>,
        max_reports: usize,
        max_bytes: usize,
    ) -> io::Result<Self> {
        durable::private_folder(dir)?;
        let mut entries = BTreeMap::new();
        let mut bytes = 0;
        for file in std::fs::read_dir(dir)? {
            let path = file?.path();
            let number =
                path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
            let Some(sequence) = number.filter(|_| path.extension().is_some_and(|e| e == "json")) else {
                continue;
            };
            let content = std::fs::read(&path)?;
            match serde_json::from_slice::<QueuedReport>(&content) {
                Ok(report) => {
                    let entry = Entry { worth: report.worth(), bytes: content.len(), in_memory: None };
                    bytes += entry.bytes;
                    entries.insert(sequence, entry);
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a queued report is damaged and is set aside");
                    std::fs::rename(&path, path.with_extension("damaged"))?;
                }
            }
        }
        let stored = durable::read(&dir.join(LAST_SEQUENCE))?;
        let stored =
            stored.and_then(|text| String::from_utf8(text).ok()).and_then(|text| text.trim().parse().ok());
        let newest = entries.last_key_value().map(|(sequence, _)| *sequence);
        // Without any memory the time is used: it lies above every number given out before, unless reports came faster
        // than one in a millisecond.
        let fresh = u64::try_from(now_ms).unwrap_or(0);
        let last_sequence = stored.max(newest).unwrap_or(fresh);
        let inner = Mutex::new(Inner { last_sequence, stored_through: 0, entries, bytes, dropped: 0 });
        Ok(Self { dir: dir.to_owned(), max_reports, max_bytes, redactor, inner, news: Notify::new() })
    }

    /// Queues a report durably and says its number.
    pub fn push(&self, report: QueuedReport) -> u64 {
        // In this order: what is cut could not be recognised any more.
        let report = report.redacted(&self.redactor).bounded();
        let content = serde_json::to_vec(&report).expect("names, numbers and text always encode");
        let mut inner = self.lock();
        inner.last_sequence += 1;
        let sequence = inner.last_sequence;
        let mut entry = Entry { worth: report.worth(), bytes: content.len(), in_memory: None };
        if let Err(error) = durable::write(&self.path(sequence), &content) {
            tracing::warn!(%error, "a report cannot be written and is kept in memory");
            entry.in_memory = Some(report);
        }
        inner.bytes += entry.bytes;
        inner.entries.insert(sequence, entry);
        while inner.entries.len() > self.max_reports || inner.bytes > self.max_bytes {
            self.drop_least(&mut inner, |_| true);
        }
        while inner.entries.values().filter(|entry| entry.in_memory.is_some()).count() > MAX_IN_MEMORY {
            self.drop_least(&mut inner, |entry| entry.in_memory.is_some());
        }
        drop(inner);
        self.news.notify_one();
        sequence
    }

    /// The oldest reports, ready to be sent.
    pub fn batch(&self, max_reports: usize, max_bytes: usize) -> Vec<v1::Report> {
        let mut inner = self.lock();
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut gone = Vec::new();
        for (sequence, entry) in inner.entries.range(inner.stored_through.saturating_add(1)..) {
            bytes += entry.bytes;
            if batch.len() >= max_reports || (bytes > max_bytes && !batch.is_empty()) {
                break;
            }
            let report = match &entry.in_memory {
                Some(report) => Some(report.clone()),
                None => {
                    std::fs::read(self.path(*sequence)).ok().and_then(|b| serde_json::from_slice(&b).ok())
                }
            };
            match report {
                Some(report) => batch.push(report.to_wire(*sequence)),
                None => gone.push(*sequence),
            }
        }
        for sequence in gone {
            tracing::warn!(sequence, "a queued report cannot be read any more");
            self.forget(&mut inner, sequence);
        }
        batch
    }

    /// Forgets what is stored elsewhere now. While the disk takes nothing, the files stay, and are not sent again.
    pub fn forget_through(&self, sequence: u64) {
        let mut inner = self.lock();
        inner.stored_through = inner.stored_through.max(sequence);
        let stored: Vec<u64> = inner.entries.range(..=sequence).map(|(sequence, _)| *sequence).collect();
        if stored.is_empty() {
            return;
        }
        // The number first: it must never fall, even when the queue is emptied and the agent killed.
        if let Err(error) =
            durable::write(&self.dir.join(LAST_SEQUENCE), inner.last_sequence.to_string().as_bytes())
        {
            tracing::warn!(%error, "the number of the last report cannot be written; sent reports are kept for now");
            return;
        }
        for sequence in stored {
            self.forget(&mut inner, sequence);
        }
    }

    /// How many are queued.
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many were dropped for want of room since the agent started.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Waits until something was queued.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    fn drop_least(&self, inner: &mut Inner, eligible: impl Fn(&Entry) -> bool) {
        let candidates = inner.entries.iter().filter(|(_, entry)| eligible(entry));
        // What is stored elsewhere is no loss.
        let unsent = |sequence: u64| sequence > inner.stored_through;
        let Some(sequence) = candidates
            .min_by_key(|(sequence, entry)| (unsent(**sequence), entry.worth, **sequence))
            .map(|(s, _)| *s)
        else {
            return;
        };
        inner.dropped += u64::from(unsent(sequence));
        self.forget(inner, sequence);
    }

    fn forget(&self, inner: &mut Inner, sequence: u64) {
        if let Some(entry) = inner.entries.remove(&sequence) {
            inner.bytes -= entry.bytes;
        }
        if let Err(error) = durable::remove(&self.path(sequence)) {
            tracing::warn!(sequence, %error, "a sent report cannot be removed");
        }
    }

    fn path(&self, sequence: u64) -> PathBuf {
        self.dir.join(format!("{sequence:020}.json"))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
