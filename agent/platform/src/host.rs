//! What the agent asks of a host. Every call is bounded and blocking: async callers use a blocking thread.

mod downloads;
mod packages;
mod reboot;

pub use downloads::{Download, DownloadHost};
pub use packages::{
    AptOutcome, LockHolder, PackageChange, PackageHost, PackageMark, PackageRecord, PackageStates,
    PackageStatus, SimilarPackages, Simulation,
};
pub use reboot::{LocalTime, RebootHost};
mod accounts;
mod services;
mod system;

pub use accounts::{AccountHost, Accounts, GroupEntry, KeyFile, NewGroup, NewUser, UserChange, UserEntry};
pub use services::{ServiceHost, UnitState, UnitVerb};
pub use system::{ShellCommand, ShellOutcome, SystemHost, sysctl_path};

use chrono::{DateTime, Utc};
use muster_domain::{Digest, metrics::NodeMetrics, node::HostFacts};
use std::path::{Path, PathBuf};

mod sshd;
mod timers;
mod trial;

pub(crate) use sshd::parse as parse_sshd;
pub use sshd::{SshdHost, SshdValues};
pub use timers::TimerHost;
pub use trial::{TrialHost, TrialNetwork};

/// A host that resources are observed and applied on. Paths are absolute and mean the managed system: in rootless mode
/// they lie below a folder of their own.
pub trait Host:
    AccountHost
    + DownloadHost
    + PackageHost
    + RebootHost
    + ServiceHost
    + SshdHost
    + SystemHost
    + TimerHost
    + TrialHost
    + Send
    + Sync
    + 'static
{
    /// Where a managed path really lies, for whoever watches it; `None` on a host whose files cannot be watched.
    fn real_path(&self, path: &Path) -> Option<PathBuf>;

    /// What is at a path itself, links not followed; `None` when there is nothing.
    fn stat(&self, path: &Path) -> Result<Option<FileStat>, HostError>;
    /// The digest of a regular file; `None` when it has more than `max_bytes`. Whoever owns its folder may have put a
    /// file there that takes a day to read.
    fn digest(&self, path: &Path, max_bytes: u64) -> Result<Option<Digest>, HostError>;
    /// The content of a regular file of at most `max_bytes`.
    fn read(&self, path: &Path, max_bytes: u64) -> Result<Vec<u8>, HostError>;
    /// Puts a regular file into place: complete and durable, or not at all. Replaces a file or a link, never a folder.
    fn write(&self, file: &WriteFile<'_>) -> Result<(), HostError>;
    /// Creates one folder.
    fn make_directory(&self, path: &Path, mode: u32, ownership: Ownership) -> Result<(), HostError>;
    /// Sets mode and ownership of a file or folder.
    fn set_attributes(&self, path: &Path, mode: u32, ownership: Ownership) -> Result<(), HostError>;
    /// Puts a symbolic link into place, atomically. Replaces a file or a link, never a folder.
    fn make_symlink(&self, path: &Path, target: &str) -> Result<(), HostError>;
    /// Removes a file, a link or an empty folder. Nothing there is fine.
    fn remove(&self, path: &Path) -> Result<(), HostError>;

    /// A user by name; `None` when there is none.
    fn user(&self, name: &str) -> Result<Option<Account>, HostError>;
    /// The id of a group by name; `None` when there is none.
    fn group(&self, name: &str) -> Result<Option<u32>, HostError>;
    /// Who the agent runs as.
    fn own_account(&self) -> Account;
    /// Whether it may give files and processes to other users.
    fn privileged(&self) -> bool;

    /// The Node.js runtimes that are installed: on the search path, in well-known folders, and below `side_by_side`.
    fn node_runtimes(&self, side_by_side: &Path) -> Vec<NodeRuntime>;
    /// The absolute path of a program on the search path.
    fn find_program(&self, name: &str) -> Option<PathBuf>;
    /// Runs a program to its end, or kills it and what it started when its time is up.
    fn run(&self, command: &CommandLine) -> Result<CommandOutput, HostError>;

    /// What the host is.
    fn facts(&self, agent_version: &str) -> HostFacts;
    /// How it is doing, with rates since the last call.
    fn metrics(&self, now: DateTime<Utc>) -> NodeMetrics;
    /// Space on the file system that holds a real path (not one of the managed system).
    fn disk_space(&self, path: &Path) -> Result<DiskSpace, HostError>;
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStat {
    /// Its kind.
    pub kind: FileKind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length of a file.
    pub size_bytes: u64,
}

/// Kinds of things at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Directory,
    /// A symbolic link.
    Symlink {
        /// What it points to, verbatim.
        target: String,
    },
    /// A device, a socket, a pipe.
    Other,
}

/// What is kept of each output of a program: enough for a list of versions or a page of errors.
pub const MAX_OUTPUT_BYTES: usize = 256 * 1024;

/// Owner and group to set; absent means "leave as it is".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ownership {
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
}

