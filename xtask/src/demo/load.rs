//! A constant load of requests, as browsers and proxies make it: kept connections, short ones, and slow requests that
//! are always under way. Counts every request that got no good answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::http::{Answer, Connection, Failure};

/// Per target: what one client does, and how often it begins a request.
const CLIENTS: [(Kind, Duration); 7] = [
    (Kind::Kept, Duration::from_millis(10)),
    (Kind::Kept, Duration::from_millis(10)),
    (Kind::Kept, Duration::from_millis(10)),
    (Kind::Short, Duration::from_millis(20)),
    (Kind::Short, Duration::from_millis(20)),
    (Kind::Slow, Duration::ZERO),
    (Kind::Slow, Duration::ZERO),
];
/// Enough to see a pattern.
const KEPT_ERRORS: usize = 12;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One connection for many requests.
    Kept,
    /// A connection for each request.
    Short,
    /// Kept, and each answer takes a while.
    Slow,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    requests: AtomicU64,
    failed: AtomicU64,
    reopened: AtomicU64,
    slowest_us: AtomicU64,
    errors: Mutex<Vec<String>>,
    versions: Mutex<BTreeMap<String, u64>>,
}

/// What to ask.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    /// Answers at once with JSON that names a `version`.
    pub(super) path: String,
    /// The same, but takes a while.
    pub(super) slow_path: Option<String>,
}

/// What was counted so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) requests: u64,
    /// Requests without a complete answer of status 200, the second try on a stale connection included.
    pub(super) failed: u64,
    /// Requests that were sent again because the server had closed a kept connection between two requests.
    pub(super) reopened: u64,
}

impl Counts {
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            requests: self.requests - before.requests,
            failed: self.failed - before.failed,
            reopened: self.reopened - before.reopened,
        }
    }
}

/// A running load. Stops when dropped.
pub(super) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
    started: Instant,
}

impl Load {
    pub(super) fn start(targets: &[Target]) -> Self {
        let shared = Arc::new(Shared::default());
        let mut clients = Vec::new();
        for target in targets {
            for (kind, pace) in CLIENTS {
                let path = match kind {
                    Kind::Slow => target.slow_path.clone(),
                    Kind::Kept | Kind::Short => Some(target.path.clone()),
                };
                let Some(path) = path else { continue };
                let (shared, address) = (Arc::clone(&shared), target.address);
                clients.push(std::thread::spawn(move || client(&shared, address, kind, &path, pace)));
            }
        }
        Self { shared, clients, started: Instant::now() }
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            requests: self.shared.requests.load(Ordering::Relaxed),
            failed: self.shared.failed.load(Ordering::Relaxed),
            reopened: self.shared.reopened.load(Ordering::Relaxed),
        }
    }

    /// The first things that went wrong.
    pub(super) fn errors(&self) -> Vec<String> {
        self.shared.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many answers each version of the application gave.
    pub(super) fn versions(&self) -> BTreeMap<String, u64> {
        self.shared.versions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn requests_per_second(&self) -> u64 {
        self.counts().requests / self.started.elapsed().as_secs().max(1)
    }

    /// The longest wait for an answer, the slow requests aside.
    pub(super) fn slowest(&self) -> Duration {
        Duration::from_micros(self.shared.slowest_us.load(Ordering::Relaxed))
    }

    pub(super) fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            if client.join().is_err() {
                eprintln!("error: a client of the load panicked");
                self.shared.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop();
    }
}

fn client(shared: &Shared, target: SocketAddr, kind: Kind, path: &str, pace: Duration) {
    let mut kept: Option<Connection> = None;
    while !shared.stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let outcome = request(shared, target, kind, path, &mut kept);
        shared.requests.fetch_add(1, Ordering::Relaxed);
        match outcome.and_then(|answer| version(&answer)) {
            Ok(version) => {
                let mut versions = shared.versions.lock().unwrap_or_else(PoisonError::into_inner);
                *versions.entry(version).or_default() += 1;
            }
            Err(reason) => {
                kept = None;
                shared.failed.fetch_add(1, Ordering::Relaxed);
                let mut errors = shared.errors.lock().unwrap_or_else(PoisonError::into_inner);
                if errors.len() < KEPT_ERRORS {
                    errors.push(format!("{target}{path}: {reason}"));
                }
            }
        }
        let took = begun.elapsed();
        if kind != Kind::Slow {
            shared
                .slowest_us
                .fetch_max(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        std::thread::sleep(pace.saturating_sub(took));
    }
}

fn request(
    shared: &Shared,
    target: SocketAddr,
    kind: Kind,
    path: &str,
    kept: &mut Option<Connection>,
) -> Result<Answer, String> {
    let keep = kind != Kind::Short;
    let mut stale = String::new();
    // A new connection is never stale, so two tries always decide.
    for _ in 0..2 {
        let connection = match kept.take() {
            Some(connection) => Ok(connection),
            None => Connection::open(target),
        };
        let answer = connection.and_then(|mut connection| Ok((connection.get(path, keep)?, connection)));
        match answer {
            Ok((answer, connection)) => {
                if keep && answer.kept {
                    *kept = Some(connection);
                }
                return Ok(answer);
            }
            Err(Failure::Stale(reason)) => {
                shared.reopened.fetch_add(1, Ordering::Relaxed);
                stale = reason;
            }
            Err(Failure::Broken(reason)) => return Err(reason),
        }
    }
    Err(stale)
}

/// The version an answer names, when it is a good one.
pub(super) fn version(answer: &Answer) -> Result<String, String> {
    if answer.status != 200 {
        return Err(format!("status {}: {}", answer.status, String::from_utf8_lossy(&answer.body)));
    }
    let body: serde_json::Value =
        serde_json::from_slice(&answer.body).map_err(|error| format!("body: {error}"))?;
    body["version"].as_str().map(str::to_owned).ok_or_else(|| format!("body without a version: {body}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    /// Answers each connection once with these bytes, then closes it.
    fn server(answer: &'static str) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let mut line = String::new();
                while stream.read_line(&mut line).unwrap() > 2 {
                    line.clear();
                }
                stream.get_mut().write_all(answer.as_bytes()).unwrap();
            }
        });
        Target { address, path: "/".into(), slow_path: None }
    }

    fn count(answer: &'static str) -> Counts {
        let mut load = Load::start(&[server(answer)]);
        let deadline = Instant::now() + Duration::from_secs(30);
        while load.counts().requests < 50 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        load.stop();
        load.counts()
    }

    #[test]
    fn every_answer_that_is_not_a_good_one_is_a_failure() {
        let counts = count("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        assert_eq!((counts.failed, counts.reopened), (counts.requests, 0));
        let counts = count("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}");
        assert_eq!(counts.failed, counts.requests, "cut off in the middle");
    }

    #[test]
    fn a_kept_connection_that_the_server_closes_in_between_is_opened_again() {
        let counts = count("HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"version\":\"1\"}");
        assert_eq!(counts.failed, 0);
        assert!(counts.reopened > 0);
    }
}
