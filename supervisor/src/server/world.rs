//! Everything that serves, built from what the keeper has, and taken apart again when another supervisor takes over.

use std::collections::BTreeSet;
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use muster_supervisor_protocol::{LogLine, Pong};
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::ServeError;
use super::connection::{Door, ServerAsk};
use crate::app::{Ids, PARKED_UNDER, SavedState, Shared};
use crate::clock::Clock;
use crate::cluster::hook;
use crate::keeper::Keeper;
use crate::logs::{FileWriter, LogHub};
use crate::registry::{Ask, Registry};
use crate::saved::{ProcessLedger, SavedApps};

/// Far more than an agent and a few people need.
const MAX_CONNECTIONS: usize = 128;
/// Events a watcher may lag behind before it is told that it missed some.
const EVENT_CAPACITY: usize = 256;
/// How long the disk may take to write what applications wrote before an upgrade.
const FLUSH_LIMIT: Duration = Duration::from_secs(10);
/// The last log lines are parked here during an upgrade.
const LOGS_KEY: &str = "logs";
/// And who we are.
const IDENTITY_KEY: &str = "supervisor";

/// What stays the same across upgrades in place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Identity {
    started_at: DateTime<Utc>,
    upgrades: u32,
}

impl Identity {
    /// Of this process; what an earlier one handed over counts only when it was this process itself.
    pub(super) fn of(keeper: &Keeper, resume: bool) -> Self {
        let handed_over: Option<Self> =
            keeper.forget(IDENTITY_KEY).and_then(|text| serde_json::from_slice(&text).ok());
        match handed_over.filter(|_| resume) {
            Some(before) => Self { upgrades: before.upgrades.saturating_add(1), ..before },
            None => Self { started_at: Utc::now(), upgrades: 0 },
        }
    }
}

pub(super) struct World {
    registry: mpsc::Sender<Ask>,
    shared: Shared,
    accepting: JoinHandle<()>,
    closing: Arc<AtomicBool>,
}

impl World {
    /// Takes over what was handed over or left behind, and opens the door.
    pub(super) async fn build(
        state_dir: &Path,
        keeper: &Keeper,
        listener: &StdListener,
        identity: &Identity,
        server: mpsc::Sender<ServerAsk>,
    ) -> Result<Self, ServeError> {
        let system = |what| move |source| ServeError::System { what, source };
        let hook = hook::install(state_dir).map_err(|source| ServeError::State {
            what: "the drain hook in",
            path: state_dir.to_owned(),
            source,
        })?;
        let resumed = parked_applications(keeper);
        let taken_over: BTreeSet<u32> = resumed.iter().flat_map(|(_, state)| state.pids()).collect();
        let ledger = ProcessLedger::new(state_dir);
        ledger.end_left_behind(&taken_over).await;
        let shared = Shared {
            clock: Clock,
            logs: LogHub::new(),
            writer: FileWriter::start().map_err(system("start the log thread"))?,
            events: broadcast::Sender::new(EVENT_CAPACITY),
            ledger,
            keeper: keeper.clone(),
            ids: Ids::default(),
            hook_for_others: hook::readable_by_others(&hook),
            hook,
        };
        if let Some(text) = keeper.forget(LOGS_KEY) {
            let lines: Vec<LogLine> = serde_json::from_slice(&text).unwrap_or_default();
            lines.into_iter().for_each(|line| shared.logs.publish(line));
        }
        if !resumed.is_empty() {
            tracing::info!(
                applications = resumed.len(),
                processes = taken_over.len(),
                "taking over from the supervisor before"
            );
        }
        let registry = Registry::start(shared.clone(), SavedApps::load(state_dir), resumed);
        keeper.drop_unclaimed();
        let pong = Pong {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_at: identity.started_at,
            upgrades: identity.upgrades,
        };
        let closing = Arc::new(AtomicBool::new(false));
        let door = Door {
            pong,
            registry: registry.clone(),
            shared: shared.clone(),
            server,
            closing: Arc::clone(&closing),
        };
        let listener = listener
            .try_clone()
            .and_then(UnixListener::from_std)
            .map_err(system("listen on the own socket"))?;
        let accepting = tokio::spawn(accept(listener, door));
        Ok(Self { registry, shared, accepting, closing })
    }

    /// Stops every application.
    pub(super) async fn stop(self) {
        let (reply, done) = oneshot::channel();
        if self.registry.send(Ask::Shutdown { reply }).await.is_err() || done.await.is_err() {
            tracing::error!("the registry ended before it had stopped everything");
        }
        self.accepting.abort();
        self.shared.writer.flush().await;
    }

    /// Parks everything with what is under way, so that another world can be built from it. After an error that world
    /// has to be one of ours.
    pub(super) async fn hand_over(self, keeper: &Keeper, identity: &Identity) -> Result<(), String> {
        self.accepting.abort();
        self.closing.store(true, Ordering::Relaxed);
        keeper.hand_over(true);
        let (done, handed_over) = oneshot::channel();
        if self.registry.send(Ask::HandOver { done }).await.is_err() || handed_over.await.is_err() {
            return Err("the registry does not answer".to_owned());
        }
        park(keeper, LOGS_KEY, &self.shared.logs.save())?;
        park(keeper, IDENTITY_KEY, identity)?;
        if !self.shared.writer.flush_within(FLUSH_LIMIT).await {
            return Err("log lines wait for a disk that is too slow".to_owned());
        }
        if !keeper.sync() {
            return Err("the keeper does not answer".to_owned());
        }
        Ok(())
    }
}

fn park<T: Serialize>(keeper: &Keeper, key: &str, what: &T) -> Result<(), String> {
    let text = serde_json::to_vec(what).map_err(|error| format!("{key} cannot be parked: {error}"))?;
    keeper.put(key, text);
    Ok(())
}

/// What cannot be read is not taken over: its processes end, and the agent starts them again.
fn parked_applications(keeper: &Keeper) -> Vec<(String, SavedState)> {
    let parked = keeper.texts_under(PARKED_UNDER).into_iter();
    let read = |(name, text): (String, Vec<u8>)| match serde_json::from_slice(&text) {
        Ok(state) => Some((name, state)),
        Err(error) => {
            tracing::error!(app = name, %error, "an application cannot be taken over and will be started again");
            drop(keeper.forget(&format!("{PARKED_UNDER}{name}")));
            None
        }
    };
    parked.filter_map(read).collect()
}

async fn accept(listener: UnixListener, door: Door) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => match Arc::clone(&room).try_acquire_owned() {
                Ok(permit) => {
                    let door = door.clone();
                    tokio::spawn(async move {
                        door.serve(stream).await;
                        drop(permit);
                    });
                }
                Err(_) => tracing::warn!("a client was turned away: {MAX_CONNECTIONS} are connected already"),
            },
            Err(error) => {
                // Out of descriptors, most likely; give others the time to close theirs.
                tracing::warn!(%error, "a client could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
