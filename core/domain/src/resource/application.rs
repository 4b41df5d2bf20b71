//! Applications as a node is told to run them: every setting decided, nothing left to defaults of the agent.

use crate::{ApplicationName, Digest, ReleaseId, ReleaseVersion};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// How a process shows that it can take traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Readiness {
    /// It listens on a socket of the supervisor (Node.js cluster mode).
    Listening,
    /// It calls `process.send('ready')`.
    ReadyMessage,
    /// A GET answers with a status from 200 to 399.
    Http {
        /// Path and query.
        path: String,
    },
    /// A TCP connection to its port succeeds.
    Tcp,
    /// It stayed up for `min_uptime_ms`; for workers that listen on nothing.
    Started,
}

/// How the processes of an application are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecMode {
    /// Instances share listening sockets that the supervisor holds.
    Cluster,
    /// Each instance opens its own.
    Fork,
}

/// A release of an application on this node, and its processes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// The application.
    pub name: ApplicationName,
    /// The release that should run.
    pub release_id: ReleaseId,
    /// Its version, for people.
    pub release_version: ReleaseVersion,
    /// The digest of its manifest: what is fetched and verified.
    pub artifact_digest: Digest,
    /// The range of Node.js versions that it runs on; empty when it needs none.
    pub nodejs_range: String,
    /// The entry point, relative to the release; a command line for [`Interpreter::Shell`].
    pub script: String,
    /// Arguments for the script.
    pub args: Vec<String>,
    /// Arguments for the interpreter itself.
    pub node_args: Vec<String>,
    /// How many instances; 0 means one per processor of the node.
    pub instances: u32,
    /// Cluster or fork.
    pub exec_mode: ExecMode,
    /// Set as `PORT` for the process.
    pub port: Option<u16>,
    /// The environment of the process, secrets included.
    pub env: BTreeMap<String, String>,
    /// The names of those variables whose values are secrets.
    #[serde(default)]
    pub secrets: BTreeSet<String>,
    /// When an instance counts as ready.
    pub readiness: Readiness,
    /// How long an instance may take to become ready, in milliseconds.
    pub listen_timeout_ms: u32,
    /// How long an instance may take to end when asked, in milliseconds.
    pub kill_timeout_ms: u32,
    /// Unstable exits until the supervisor gives up.
    pub max_restarts: u32,
    /// An exit before this age is unstable, in milliseconds.
    pub min_uptime_ms: u32,
    /// Pause before an automatic restart, in milliseconds.
    pub restart_delay_ms: u32,
    /// The account that runs it, by name or number; absent means the agent's own.
    pub user: Option<String>,
    /// Everything else that pm2's users know.
    #[serde(default)]
    pub process: ProcessSettings,
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application")
            .field("name", &self.name)
            .field("release_version", &self.release_version)
            .field("artifact_digest", &self.artifact_digest)
            .field("script", &self.script)
            .field("instances", &self.instances)
            .field("exec_mode", &self.exec_mode)
            .field("port", &self.port)
            .field("env_keys", &self.env.keys().collect::<Vec<_>>())
            .field("process", &self.process)
            .finish_non_exhaustive()
    }
}

/// What runs a script.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpreter {
    /// Node.js, of the version that the range of the application chooses.
    #[default]
    Nodejs,
    /// Nothing: the file is executed itself.
    Itself,
    /// A shell: the script is a command line.
    Shell,
    /// A program of the node by name or absolute path, or one of the release by its path there.
    Program(String),
}

