//! The process as a whole: one per state directory, listening on a unix socket only its owner may open.

mod connection;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::Utc;
use muster_supervisor_protocol::Pong;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot};

use crate::app::Shared;
use crate::clock::Clock;
use crate::cluster::hook;
use crate::logs::{FileWriter, LogHub};
use crate::registry::{Ask, Registry};
use crate::saved::{ProcessLedger, SavedApps};

/// Far more than an agent and a few people need.
const MAX_CONNECTIONS: usize = 128;
/// Events a watcher may lag behind before it is told that it missed some.
const EVENT_CAPACITY: usize = 256;

/// Why the supervisor cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The state directory or something in it cannot be used.
    #[error("{what} {path:?} cannot be used")]
    State {
        /// What it is.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// Another supervisor has this state directory.
    #[error("another supervisor already serves {path:?}")]
    AlreadyRunning {
        /// The state directory.
        path: PathBuf,
    },
    /// The operating system refuses something basic.
    #[error("cannot {what}")]
    System {
        /// What.
        what: &'static str,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

/// Serves until SIGTERM or SIGINT, then stops every application and returns.
pub async fn serve(state_dir: &Path) -> Result<(), ServeError> {
    let state = |what, path: &Path| {
        let path = path.to_owned();
        move |source| ServeError::State { what, path, source }
    };
    // Others may pass (workers under another user load the drain hook from here) but not look.
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(state_dir)
        .map_err(state("the state directory", state_dir))?;
    let state_dir = state_dir.canonicalize().map_err(state("the state directory", state_dir))?;
    let lock = lock(&state_dir)?;
    raise_descriptor_limit();
    let hook = hook::install(&state_dir).map_err(state("the drain hook in", &state_dir))?;
    let socket_path = state_dir.join("supervisor.sock");
    let listener = listen(&socket_path).map_err(state("the socket", &socket_path))?;

    let system = |what| move |source| ServeError::System { what, source };
    let mut terminate = signal(SignalKind::terminate()).map_err(system("listen for SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("listen for SIGINT"))?;
    // A terminal that closes is no reason to stop.
    let mut hangup = signal(SignalKind::hangup()).map_err(system("listen for SIGHUP"))?;

    let ledger = ProcessLedger::new(&state_dir);
    ledger.end_left_behind().await;
    let shared = Shared {
        clock: Clock::new(),
        logs: LogHub::new(),
        writer: FileWriter::start().map_err(system("start the log thread"))?,
        events: broadcast::Sender::new(EVENT_CAPACITY),
        ledger,
        hook_for_others: hook::readable_by_others(&hook),
        hook,
    };
    let pong = Pong {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started_at: Utc::now(),
    };
    let registry = Registry::start(shared.clone(), SavedApps::load(&state_dir));
    let door = connection::Door { pong, registry: registry.clone(), shared: shared.clone() };
    tracing::info!(socket = %socket_path.display(), pid = door.pong.pid, "supervisor serves");

    tokio::spawn(accept(listener, door));
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {}
        }
    }
    tracing::info!("stopping every application");
    shut_down(&registry).await;
    shared.writer.flush().await;
    if let Err(error) = std::fs::remove_file(&socket_path) {
        tracing::warn!(%error, "the socket cannot be removed");
    }
    drop(lock);
    tracing::info!("supervisor ended");
    Ok(())
}

async fn shut_down(registry: &mpsc::Sender<Ask>) {
    let (reply, done) = oneshot::channel();
    if registry.send(Ask::Shutdown { reply }).await.is_err() || done.await.is_err() {
        tracing::error!("the registry ended before it had stopped everything");
    }
}

async fn accept(listener: UnixListener, door: connection::Door) {
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
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// A machine full of applications needs more descriptors than the usual soft limit; Node.js raises its own as well.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
    {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
}

/// Held as long as the file is open, also by a process that hangs; gone at once when it dies.
fn lock(state_dir: &Path) -> Result<File, ServeError> {
    let path = state_dir.join("supervisor.lock");
    let failed = |source| ServeError::State { what: "the lock file", path: path.clone(), source };
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(ServeError::AlreadyRunning { path: state_dir.to_owned() });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    file.set_len(0).map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

/// With the lock in hand, a socket file that is there belongs to nobody. It is opened under another name and moved in
/// place once nobody else may open it.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let hidden = path.with_extension("new");
    for stale in [path, &hidden] {
        match std::fs::remove_file(stale) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(&hidden);
    rustix::process::umask(before);
    let listener = bound?;
    std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&hidden, path)?;
    Ok(listener)
}
