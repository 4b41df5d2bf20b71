//! [`Pm2App`]: one application with every setting of pm2, after all of pm2's rules and defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

use serde_json::Value;

/// One application as pm2 would run it. Where Muster does otherwise, [`crate::differences`] says so.
#[derive(Debug, Clone, PartialEq)]
pub struct Pm2App {
    /// Default: the script's file name without its last extension. With `append_env_to_name` and `--env`, that name
    /// stands behind it.
    pub name: String,
    /// `default` unless given. A selector, no more; not part of the name.
    pub namespace: String,
    /// Understood in files, but without effect there: pm2 only uses its command-line option.
    pub name_prefix: Option<String>,
    /// `name-<env>` with `--env`. Off by default. Ours: an application has one name in all environments.
    pub append_env_to_name: bool,
    /// As written; `bash` when it was a command line with blanks.
    pub script: String,
    /// The script's absolute path: within `cwd`, else from PATH; where it would be when it is in neither.
    pub script_path: PathBuf,
    /// Whether the script exists on this machine. pm2 refuses to start the application otherwise.
    pub script_found: bool,
    /// A command line with blanks, which pm2 gives to `bash -c` (`sh -c` without bash).
    pub command_line: Option<String>,
    /// Working directory, absolute; default: the caller's. Ours: the release, by its own path and never through a link.
    pub cwd: PathBuf,
    /// Arguments of the script. Text is split at blanks outside quotes.
    pub args: Vec<String>,
    /// Arguments of the interpreter.
    pub node_args: Vec<String>,
    /// What runs the script; by extension when not given.
    pub interpreter: Interpreter,
    /// See [`crate::exec_mode`].
    pub exec_mode: ExecMode,
    /// See [`crate::instance_count`].
    pub instances: Instances,
    /// The variable with an instance's number, also in fork mode: the lowest free one among those of the name.
    /// `NODE_APP_INSTANCE`; `PM2_PROCESS_INSTANCE_VAR` of the daemon overrides it.
    pub instance_var: String,
    /// A variable that counts upwards from its value in `env` (or 0); holes are never filled.
    pub increment_var: Option<String>,
    /// Becomes the variable `PORT`, over what `env` says, under what `env_<name>` says.
    pub port: Option<u16>,
    /// The variables of `env`, with the section that `--env` chose over them. Not those of the caller's shell, which pm2
    /// puts beneath (see [`crate::inherited_env`]); ours never does.
    pub env: Variables,
    /// What `--env` said.
    pub chosen_env: Option<String>,
    /// The sections `env_<name>`, by name.
    pub environments: BTreeMap<String, Variables>,
    /// What of the caller's environment is kept away. Off by default.
    pub filter_env: FilterEnv,
    /// Variables that came from the shell that started pm2 and were left out; only known from a dump.
    pub shell_variables: Vec<String>,
    /// `false`: registered as stopped. Default `true`.
    pub autostart: bool,
    /// `false`: any exit means stopped. Default `true`.
    pub autorestart: bool,
    /// Exit codes that mean stopped; death by a signal counts as code 0. None by default.
    pub stop_exit_codes: Vec<i32>,
    /// An exit before this age is unstable; 1000, at least 100. pm2 only counts while the application is also younger than
    /// `min_uptime × max_restarts`, so that a slow loop goes on for ever; ours counts in a sliding window.
    pub min_uptime_ms: u64,
    /// So many unstable exits end in `errored`; 16. It counts launches: 3 means two restarts.
    pub max_restarts: u32,
    /// Wait before each automatic restart; 0.
    pub restart_delay_ms: u64,
    /// First wait of a growing one: ×1.5 each, at most 15 s, back to 0 after 30 s of uptime. Wins over `restart_delay`.
    pub exp_backoff_restart_delay_ms: Option<u64>,
    /// Reloaded when its memory is above this at the look that pm2 takes every 30 s. Ours: a limit of the kernel.
    pub max_memory_restart_bytes: Option<u64>,
    /// Restarted by this cron pattern (croner, 5 or 6 fields), even when it was stopped. Ours leaves a stopped one alone.
    pub cron_restart: Option<String>,
    /// Online only after `process.send('ready')`, or after `listen_timeout`. Ours: never ready is a failure.
    pub wait_ready: bool,
    /// How long to wait for `ready` or for `listen`; 3000, or `PM2_GRACEFUL_LISTEN_TIMEOUT`.
    pub listen_timeout_ms: u64,
    /// From the stop signal to SIGKILL; 1600, or `PM2_KILL_TIMEOUT`.
    pub kill_timeout_ms: u64,
    /// How often pm2 looks whether the processes are gone; 100. Ours is told by the kernel.
    pub kill_retry_time_ms: u64,
    /// SIGINT, or `PM2_KILL_SIGNAL`. Sent to the deepest child first.
    pub kill_signal: String,
    /// `true`: the whole tree of processes is ended, `false`: the main one only. Default `true`.
    pub treekill: bool,
    /// `process.send('shutdown')` instead of the signal; also with `PM2_KILL_USE_MESSAGE`. pm2 forgets it on reload.
    pub shutdown_with_message: bool,
    /// `false`: `-<pm_id>` stands before `.log`. See [`crate::merge_logs_default`].
    pub merge_logs: bool,
    /// Standard output; default `$PM2_HOME/logs/<name>-out.log`.
    pub out_file: LogFile,
    /// Standard error; default `$PM2_HOME/logs/<name>-error.log`.
    pub error_file: LogFile,
    /// Both, in addition; default none, `true` means `$PM2_HOME/logs/<name>.log`.
    pub log_file: LogFile,
    /// Nothing is stored, nothing is shown. Off by default.
    pub disable_logs: bool,
    /// Raw by default.
    pub log_type: LogType,
    /// Format of dayjs for the time before each line; `time: true` sets `YYYY-MM-DDTHH:mm:ss`; `PM2_LOG_DATE_FORMAT`.
    pub log_date_format: Option<String>,
    /// `time: true` was given.
    pub time: bool,
    /// `$PM2_HOME/pids/<name>.pid`, with `-<pm_id>` before the extension.
    pub pid_file: PathBuf,
    /// Account, by name or number; default: the daemon's. pm2 must be root then.
    pub uid: Option<String>,
    /// Group, by name or number; default: the account's.
    pub gid: Option<String>,
    /// Restart all instances when a file changes. Off by default.
    pub watch: Watch,
    /// Patterns that replace pm2's own (hidden files and node_modules).
    pub ignore_watch: Option<Vec<String>>,
    /// Wait after a change; 0.
    pub watch_delay_ms: u64,
    /// Options of chokidar.
    pub watch_options: Option<Value>,
    /// `process.setSourceMapsEnabled(true)` in every application, unless `disable_source_map_support`.
    pub source_map_support: bool,
    /// Start although the same script with the same name runs. Off by default.
    pub force: bool,
    /// Metadata of git; on, but only works with `PM2_ENABLE_GIT_PARSING=true`.
    pub vizion: bool,
    /// The agent inside of the process, for actions and metrics; on, off with `automation: false`.
    pub pmx: bool,
    /// Default `true`; `false` switches `pmx` off.
    pub automation: bool,
    /// Switches of the hosted service that are on, by name: `trace`, `v8`, `event_loop_inspector`, `deep_monitoring`, `io`.
    pub monitoring: Vec<&'static str>,
    /// Commands after `pm2 pull`.
    pub post_update: Vec<String>,
    /// Of pm2's modules.
    pub install_url: Option<String>,
    /// Write the options of the command line to `<name>-pm2.json`.
    pub write: bool,
    /// Informational; pm2 overwrites it with the caller's.
    pub username: Option<String>,
    /// For Windows only.
    pub windows_hide: bool,
    /// The application was stopped when the dump was written.
    pub stopped: bool,
    /// The version of Node.js that ran it; only known from a dump.
    pub node_version: Option<String>,
    /// Which fields the file itself gives, under pm2's names.
    pub given: BTreeSet<&'static str>,
}

