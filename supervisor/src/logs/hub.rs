//! The last lines of every application, and whoever waits for the next ones.
//!
//! Lines are kept in the chunks they were read in, and a follower is nothing but a place in that memory: however slow it
//! is, it costs nothing, and is told how many lines it missed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use muster_supervisor_protocol::{LogLine, LogStreamName};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::destination::{Destination, DroppedLines};
use super::lines::{count, pieces, text};

/// Bytes kept in memory per application, with what keeping them costs. One chunk is kept in any case.
const MAX_BYTES: usize = 128 * 1024;
/// Of an application while somebody follows.
const MAX_FOLLOWED_BYTES: usize = 1024 * 1024;
/// What a chunk costs besides its text, about.
const CHUNK_COST: usize = std::mem::size_of::<Chunk>() + 32;

/// Lines of one stream of one instance that were read together.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    pub(crate) at: DateTime<Utc>,
    pub(crate) app: Arc<str>,
    pub(crate) instance: u32,
    pub(crate) stream: LogStreamName,
    pub(crate) bytes: Bytes,
    pub(crate) begins_mid_line: bool,
    /// Number of the chunk, over all applications.
    seq: u64,
    /// Number of its first line in the application.
    first_line: u64,
}

impl Chunk {
    /// Every line, in pieces when it is too long.
    pub(crate) fn lines(&self) -> impl Iterator<Item = LogLine> {
        pieces(&self.bytes, self.begins_mid_line).map(|(piece, continues)| LogLine {
            at: self.at,
            app: self.app.to_string(),
            instance: self.instance,
            stream: self.stream,
            line: text(piece, continues).into_owned(),
        })
    }
}

/// Shared by everything that writes or reads log lines. The lock is held for a push or a copy, never across a wait.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogHub {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    rings: Mutex<Rings>,
    followers: AtomicUsize,
    pushed: Notify,
}

#[derive(Debug, Default)]
struct Rings {
    next_seq: u64,
    apps: BTreeMap<Arc<str>, Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// Lines so far.
    lines: u64,
    /// Who writes, and who wrote last, by instance and stream (`err` or not).
    destinations: BTreeMap<(u32, bool), Arc<Destination>>,
    dropped: BTreeMap<u32, DroppedLines>,
}

/// Lines dropped by instances, for the next supervisor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SavedDrops {
    app: String,
    instance: u32,
    lines: u64,
}

/// One application at one moment.
#[derive(Debug, Clone)]
pub(crate) struct AppLogs {
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) destinations: Vec<Arc<Destination>>,
}

impl LogHub {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// From now on this is where an instance writes to.
    pub(crate) fn register(&self, destination: &Arc<Destination>) {
        let key = (destination.instance, destination.stream == LogStreamName::Err);
        let mut rings = self.lock();
        rings.ring(&destination.app).destinations.insert(key, Arc::clone(destination));
    }

    /// Counter of lines an instance lost.
    pub(crate) fn dropped(&self, app: &str, instance: u32) -> DroppedLines {
        self.lock().ring(app).dropped.entry(instance).or_default().clone()
    }

    /// Keeps a chunk, shows it to followers, and does `also` at the same moment.
    pub(crate) fn push(
        &self,
        destination: &Destination,
        at: DateTime<Utc>,
        bytes: Bytes,
        begins_mid_line: bool,
        also: impl FnOnce(),
    ) {
        let followed = self.inner.followers.load(Ordering::Relaxed) > 0;
        let mut rings = self.lock();
        if !destination.disabled {
            rings.next_seq += 1;
            let seq = rings.next_seq;
            let ring = rings.ring(&destination.app);
            let unfinished = u64::from(bytes.last() != Some(&b'\n'));
            let first_line = ring.lines;
            ring.lines += count(&bytes) + unfinished;
            ring.bytes += bytes.len() + CHUNK_COST;
            ring.chunks.push_back(Chunk {
                at,
                app: Arc::clone(&destination.app),
                instance: destination.instance,
                stream: destination.stream,
                bytes,
                begins_mid_line,
                seq,
                first_line,
            });
            ring.shrink(if followed { MAX_FOLLOWED_BYTES } else { MAX_BYTES });
        }
        also();
        drop(rings);
        if followed {
            self.inner.pushed.notify_waiters();
        }
    }

