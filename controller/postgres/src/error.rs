//! What can go wrong with a private server, in words an operator can act on.

use std::path::PathBuf;

/// Why a private server could not be started, used or stopped.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// No server binaries at all.
    #[error(
        "no PostgreSQL server (version {oldest} or newer) is installed; install one with `apt install postgresql`, \
         or give the controller a --database-url (looked in {})", looked_in.join(", ")
    )]
    NotInstalled {
        /// The oldest major version that would do.
        oldest: u32,
        /// The places that were searched.
        looked_in: Vec<String>,
    },
    /// The cluster was made by another major version than any that is installed.
    #[error(
        "the database in {} was made by PostgreSQL {cluster}, but installed is {}; \
         install it with `apt install postgresql-{cluster}`, or move the data with pg_upgrade",
        data.display(), installed.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
    )]
    OtherMajor {
        /// The cluster's folder.
        data: PathBuf,
        /// The major version that made it.
        cluster: u32,
        /// The major versions at hand.
        installed: Vec<u32>,
    },
    /// Another process keeps a server in this data directory.
    #[error("the private database in {} is in use by another running controller", .0.display())]
    InUse(PathBuf),
    /// Root has no account to run the server as.
    #[error(
        "PostgreSQL refuses to run as root and there is no account `{0}` to run it as; \
         make one with `adduser --system --group {0}`"
    )]
    NoAccount(String),
    /// The account of the server cannot reach its folder.
    #[error(
        "the account `{account}` cannot enter {}, so PostgreSQL cannot run below it; \
         allow it with `chmod o+x {}`, or choose another data directory", dir.display(), dir.display()
    )]
    Unreachable {
        /// The account the server runs as.
        account: String,
        /// The folder that stops it.
        dir: PathBuf,
    },
    /// A folder that must be ours belongs to someone else.
    #[error("{} exists and belongs to another account; remove it or choose another data directory", .0.display())]
    ForeignDirectory(PathBuf),
    /// The cluster folder is there but it is no cluster.
    #[error("{} is no PostgreSQL cluster: {reason}", data.display())]
    NoCluster {
        /// The folder.
        data: PathBuf,
        /// What is missing or wrong.
        reason: String,
    },
    /// The server ended or did not get ready.
    #[error("PostgreSQL did not start: {reason}; the end of {} says: {log_tail}", log_file.display())]
    StartFailed {
        /// What was seen.
        reason: String,
        /// Where the whole log is.
        log_file: PathBuf,
        /// Its last lines.
        log_tail: String,
    },
    /// A server of a former controller would not go.
    #[error("a PostgreSQL server of a former controller (process {pid}) does not stop")]
    StopTimedOut {
        /// The process that stays.
        pid: u32,
    },
    /// A tool of the installation failed.
    #[error("`{program}` failed: {detail}")]
    Tool {
        /// Which one.
        program: String,
        /// What it said.
        detail: String,
    },
    /// A program could not be started.
    #[error("cannot start {program}")]
    Spawn {
        /// Which one.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The thread that keeps the server ended without a word.
    #[error("the thread that keeps the private database is gone")]
    KeeperGone,
}

/// Adds what was tried, and on which path, to an I/O error.
pub(crate) trait FileContext<T> {
    fn file(self, action: &'static str, path: &std::path::Path) -> Result<T, PostgresError>;
}

impl<T> FileContext<T> for std::io::Result<T> {
    fn file(self, action: &'static str, path: &std::path::Path) -> Result<T, PostgresError> {
        self.map_err(|source| PostgresError::File { action, path: path.to_owned(), source })
    }
}
