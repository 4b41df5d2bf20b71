//! The thread that owns the server process: prepares, spawns, waits, restarts, until it is told to stop.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::sync::oneshot;

use crate::account::Account;
use crate::binaries::Installation;
use crate::error::{FileContext, PostgresError};
use crate::layout::Layout;
use crate::{Config, cluster, process, settings};

/// Between restarts of a server that keeps ending: doubled each time up to the bound, forgotten after a quiet time.
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const LONGEST_BACKOFF: Duration = Duration::from_secs(15);
const QUIET: Duration = Duration::from_secs(60);

/// How a server is asked to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StopSignal {
    /// Sessions are cut, everything is flushed. SIGTERM would wait for the clients instead, for ever with a pool.
    Fast,
    /// The next start replays the log.
    Immediate,
    /// The kernel ends it.
    Kill,
}

/// What the thread and the owner share.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    state: Mutex<State>,
    wake: std::sync::Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Set while the child is not reaped, so that a signal can never hit a reused process id.
    pid: Option<Pid>,
    stopping: bool,
}

impl Keeper {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is two plain fields, whole at any time, so a panic elsewhere leaves nothing to mend.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.lock().pid.map(|pid| pid.as_raw_nonzero().get().unsigned_abs())
    }

    pub(crate) fn stop(&self, how: StopSignal) {
        let mut state = self.lock();
        state.stopping = true;
        self.wake.notify_all();
        let signal = match how {
            StopSignal::Fast => Signal::INT,
            StopSignal::Immediate => Signal::QUIT,
            StopSignal::Kill => Signal::KILL,
        };
        if let Some(Err(error)) = state.pid.map(|pid| kill_process(pid, signal)) {
            tracing::warn!(%error, "cannot signal the private database");
        }
    }

    /// Sleeps until the time is over or somebody wants to stop; answers whether to go on.
    fn pause(&self, time: Duration) -> bool {
        let waited = self.wake.wait_timeout_while(self.lock(), time, |state| !state.stopping);
        !waited.unwrap_or_else(std::sync::PoisonError::into_inner).0.stopping
    }

    /// Blocks until the child ends, then reaps it under the lock.
    fn reap(&self, mut child: Child) -> String {
        let pid = Pid::from_child(&child);
        while let Err(error) = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            if error != rustix::io::Errno::INTR {
                break;
            }
        }
        let mut state = self.lock();
        state.pid = None;
        child.wait().map_or_else(|error| error.to_string(), |status| status.to_string())
    }
}

/// What the owner gets once the server accepts connections.
pub(crate) struct Running {
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) installation: Installation,
    pub(crate) layout: Layout,
    pub(crate) database: String,
}

/// Everything that is settled before the first spawn.
struct Prepared {
    config: Config,
    account: Account,
    layout: Layout,
    installation: Installation,
    /// Held as long as the server is ours.
    _lock: File,
}

/// The thread's body: returns when the server has been stopped or could not be started.
pub(crate) fn run(config: Config, started: oneshot::Sender<Result<Running, PostgresError>>) {
    let keeper = Arc::new(Keeper::default());
    let first = Prepared::new(config).and_then(|prepared| {
        let child = prepared.launch(&keeper)?;
        Ok((prepared, child))
    });
    let (prepared, child) = match first {
        Ok(first) => first,
        Err(error) => {
            // Without a receiver nobody is interested in the error.
            drop(started.send(Err(error)));
            return;
        }
    };
    let running = Running {
        keeper: Arc::clone(&keeper),
        installation: prepared.installation.clone(),
        layout: prepared.layout.clone(),
        database: prepared.config.database.clone(),
    };
    if started.send(Ok(running)).is_err() {
        // The caller gave up while the server was starting.
        keeper.stop(StopSignal::Fast);
    }
    keep(&prepared, &keeper, child);
}

fn keep(prepared: &Prepared, keeper: &Keeper, first: Child) {
    let mut child = Some(first);
    let mut backoff = FIRST_BACKOFF;
    loop {
        if let Some(running) = child.take() {
            let since = Instant::now();
            let status = keeper.reap(running);
            if keeper.lock().stopping {
                tracing::info!(%status, "private database stopped");
                return;
            }
            let log = process::log_tail(&prepared.layout);
            tracing::error!(%status, %log, "the private database ended by itself; starting it again");
            if since.elapsed() > QUIET {
                backoff = FIRST_BACKOFF;
            }
        }
        if !keeper.pause(backoff) {
            return;
        }
        backoff = (backoff * 2).min(LONGEST_BACKOFF);
        match prepared.launch(keeper) {
            Ok(running) => {
                tracing::info!(pid = running.id(), "the private database is back");
                child = Some(running);
            }
            Err(error) => tracing::error!(%error, ?backoff, "cannot start the private database again"),
        }
    }
}

impl Prepared {
    fn new(config: Config) -> Result<Self, PostgresError> {
        let account = Account::choose(config.run_as.as_deref())?;
        let layout = Layout::prepare(&config.data_dir, &account)?;
        let lock = lock(&layout)?;
        let installation = cluster::ensure(&layout, &account, config.bin_dir.as_deref(), config.durability)?;
        settings::write(&layout, &account, &config)?;
        settings::include(&layout, &account)?;
        Ok(Self { config, account, layout, installation, _lock: lock })
    }

    /// Starts the server and waits until it accepts connections.
    fn launch(&self, keeper: &Keeper) -> Result<Child, PostgresError> {
        process::clear_leftovers(&self.layout)?;
        let mut child = {
            // Spawned under the lock: a stop either comes before and wins, or finds the process id.
            let mut state = keeper.lock();
            if state.stopping {
                return Err(self.failed("it was told to stop".to_owned()));
            }
            let child = process::spawn(&self.installation, &self.layout, &self.account)?;
            state.pid = Some(Pid::from_child(&child));
            child
        };
        let pid = child.id();
        let mut ended = false;
        let ready = process::wait_until(self.config.start_timeout, || {
            let pid = Pid::from_child(&child);
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
            ended = !matches!(waitid(WaitId::Pid(pid), options), Ok(None));
            ended || process::ready(&self.layout, child.id())
        });
        if ready && !ended {
            return Ok(child);
        }
        if !ended && let Err(error) = child.kill() {
            tracing::warn!(%error, pid, "cannot end a server that does not get ready");
        }
        let status = keeper.reap(child);
        let reason = if ended {
            format!("it ended at once ({status})")
        } else {
            format!("it was not ready after {} s", self.config.start_timeout.as_secs())
        };
        Err(self.failed(reason))
    }

    fn failed(&self, reason: String) -> PostgresError {
        let log_file = self.layout.log_file.clone();
        PostgresError::StartFailed { reason, log_file, log_tail: process::log_tail(&self.layout) }
    }
}

fn lock(layout: &Layout) -> Result<File, PostgresError> {
    let path = &layout.lock_file;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .custom_flags(process::NO_LINK)
        .open(path)
        .file("open", path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(PostgresError::InUse(layout.home.clone())),
        Err(std::fs::TryLockError::Error(source)) => Err(source).file("lock", path),
    }
}