    /// What is there of each wanted application, the place behind it, and what `also` gives at the same moment.
    pub(crate) fn look<T>(
        &self,
        wanted: impl Fn(&str) -> bool,
        also: impl FnOnce(&[AppLogs]) -> T,
    ) -> (Vec<AppLogs>, Cursor, T) {
        let rings = self.lock();
        let apps: Vec<AppLogs> = rings
            .apps
            .iter()
            .filter(|(name, _)| wanted(name))
            .map(|(_, ring)| AppLogs {
                chunks: ring.chunks.iter().cloned().collect(),
                destinations: ring.destinations.values().cloned().collect(),
            })
            .collect();
        let seen = rings.apps.iter().map(|(name, ring)| (Arc::clone(name), ring.lines)).collect();
        self.inner.followers.fetch_add(1, Ordering::Relaxed);
        let cursor = Cursor { hub: self.clone(), seq: rings.next_seq, seen };
        let also = also(&apps);
        (apps, cursor, also)
    }

    /// Everything that is kept, for the next supervisor.
    pub(crate) fn save(&self) -> Vec<LogLine> {
        let rings = self.lock();
        rings.apps.values().flat_map(|ring| ring.chunks.iter().flat_map(Chunk::lines)).collect()
    }

    /// What an earlier supervisor kept.
    pub(crate) fn restore(&self, lines: Vec<LogLine>) {
        let mut rings = self.lock();
        for line in lines {
            rings.next_seq += 1;
            let seq = rings.next_seq;
            let app: Arc<str> = line.app.as_str().into();
            let ring = rings.ring(&app);
            let bytes = Bytes::from(format!("{}\n", line.line));
            ring.bytes += bytes.len() + CHUNK_COST;
            ring.lines += 1;
            let (at, instance, stream) = (line.at, line.instance, line.stream);
            let first_line = ring.lines - 1;
            let begins_mid_line = false;
            ring.chunks.push_back(Chunk {
                at,
                app,
                instance,
                stream,
                bytes,
                begins_mid_line,
                seq,
                first_line,
            });
            ring.shrink(MAX_BYTES);
        }
    }

    /// Counters of dropped lines, for the next supervisor.
    pub(crate) fn save_drops(&self) -> Vec<SavedDrops> {
        let rings = self.lock();
        let drops = rings.apps.iter().flat_map(|(app, ring)| {
            ring.dropped.iter().map(|(instance, dropped)| SavedDrops {
                app: app.to_string(),
                instance: *instance,
                lines: dropped.get(),
            })
        });
        drops.filter(|drops| drops.lines > 0).collect()
    }

    /// What an earlier supervisor counted.
    pub(crate) fn restore_drops(&self, drops: Vec<SavedDrops>) {
        for SavedDrops { app, instance, lines } in drops {
            self.dropped(&app, instance).add(lines);
        }
    }

    /// Where the applications of this name (all) write to.
    pub(crate) fn destinations(&self, app: Option<&str>) -> Vec<Arc<Destination>> {
        let rings = self.lock();
        let wanted = rings.apps.iter().filter(|(name, _)| app.is_none_or(|app| app == &***name));
        wanted.flat_map(|(_, ring)| ring.destinations.values().cloned()).collect()
    }

    /// Forgets lines, not applications.
    pub(crate) fn flush(&self, app: Option<&str>) {
        let mut rings = self.lock();
        for (_, ring) in rings.apps.iter_mut().filter(|(name, _)| app.is_none_or(|app| app == &***name)) {
            ring.chunks.clear();
            ring.bytes = 0;
        }
    }

    /// Forgets an application that was deleted.
    pub(crate) fn forget(&self, app: &str) {
        self.lock().apps.remove(app);
    }

    fn lock(&self) -> MutexGuard<'_, Rings> {
        self.inner.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rings {
    fn ring(&mut self, app: &str) -> &mut Ring {
        // Looked up before inserted: the name is only copied once.
        if !self.apps.contains_key(app) {
            self.apps.insert(app.into(), Ring::default());
        }
        self.apps.get_mut(app).expect("it was inserted just now")
    }
}

impl Ring {
    fn shrink(&mut self, most: usize) {
        while self.bytes > most && self.chunks.len() > 1 {
            let Some(oldest) = self.chunks.pop_front() else { break };
            self.bytes -= oldest.bytes.len() + CHUNK_COST;
        }
    }
}

/// A place in the memory of all applications. While it lives, more is kept.
#[derive(Debug)]
pub(crate) struct Cursor {
    hub: LogHub,
    seq: u64,
    /// Lines seen (or not wanted) of each application.
    seen: BTreeMap<Arc<str>, u64>,
}

/// Lines of an application that were gone before they were seen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Missed {
    pub(crate) app: Arc<str>,
    pub(crate) lines: u64,
}

impl Cursor {
    /// Waits until there is something new of a wanted application. Cancel-safe.
    pub(crate) async fn next(&mut self, wanted: impl Fn(&str) -> bool) -> (Vec<Missed>, Vec<Chunk>) {
        let hub = self.hub.clone();
        loop {
            let mut pushed = std::pin::pin!(hub.inner.pushed.notified());
            // From here on nothing is missed.
            pushed.as_mut().enable();
            let (missed, chunks) = self.take(&wanted);
            if !missed.is_empty() || !chunks.is_empty() {
                return (missed, chunks);
            }
            pushed.await;
        }
    }

