//! A private PostgreSQL server, started from the server binaries that are installed on the machine.
//!
//! Holds: finding the binaries, `initdb`, the rules of the data directory, starting, watching, restarting and
//! stopping the server. Must not: know tables, speak SQL beyond creating a database, or decide when a controller
//! wants a private server. Start here: [`PrivatePostgres::start`], then `keeper` for the life of the process.
//!
//! What callers can rely on:
//! - The server listens on a unix socket only, below the data directory, and admits only the user that runs the
//!   controller (peer authentication).
//! - One controller per data directory: a lock file is held for as long as the server is ours.
//! - A server that was left behind by a killed controller is stopped cleanly first; a server that is killed is
//!   started again. Connections break when that happens, committed data does not.
//! - When the process that called [`PrivatePostgres::start`] dies, however it dies, the server shuts down.

mod account;
mod binaries;
mod cluster;
mod error;
mod keeper;
mod layout;
mod process;
mod settings;
mod sql;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

pub use binaries::Installation;
pub use error::PostgresError;

use keeper::{Keeper, StopSignal};
use layout::Layout;

/// The role that owns everything in a private server; a superuser, reachable only through the peer map.
pub const ROLE: &str = "muster";

/// How a private server is to be run.
#[derive(Clone, Debug)]
pub struct Config {
    /// The controller's data directory. The server lives in `postgres` below it.
    pub data_dir: PathBuf,
    /// The database that [`PrivatePostgres::url`] names; created when it is missing.
    pub database: String,
    /// Whether a commit survives a power cut.
    pub durability: Durability,
    /// Upper bound of connections. Each costs 5 to 10 MB in the server, so the default is small.
    pub max_connections: u16,
    /// The account the server runs as when the caller is root. Default: `postgres`.
    pub run_as: Option<String>,
    /// A folder with server binaries to prefer to the installed ones.
    pub bin_dir: Option<PathBuf>,
    /// How long a start may take. Replaying the log after a crash counts, so it is generous.
    pub start_timeout: Duration,
}

/// Whether a commit survives a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Every commit reaches the disk. What a controller uses.
    Full,
    /// Nothing is flushed. Only for databases of tests, which nobody misses.
    None,
}

impl Config {
    /// The settings of a controller whose data lies in `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            database: "muster".to_owned(),
            durability: Durability::Full,
            // A controller keeps a pool of about 20 and a listener; operators and backups need a few besides.
            max_connections: 60,
            run_as: None,
            bin_dir: None,
            start_timeout: Duration::from_secs(120),
        }
    }

    /// The settings of a database for tests: no flushing, and room for many pools at once.
    pub fn for_tests(data_dir: impl Into<PathBuf>) -> Self {
        Self { durability: Durability::None, max_connections: 200, ..Self::new(data_dir) }
    }
}

/// A running private server. Dropping it asks the server to stop without waiting; [`Self::stop`] waits.
#[derive(Debug)]
pub struct PrivatePostgres {
    keeper: Arc<Keeper>,
    ended: Option<oneshot::Receiver<()>>,
    installation: Installation,
    layout: Layout,
    database: String,
}

/// How long each way of asking gets before the next, harder one.
const STOP_FAST: Duration = Duration::from_secs(30);
const STOP_IMMEDIATE: Duration = Duration::from_secs(10);
const STOP_KILL: Duration = Duration::from_secs(5);

impl PrivatePostgres {
    /// Makes the cluster when there is none, starts the server, waits until it accepts connections and creates the
    /// configured database.
    pub async fn start(config: Config) -> Result<Self, PostgresError> {
        let (started, on_started) = oneshot::channel();
        let (ended, on_ended) = oneshot::channel::<()>();
        // The kernel ties the parent-death signal to the *thread* that spawned the server, so one thread prepares,
        // spawns and waits, and it lives exactly as long as the server does.
        std::thread::Builder::new()
            .name("postgres-keeper".to_owned())
            .spawn(move || {
                keeper::run(config, started);
                // Dropping the sender is the message.
                drop(ended);
            })
            .map_err(|source| PostgresError::Spawn { program: "a thread".into(), source })?;
        let running = on_started.await.map_err(|_| PostgresError::KeeperGone)??;
        let postgres = Self {
            keeper: running.keeper,
            ended: Some(on_ended),
            installation: running.installation,
            layout: running.layout,
            database: running.database,
        };
        let database = postgres.database.clone();
        postgres.create_database(&database).await?;
        Ok(postgres)
    }

    /// The connection URL of the configured database.
    pub fn url(&self) -> String {
        self.url_of(&self.database)
    }

    /// The connection URL of another database of this server.
    pub fn url_of(&self, database: &str) -> String {
        sql::url(&self.layout.socket_dir, database)
    }

    /// The folder of the server's unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.layout.socket_dir
    }

    /// The server's log file, the first place to look when something is wrong.
    pub fn log_file(&self) -> &Path {
        &self.layout.log_file
    }

    /// The installation the server runs from.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// The process id of the server, or none while it is down between a crash and the restart.
    pub fn pid(&self) -> Option<u32> {
        self.keeper.pid()
    }

    /// Creates a database unless it exists. Answers whether it was created.
    pub async fn create_database(&self, name: &str) -> Result<bool, PostgresError> {
        let client = sql::Client::new(&self.installation, &self.layout.socket_dir);
        let name = name.to_owned();
        blocking(move || client.create_database(&name)).await
    }

    /// Drops a database when it exists, cutting off whoever is connected.
    pub async fn drop_database(&self, name: &str) -> Result<(), PostgresError> {
        let client = sql::Client::new(&self.installation, &self.layout.socket_dir);
        let name = name.to_owned();
        blocking(move || client.drop_database(&name)).await
    }

    /// Stops the server and waits until it is gone: first the fast way (sessions are cut, data is flushed), then
    /// the immediate one (the next start replays the log), at last by force.
    pub async fn stop(mut self) -> Result<(), PostgresError> {
        let Some(mut ended) = self.ended.take() else { return Ok(()) };
        let asks = [
            (StopSignal::Fast, STOP_FAST),
            (StopSignal::Immediate, STOP_IMMEDIATE),
            (StopSignal::Kill, STOP_KILL),
        ];
        for (signal, patience) in asks {
            self.keeper.stop(signal);
            if tokio::time::timeout(patience, &mut ended).await.is_ok() {
                return Ok(());
            }
            tracing::warn!(?signal, ?patience, "private postgres did not stop in time");
        }
        Err(PostgresError::StopTimedOut { pid: self.keeper.pid().unwrap_or_default() })
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        if self.ended.is_some() {
            self.keeper.stop(StopSignal::Fast);
        }
    }
}

/// Looks for an installed server without starting anything; what `doctor` asks.
///
/// With a data folder that holds a cluster, it is the installation of the cluster's version, as at the start.
pub fn find_installation(
    bin_dir: Option<&Path>,
    data_dir: Option<&Path>,
) -> Result<Installation, PostgresError> {
    let cluster = data_dir.map(|dir| dir.join("postgres").join("data"));
    let made = cluster.as_deref().and_then(|data| Some((cluster::major_of(data).ok()?, data)));
    binaries::find(bin_dir, made)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PostgresError> + Send + 'static,
) -> Result<T, PostgresError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| PostgresError::KeeperGone)?
}