/// The settings of an application's processes beyond the first ones. `default()` is what holds when nobody says anything,
/// and that is pm2's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessSettings {
    /// What runs the script.
    pub interpreter: Interpreter,
    /// A group of applications, to choose them by.
    pub namespace: String,
    /// The group that it runs with, by name or number; absent means the account's.
    pub group: Option<String>,
    /// The variable that tells an instance its number.
    pub instance_var: String,
    /// A variable that counts upwards over the instances.
    pub increment_var: Option<String>,
    /// Addresses that the supervisor listens on for fork mode.
    pub listen_fds: Vec<String>,
    /// Start when it is applied for the first time.
    pub autostart: bool,
    /// Start again what ended by itself.
    pub autorestart: bool,
    /// Exit codes after which an instance stays stopped.
    pub stop_exit_codes: Vec<u8>,
    /// First pause of a growing one, in milliseconds; 0 = off.
    pub exp_backoff_restart_delay_ms: u32,
    /// When all instances are restarted: a cron pattern.
    pub cron_restart: Option<String>,
    /// Reload an instance whose resident memory is above this.
    pub max_memory_restart_bytes: Option<u64>,
    /// The signal that asks an instance to end.
    pub kill_signal: String,
    /// Ask everything that an instance started.
    pub treekill: bool,
    /// Ask by a message instead.
    pub shutdown_with_message: bool,
    /// Node.js maps stack traces to sources.
    pub source_map_support: bool,
    /// What is watched for changes.
    pub watch: Option<Watch>,
    /// What the kernel does not let an instance exceed.
    pub limits: Limits,
    /// File of the process id.
    pub pid_file: Option<String>,
    /// Where output goes.
    pub logs: Logs,
}

impl Default for ProcessSettings {
    fn default() -> Self {
        Self {
            interpreter: Interpreter::Nodejs,
            namespace: "default".to_owned(),
            group: None,
            instance_var: "NODE_APP_INSTANCE".to_owned(),
            increment_var: None,
            listen_fds: Vec::new(),
            autostart: true,
            autorestart: true,
            stop_exit_codes: Vec::new(),
            exp_backoff_restart_delay_ms: 0,
            cron_restart: None,
            max_memory_restart_bytes: None,
            kill_signal: "SIGINT".to_owned(),
            treekill: true,
            shutdown_with_message: false,
            source_map_support: true,
            watch: None,
            limits: Limits::default(),
            pid_file: None,
            logs: Logs::default(),
        }
    }
}

/// What is watched for changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Files and folders, absolute or relative to the release; the release itself when empty.
    pub paths: Vec<String>,
    /// Patterns of what is passed over; absent means hidden files and `node_modules`.
    pub ignore: Option<Vec<String>>,
    /// Changes that follow one another within this time cause one restart, in milliseconds.
    pub delay_ms: u32,
}

/// What the kernel does not let an instance exceed. Absent means no limit of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory.
    pub memory_bytes: Option<u64>,
    /// Processor time, 100 = one processor.
    pub cpu_percent: Option<u32>,
    /// Processes and threads.
    pub pids: Option<u32>,
    /// Open descriptors of one process.
    pub open_files: Option<u32>,
}

/// Where output goes, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    /// Standard output.
    pub out_file: LogFile,
    /// Standard error.
    pub error_file: LogFile,
    /// Both, in addition.
    pub log_file: CombinedLog,
    /// All instances write to the named files.
    pub merge: bool,
    /// Nothing is stored.
    pub disabled: bool,
    /// A JSON object per line.
    pub json: bool,
    /// Format of the time before each line, in the language of dayjs.
    pub date_format: Option<String>,
    /// When files are rotated.
    pub rotation: LogRotation,
}

/// Where one stream goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFile {
    /// To the application's own logs.
    #[default]
    Own,
    /// Nowhere.
    Nowhere,
    /// To this file.
    Path(String),
}

/// Where both streams go, in addition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CombinedLog {
    /// There is no such file.
    #[default]
    None,
    /// Beside the application's own logs.
    Own,
    /// To this file.
    Path(String),
}

/// When log files are rotated. What is absent is up to the supervisor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRotation {
    /// Size of a file.
    pub max_bytes: Option<u64>,
    /// How many rotated files are kept.
    pub keep: Option<u32>,
    /// Also at these times: a cron pattern.
    pub schedule: Option<String>,
    /// Rotated files are compressed.
    pub compress: bool,
    /// What stays free on the disk.
    pub min_free_bytes: Option<u64>,
}