    fn take(&mut self, wanted: impl Fn(&str) -> bool) -> (Vec<Missed>, Vec<Chunk>) {
        let hub = self.hub.clone();
        let rings = hub.lock();
        let (mut missed, mut chunks) = (Vec::new(), Vec::new());
        for (app, ring) in rings.apps.iter().filter(|(app, _)| wanted(app)) {
            let seen = self.seen.insert(Arc::clone(app), ring.lines).unwrap_or(0);
            // Deleted and made again: it counts from 0.
            let seen = if seen > ring.lines { 0 } else { seen };
            if seen == ring.lines {
                continue;
            }
            let kept_from = ring.chunks.front().map_or(ring.lines, |chunk| chunk.first_line);
            if kept_from > seen {
                missed.push(Missed { app: Arc::clone(app), lines: kept_from - seen });
            }
            let from = ring.chunks.partition_point(|chunk| chunk.seq <= self.seq);
            chunks.extend(ring.chunks.range(from..).cloned());
        }
        self.seq = rings.next_seq;
        chunks.sort_by_key(|chunk| chunk.seq);
        (missed, chunks)
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.hub.inner.followers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use muster_supervisor_protocol::AppSpec;

    use super::*;

    fn destination(app: &str) -> Destination {
        let spec = AppSpec::new(app, "/", "a.js");
        Destination::new(&spec, 0, 0, LogStreamName::Out, DroppedLines::default())
    }

    fn push(hub: &LogHub, app: &str, text: &str) {
        hub.push(&destination(app), Utc::now(), Bytes::from(text.to_owned()), false, || {});
    }

    fn kept(hub: &LogHub, app: &str) -> Vec<String> {
        let (apps, ..) = hub.look(|name| name == app, |_| ());
        apps.iter().flat_map(|app| &app.chunks).flat_map(Chunk::lines).map(|line| line.line).collect()
    }

    #[test]
    fn memory_is_bounded_whatever_the_lines() {
        let hub = LogHub::new();
        let size = || {
            let rings = hub.lock();
            let ring = &rings.apps["a"];
            let text: usize = ring.chunks.iter().map(|chunk| chunk.bytes.len()).sum();
            assert_eq!(ring.bytes, text + ring.chunks.len() * CHUNK_COST);
            ring.bytes
        };
        for number in 0..5_000 {
            push(&hub, "a", &format!("{number}\n"));
        }
        assert!(size() <= MAX_BYTES && kept(&hub, "a").last().unwrap() == "4999");
        push(&hub, "a", &format!("{}\n", "x".repeat(1_000_000)));
        push(&hub, "a", "after\n");
        assert!(size() <= MAX_BYTES, "the large one is gone");
    }

    #[tokio::test]
    async fn a_follower_sees_everything_or_is_told_what_it_missed() {
        let hub = LogHub::new();
        push(&hub, "a", "before\n");
        let (_, mut cursor, ()) = hub.look(|_| true, |_| ());
        push(&hub, "a", "one\ntwo\n");
        push(&hub, "b", "three\n");
        let lines = |chunks: &[Chunk]| -> Vec<String> {
            chunks.iter().flat_map(Chunk::lines).map(|line| line.line).collect()
        };
        let (missed, chunks) = cursor.next(|_| true).await;
        assert_eq!((missed.len(), lines(&chunks)), (0, vec!["one".into(), "two".into(), "three".into()]));
        let line = format!("{}\n", "y".repeat(999));
        let mut seen = 0;
        for _ in 0..10_000 {
            push(&hub, "a", &line);
        }
        let (missed, chunks) = cursor.next(|app| app == "a").await;
        seen += lines(&chunks).len() as u64;
        assert_eq!(seen + missed[0].lines, 10_000);
        assert!(seen > 500, "{seen}");
        hub.forget("a");
        push(&hub, "a", "again\n");
        assert_eq!(lines(&cursor.next(|_| true).await.1), ["again"]);
    }

    #[test]
    fn what_is_kept_survives_a_successor() {
        let hub = LogHub::new();
        push(&hub, "a", "one\ntwo\n");
        hub.dropped("a", 3).add(7);
        let next = LogHub::new();
        next.restore(hub.save());
        next.restore_drops(hub.save_drops());
        assert_eq!(kept(&next, "a"), ["one", "two"]);
        assert_eq!(next.dropped("a", 3).get(), 7);
        next.flush(Some("a"));
        assert!(kept(&next, "a").is_empty());
    }
}
