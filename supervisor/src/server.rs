//! The process as a whole: one per state directory, listening on a unix socket only its owner may open.

mod connection;
mod reading;
mod world;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::keeper::Keeper;
use crate::{private_socket, takeover};
use connection::{ServerAsk, ShutdownAsk};
use world::{Identity, World};

/// How long a client may take to hear that everything is down.
const TELL_LIMIT: Duration = Duration::from_secs(1);

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

/// Serves until SIGTERM or SIGINT, then stops every application and returns; or until SIGUSR2, then leaves everything
/// to the keeper and returns, and applications go on. With `resume` this process was a supervisor of this state
/// directory already and goes on.
pub async fn serve(state_dir: &Path, resume: bool) -> Result<(), ServeError> {
    // First of all: a signal that comes earlier would end us without a word.
    let mut signals = Signals::listen()?;
    let state = |what, path: &Path| {
        let path = path.to_owned();
        move |source| ServeError::State { what, path, source }
    };
    let system = |what| move |source| ServeError::System { what, source };
    let binary = takeover::own_binary().map_err(system("find the own binary"))?;
    // Others may pass (workers under another user load the drain hook from here) but not look.
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(state_dir)
        .map_err(state("the state directory", state_dir))?;
    let state_dir = state_dir.canonicalize().map_err(state("the state directory", state_dir))?;
    let socket_path = state_dir.join("supervisor.sock");
    let (lock, listener) = open(&state_dir, &socket_path, resume)?;
    listener.set_nonblocking(true).map_err(state("the socket", &socket_path))?;
    raise_descriptor_limit();
    let keeper = Keeper::open(&state_dir);
    let tending = tokio::spawn(keeper.clone().tend());
    let (server, mut asked) = mpsc::channel::<ServerAsk>(1);
    let mut enders: Vec<ShutdownAsk> = Vec::new();
    let identity = Identity::of(&keeper, resume);
    loop {
        let world = World::build(&state_dir, &keeper, &listener, &identity, server.clone()).await?;
        tracing::info!(socket = %socket_path.display(), pid = std::process::id(), "supervisor serves");
        let next = loop {
            tokio::select! {
                end = signals.end() => break end,
                Some(ask) = asked.recv() => match ask {
                    ServerAsk::Upgrade(ask) => if let Some((binary, reply)) = ask.check(&binary).await {
                        break Next::Upgrade { binary, reply };
                    },
                    ServerAsk::Shutdown(ask) => {
                        enders.push(ask);
                        break Next::Stop;
                    }
                },
            }
        };
        let (binary, reply) = match next {
            Next::Upgrade { binary, reply } => (binary, reply),
            Next::Stop => {
                tracing::info!("stopping every application");
                world.stop().await;
                break;
            }
            Next::Leave => {
                tending.abort();
                leave(world, &keeper, &identity).await;
                // The lock goes last, with this process: until then no successor may begin.
                return Ok(());
            }
        };
        tracing::info!(binary = %binary.display(), "handing everything over");
        let refusal = match world.hand_over(&keeper, &identity).await {
            Ok(()) => takeover::execute(&binary, &state_dir, &lock, &listener),
            Err(reason) => reason,
        };
        // We are still here, so everything goes on with us.
        tracing::error!(refusal, "the supervisor was not upgraded");
        keeper.hand_over(false);
        drop(reply.send(refusal));
    }
    tending.abort();
    keeper.leave();
    if let Err(error) = std::fs::remove_file(&socket_path) {
        tracing::warn!(%error, "the socket cannot be removed");
    }
    drop(lock);
    while let Ok(ask) = asked.try_recv() {
        if let ServerAsk::Shutdown(ask) = ask {
            enders.push(ask);
        }
    }
    for ShutdownAsk { down, told } in enders {
        if down.send(()).is_ok() {
            // The connection ends it, one way or the other.
            drop(tokio::time::timeout(TELL_LIMIT, told).await);
        }
    }
    tracing::info!("supervisor ended");
    Ok(())
}

/// What ends a world.
enum Next {
    /// Every application ends with us.
    Stop,
    /// Applications go on without us.
    Leave,
    /// Another binary goes on in this process.
    Upgrade {
        binary: PathBuf,
        /// Hears why it did not.
        reply: oneshot::Sender<String>,
    },
}

/// Parks everything and is gone: like being killed, but with nothing lost. The next supervisor takes over.
async fn leave(world: World, keeper: &Keeper, identity: &Identity) {
    match world.hand_over(keeper, identity).await {
        Ok(()) => tracing::info!("supervisor ended; applications go on until the next one takes over"),
        // What is parked anyway is enough for a successor, as after a kill.
        Err(reason) => tracing::error!(reason, "supervisor ended without handing everything over"),
    }
}

/// The lock of the state directory and the listening socket: those this process had before, or new ones.
fn open(state_dir: &Path, socket_path: &Path, resume: bool) -> Result<(File, UnixListener), ServeError> {
    if resume {
        match takeover::receive() {
            Ok(received) => return Ok(received),
            Err(error) => tracing::error!(%error, "lock and socket were not handed over"),
        }
    }
    let lock = lock(state_dir)?;
    let listener = private_socket::bind(socket_path).map_err(|source| ServeError::State {
        what: "the socket",
        path: socket_path.to_owned(),
        source,
    })?;
    Ok((lock, listener))
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    leave: Signal,
}

impl Signals {
    fn listen() -> Result<Self, ServeError> {
        let listen = |kind, what| signal(kind).map_err(|source| ServeError::System { what, source });
        Ok(Self {
            terminate: listen(SignalKind::terminate(), "listen for SIGTERM")?,
            interrupt: listen(SignalKind::interrupt(), "listen for SIGINT")?,
            hangup: listen(SignalKind::hangup(), "listen for SIGHUP")?,
            leave: listen(SignalKind::user_defined2(), "listen for SIGUSR2")?,
        })
    }

    /// Waits until we shall end, and says how. A terminal that closes is no reason.
    async fn end(&mut self) -> Next {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Next::Stop,
                _ = self.interrupt.recv() => return Next::Stop,
                _ = self.leave.recv() => return Next::Leave,
                _ = self.hangup.recv() => {}
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
