//! The last lines of every application, and the live ones.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use muster_supervisor_protocol::LogLine;
use tokio::sync::broadcast;

/// Lines kept in memory per application.
const MAX_LINES: usize = 1_000;
/// Bytes kept in memory per application.
const MAX_BYTES: usize = 256 * 1024;
/// Lines a follower may lag behind before it misses some.
const LIVE_CAPACITY: usize = 1_024;

/// Shared by everything that writes or reads log lines. The lock is held for a push or a copy, never across a wait.
#[derive(Debug, Clone)]
pub(crate) struct LogHub {
    rings: Arc<Mutex<BTreeMap<String, Ring>>>,
    live: broadcast::Sender<Arc<LogLine>>,
}

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<Arc<LogLine>>,
    bytes: usize,
}

impl LogHub {
    pub(crate) fn new() -> Self {
        Self { rings: Arc::default(), live: broadcast::Sender::new(LIVE_CAPACITY) }
    }

    /// Keeps a line and shows it to followers.
    pub(crate) fn publish(&self, line: LogLine) {
        let line = Arc::new(line);
        let mut rings = self.lock();
        // Looked up before inserted: the name is only copied once.
        if !rings.contains_key(&line.app) {
            rings.insert(line.app.clone(), Ring::default());
        }
        if let Some(ring) = rings.get_mut(&line.app) {
            ring.push(Arc::clone(&line));
        }
        drop(rings);
        if self.live.receiver_count() > 0 {
            // Without a receiver left by now there is nobody to miss it.
            drop(self.live.send(line));
        }
    }

    /// The last lines (of each application) in order of time, and the live ones from exactly there on.
    pub(crate) fn read(
        &self,
        app: Option<&str>,
        count: usize,
    ) -> (Vec<Arc<LogLine>>, broadcast::Receiver<Arc<LogLine>>) {
        let rings = self.lock();
        let mut lines: Vec<_> = rings
            .iter()
            .filter(|(name, _)| app.is_none_or(|app| app == name.as_str()))
            .flat_map(|(_, ring)| ring.lines.iter().skip(ring.lines.len().saturating_sub(count)).cloned())
            .collect();
        let live = self.live.subscribe();
        drop(rings);
        lines.sort_by_key(|line| line.at);
        (lines, live)
    }

    /// Everything that is kept, for the next supervisor.
    pub(crate) fn save(&self) -> Vec<LogLine> {
        let rings = self.lock();
        rings.values().flat_map(|ring| ring.lines.iter().map(|line| LogLine::clone(line))).collect()
    }

    /// Forgets the lines of an application that was deleted.
    pub(crate) fn forget(&self, app: &str) {
        self.lock().remove(app);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Ring>> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn push(&mut self, line: Arc<LogLine>) {
        self.bytes += line.line.len();
        self.lines.push_back(line);
        while self.lines.len() > MAX_LINES || self.bytes > MAX_BYTES {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.line.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use muster_supervisor_protocol::LogStreamName;

    use super::*;

    fn line(app: &str, second: i64, text: String) -> LogLine {
        let at = DateTime::from_timestamp(second, 0).unwrap();
        LogLine { at, app: app.into(), instance: 0, stream: LogStreamName::Out, line: text }
    }

    #[test]
    fn memory_is_bounded_by_lines_and_by_bytes() {
        let hub = LogHub::new();
        for second in 0..5_000 {
            hub.publish(line("a", second, "short".into()));
        }
        let (lines, _) = hub.read(Some("a"), usize::MAX);
        assert_eq!(lines.len(), MAX_LINES);
        for second in 5_000..5_100 {
            hub.publish(line("a", second, "x".repeat(16_000)));
        }
        let (lines, _) = hub.read(Some("a"), usize::MAX);
        assert!(lines.iter().map(|line| line.line.len()).sum::<usize>() <= MAX_BYTES);
        assert!(!lines.is_empty());
    }

    #[test]
    fn applications_are_told_apart_and_merged_by_time() {
        let hub = LogHub::new();
        hub.publish(line("b", 2, "second".into()));
        hub.publish(line("a", 1, "first".into()));
        let (lines, mut live) = hub.read(None, 10);
        assert_eq!(lines.iter().map(|line| line.line.as_str()).collect::<Vec<_>>(), ["first", "second"]);
        assert_eq!(hub.read(Some("b"), 10).0.len(), 1);
        hub.publish(line("a", 3, "live".into()));
        assert_eq!(live.try_recv().unwrap().line, "live");
        hub.forget("a");
        assert!(hub.read(Some("a"), 10).0.is_empty());
    }
}
