//! Up to when ends of processes were told. It survives the agent, so that the next one tells what it missed, once.

use crate::durable;
use chrono::{DateTime, Utc};
use std::path::{Path, PathBuf};

const FILE: &str = "processes-seen";

/// The time of the last end that was told, by the clock of this node.
#[derive(Debug)]
pub(super) struct Seen {
    path: PathBuf,
    at_ms: i64,
}

impl Seen {
    /// What an earlier agent kept. Without that nothing before now is news: nobody waits for the past of a new node.
    pub(super) fn open(dir: &Path, now_ms: i64) -> Self {
        let path = dir.join(FILE);
        let kept = durable::read(&path).ok().flatten().and_then(|bytes| String::from_utf8(bytes).ok());
        match kept.and_then(|text| text.trim().parse().ok()) {
            Some(at_ms) => Self { path, at_ms },
            None => {
                let mut seen = Self { path, at_ms: i64::MIN };
                seen.keep(now_ms);
                seen
            }
        }
    }

    /// Whether this happened after what was told.
    pub(super) fn before(&self, at: DateTime<Utc>) -> bool {
        at.timestamp_millis() > self.at_ms
    }

    /// It was told up to here.
    pub(super) fn advance(&mut self, at: DateTime<Utc>) {
        if self.before(at) {
            self.keep(at.timestamp_millis());
        }
    }

    fn keep(&mut self, at_ms: i64) {
        self.at_ms = at_ms;
        // Told twice after the next start is better than not at all.
        if let Err(error) = durable::write(&self.path, at_ms.to_string().as_bytes()) {
            tracing::warn!(%error, "up to when processes were looked at cannot be written");
        }
    }
}