/// A regular file to be put into place.
#[derive(Clone, Copy)]
pub struct WriteFile<'a> {
    /// Where.
    pub path: &'a Path,
    /// Its content.
    pub content: &'a [u8],
    /// Permission bits.
    pub mode: u32,
    /// Owner and group. Absent: those of the file that it replaces where only the agent's own user can write to the folder,
    /// else the agent's own, because anybody may have put that file there.
    pub ownership: Ownership,
}

/// A user of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
}

/// An installed Node.js.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRuntime {
    /// Its version without a leading `v`: `22.11.0`.
    pub version: String,
    /// The executable.
    pub path: PathBuf,
}

/// A program to run.
#[derive(Debug, Clone, Default)]
pub struct CommandLine {
    /// Name or path of the program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Added to the environment of the agent.
    pub env: Vec<(String, String)>,
    /// Where to run it; the agent's own folder when absent.
    pub cwd: Option<PathBuf>,
    /// When to kill it, in milliseconds.
    pub timeout_ms: u64,
}

/// How a program ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandOutput {
    /// Exit code; absent when a signal ended it.
    pub code: Option<i32>,
    /// The first part of what it wrote, at most [`MAX_OUTPUT_BYTES`].
    pub stdout: Vec<u8>,
    /// The first part of what it complained.
    pub stderr: String,
}

impl CommandOutput {
    /// Whether it ended with 0.
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }
}

/// Space on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// Its size.
    pub total_bytes: u64,
    /// What an ordinary user may still take.
    pub available_bytes: u64,
}

/// Something that the host did not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {action} {subject:?}: {fault}")]
pub struct HostError {
    /// What was tried.
    pub action: &'static str,
    /// With what: a path, a program, a name.
    pub subject: String,
    /// Why it did not work.
    pub fault: Fault,
}

impl HostError {
    /// An error about a path.
    pub fn new(action: &'static str, path: &Path, fault: Fault) -> Self {
        Self { action, subject: path.display().to_string(), fault }
    }
}

/// Why a host did not do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It, or the folder that should hold it, is not there.
    #[error("it does not exist, or the folder that should hold it does not")]
    NotFound,
    /// It may not.
    #[error("permission denied")]
    PermissionDenied,
    /// The file system does not take writes.
    #[error("the file system is read-only")]
    ReadOnly,
    /// No space, no inodes or no quota left.
    #[error("the disk is full")]
    DiskFull,
    /// A folder is in the way.
    #[error("a folder is in its place; move it away, folders are not deleted")]
    IsADirectory,
    /// It is a folder that holds something.
    #[error("the folder is not empty")]
    NotEmpty,
    /// The file system was told that nobody may change it, or replace it, not even root.
    #[error(
        "it, or the folder that holds it, is immutable or only appended to (chattr +i, +a); allow changes with chattr -ia"
    )]
    Immutable,
    /// A part of the path is not a folder.
    #[error("a part of the path is not a folder")]
    NotADirectory,
    /// It is there already.
    #[error("it exists already")]
    AlreadyExists,
    /// It is not what it should be.
    #[error("it is not a regular file")]
    NotAFile,
    /// The path leads through a link that somebody else could turn elsewhere.
    #[error("the path leads through the symbolic link {link:?} of user {owner}, which is not followed")]
    UnsafeLink {
        /// The link.
        link: String,
        /// Its owner.
        owner: u32,
    },
    /// It is known by other names as well, and is in a folder where others than the agent could have given it this one.
    #[error(
        "the file has other names (hard links), and others can write to its folder; put a file of its own in its place"
    )]
    SeveralNames,
    /// It holds more than was allowed for.
    #[error("it is larger than {max_bytes} bytes")]
    TooLarge {
        /// The bound.
        max_bytes: u64,
    },
    /// It took too long and was ended.
    #[error("it did not end within {after_ms} ms and was killed")]
    TimedOut {
        /// The bound.
        after_ms: u64,
    },
    /// Anything else, in the words of the operating system.
    #[error("{0}")]
    Other(String),
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        match error.kind() {
            Kind::NotFound => Self::NotFound,
            Kind::PermissionDenied => Self::PermissionDenied,
            Kind::ReadOnlyFilesystem => Self::ReadOnly,
            Kind::StorageFull | Kind::QuotaExceeded => Self::DiskFull,
            Kind::IsADirectory => Self::IsADirectory,
            Kind::NotADirectory => Self::NotADirectory,
            Kind::AlreadyExists => Self::AlreadyExists,
            Kind::DirectoryNotEmpty => Self::NotEmpty,
            _ => Self::Other(error.to_string()),
        }
    }
}

impl From<rustix::io::Errno> for Fault {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::from(std::io::Error::from(errno))
    }
}