impl Pm2App {
    /// The environment of the process, without the caller's: [`Self::env`] and what pm2 adds for the interpreter.
    pub fn own_env(&self) -> Variables {
        let mut env = self.env.clone();
        if self.interpreter.name().contains("python") {
            env.insert("PYTHONUNBUFFERED".to_owned(), "1".to_owned());
        }
        env
    }

    /// Whether the file gives a field, under pm2's name for it.
    pub fn gives(&self, field: &str) -> bool {
        self.given.contains(field)
    }
}

/// What runs a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interpreter {
    /// The file itself is executed (`none`).
    None,
    /// Node.js: the daemon's own, or `node` from PATH.
    Node,
    /// `node@x.y.z`, which pm2 installs with nvm. Refused in cluster mode.
    NodeVersion(String),
    /// Another program, by name or path.
    Program(String),
}

impl Interpreter {
    /// As pm2 shows it.
    pub fn name(&self) -> &str {
        match self {
            Self::None => "none",
            Self::Node | Self::NodeVersion(_) => "node",
            Self::Program(program) => program,
        }
    }

    /// Whether it is Node.js, by whatever path.
    pub fn nodejs(&self) -> bool {
        match self {
            Self::None => false,
            Self::Node | Self::NodeVersion(_) => true,
            Self::Program(program) => program.rsplit('/').next() == Some("node"),
        }
    }
}

/// How instances run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecMode {
    /// Workers of Node's `cluster`, in pm2's daemon.
    Cluster,
    /// Processes of their own.
    Fork,
}

/// How many instances were asked for, and how many that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instances {
    /// As written.
    pub given: InstancesGiven,
    /// On a machine with as many processors as [`crate::Surroundings`] says; from a dump, how many there were.
    pub count: u32,
}

impl Instances {
    /// Whether there can be more than one, on whatever machine.
    pub(crate) fn several(self) -> bool {
        !matches!(self.given, InstancesGiven::Absent | InstancesGiven::Count(0 | 1))
    }
}

/// `instances` as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstancesGiven {
    /// Not at all: one.
    Absent,
    /// `max`, 0.
    Max,
    /// So many.
    Count(u32),
    /// So many fewer than processors, but at least one.
    AllBut(u32),
}

/// What of the caller's environment does not reach the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterEnv {
    /// Everything reaches it.
    Off,
    /// Documented as "nothing reaches it"; pm2 7.0.3 does nothing. Ours: as documented.
    All,
    /// The variable of exactly this name.
    Exact(String),
    /// Variables whose names contain one of these.
    Containing(Vec<String>),
}

/// Where a stream goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFile {
    /// Nowhere: `NULL`, `/dev/null`, or no combined log.
    None,
    /// To this file, in append mode; its folder is made.
    Path(PathBuf),
}

/// How lines are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogType {
    /// As they come.
    Raw,
    /// `{message, timestamp, type, process_id, app_name}`.
    Json,
    /// Something that pm2 does not know and treats as raw.
    Other(String),
}

/// What is watched for changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watch {
    /// Nothing.
    Off,
    /// The working directory.
    Cwd,
    /// These paths.
    Paths(Vec<String>),
}

/// Environment variables. `Debug` shows names, never values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Variables(pub BTreeMap<String, String>);

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.keys().map(|name| (name, "***"))).finish()
    }
}

impl Deref for Variables {
    type Target = BTreeMap<String, String>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Variables {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl FromIterator<(String, String)> for Variables {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}
