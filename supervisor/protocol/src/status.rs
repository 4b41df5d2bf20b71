//! What the supervisor tells about the processes it holds.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One application and its instances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppStatus {
    /// Application name.
    pub name: String,
    /// Group of applications.
    #[serde(default)]
    pub namespace: String,
    /// Version of the release that is meant to run.
    pub release: String,
    /// Id of that release.
    pub release_id: String,
    /// Digest of the spec that is in force: the one of the last apply that succeeded.
    pub spec_digest: String,
    /// Cluster or fork.
    pub exec_mode: crate::ExecMode,
    /// What was asked for last.
    pub desired: DesiredRun,
    /// A replacement is going on.
    pub replacing: bool,
    /// Known from the saved list of an earlier run, but not started: the environment is not kept on disk, so the
    /// agent has to apply the application again.
    #[serde(default)]
    pub awaiting_apply: bool,
    /// Addresses the supervisor holds for the application, such as `tcp 0.0.0.0:3000`.
    #[serde(default)]
    pub listening: Vec<String>,
    /// When `cron_restart` is due next.
    #[serde(default)]
    pub next_cron_restart: Option<DateTime<Utc>>,
    /// Files are watched.
    #[serde(default)]
    pub watching: bool,
    /// Why files are not watched although the spec asks for it, or not all of them.
    #[serde(default)]
    pub watch_failure: Option<String>,
    /// Why the last apply failed, while no later one succeeded.
    #[serde(default)]
    pub last_failure: Option<String>,
    /// Instances ordered by index; during a replacement an index can appear twice (old and new).
    pub instances: Vec<InstanceStatus>,
}

impl AppStatus {
    /// Every instance that should run is ready, and nothing is in between.
    #[must_use]
    pub fn settled(&self) -> bool {
        !self.replacing
            && !self.awaiting_apply
            && self.desired == DesiredRun::Running
            && !self.instances.is_empty()
            && self.instances.iter().all(|instance| instance.ready)
    }
}

/// Whether people want the application to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DesiredRun {
    /// It should run.
    Running,
    /// It was stopped on purpose and stays so until it is started or a new spec is applied.
    Stopped,
}

/// One process, or the place where it should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// Number unique under this supervisor, the `pm_id` of pm2: counts upwards, and from 0 again when nothing is left.
    #[serde(default)]
    pub id: u32,
    /// Number of the instance, from 0: what the application sees in `NODE_APP_INSTANCE`.
    pub index: u32,
    /// Place of the instance among the listening sockets. Equal to `index` today.
    pub slot: u32,
    /// Release this process was started from.
    pub release: String,
    /// Process id while there is a process.
    pub pid: Option<u32>,
    /// State of the instance.
    pub state: InstanceState,
    /// It may be sent work.
    pub ready: bool,
    /// Automatic restarts since the instance was created.
    pub restarts: u32,
    /// Exits before `min_uptime_ms` that still count towards a crash loop.
    pub unstable_restarts: u32,
    /// When the instance was created, or someone last restarted or reset it.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    /// When the current (or last) process was started.
    pub started_at: Option<DateTime<Utc>>,
    /// For how long the current process has run.
    pub uptime_ms: u64,
    /// Share of one CPU since the last look, 100 = one full core.
    pub cpu_percent: f32,
    /// Resident memory.
    pub memory_bytes: u64,
    /// How the last process of this instance ended.
    pub last_exit: Option<LastExit>,
    /// Log lines that were dropped because the disk was full or too slow, since the instance was created.
    #[serde(default)]
    pub dropped_log_lines: u64,
    /// What enforces the limits of the spec, such as `systemd scope` or `rlimits and polling`.
    #[serde(default)]
    pub limits_by: Option<String>,
    /// Metrics the process reported (`axm:monitor`), by name.
    #[serde(default)]
    pub metrics: BTreeMap<String, Value>,
    /// Actions the process announced (`axm:action`).
    #[serde(default)]
    pub actions: Vec<Value>,
}

/// State of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// Not running, on purpose or because it ended and must not be restarted.
    Stopped,
    /// Started, not ready yet.
    Starting,
    /// Ready.
    Ready,
    /// Ended; waiting to be started again.
    BackingOff,
    /// Ended too often in too short a time; stays down until someone acts.
    CrashLooping,
    /// Asked to end.
    Stopping,
}

impl InstanceState {
    /// The word people see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::BackingOff => "backing_off",
            Self::CrashLooping => "crash_looping",
            Self::Stopping => "stopping",
        }
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastExit {
    /// Exit code, when it ended by itself.
    pub code: Option<i32>,
    /// Signal, when one ended it.
    pub signal: Option<String>,
    /// In words, such as `exited with code 1 after 50 ms`.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
    /// The kernel ended it because its memory limit (or the machine's memory) was exhausted.
    #[serde(default)]
    pub out_of_memory: bool,
    /// How long the process had run.
    #[serde(default)]
    pub uptime_ms: u64,
    /// The last lines it wrote to stderr.
    #[serde(default)]
    pub last_stderr: Vec<String>,
}

/// Which output of a process a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogStreamName {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// One line an application wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When the supervisor read it.
    pub at: DateTime<Utc>,
    /// Application name.
    pub app: String,
    /// Instance number.
    pub instance: u32,
    /// Standard output or standard error.
    pub stream: LogStreamName,
    /// The line without its end; invalid UTF-8 is replaced. Longer than 16 KiB: split, with a marker at the end of each part.
    pub line: String,
}

/// Something that happened to a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessEvent {
    /// When.
    pub at: DateTime<Utc>,
    /// Application name.
    pub app: String,
    /// Instance number; absent when the event is about the whole application.
    pub instance: Option<u32>,
    /// Release the process belongs to.
    #[serde(default)]
    pub release: String,
    /// What happened.
    pub kind: ProcessEventKind,
    /// In words.
    pub reason: String,
    /// With [`ProcessEventKind::Exited`]: how the process ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<LastExit>,
}

/// Kinds of [`ProcessEvent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessEventKind {
    /// A process was started.
    Started,
    /// It became ready.
    Ready,
    /// It ended.
    Exited,
    /// It is being started again.
    Restarting,
    /// It waits before it is started again.
    BackingOff,
    /// It ended too often and stays down.
    CrashLooping,
    /// It was asked to end.
    Stopping,
    /// It was stopped.
    Stopped,
    /// It is reloaded because its memory is above `max_memory_restart`.
    MemoryRestart,
    /// It is restarted because `cron_restart` is due.
    CronRestart,
    /// It is restarted because a watched file changed.
    WatchRestart,
    /// All instances of the application now run a new spec.
    Replaced,
    /// A new spec was given up; what ran before was kept or restored.
    ReplaceFailed,
    /// The application was removed.
    Deleted,
    /// The watcher was too slow and missed events; look at the list again.
    Missed,
    /// A kind this version does not know.
    #[serde(other)]
    Unknown,
}
