//! An application: what runs, how many times, how it is restarted, stopped, limited and logged.
//!
//! The settings have pm2's names. The first sentence of each says what it does, the last what holds without it, and where
//! Muster differs from pm2, that stands in between: the published schema, the table of all fields in `docs/reference` and
//! editors show these words.

use super::lists::{self, ExitCodes, Texts, Words};
use super::{
    ApplicationOverride, Duration, EnvValue, KillSignal, Limits, LogRotation, LogType, OwnFile, Runner,
    Selector, Size, Watch, off, on, yes,
};
use crate::EnvironmentName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many instances of an application run on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Instances {
    /// So many.
    Count(#[schemars(range(min = 1, max = 256))] u32),
    /// `max`: one per processor of the node.
    Max(MaxWord),
}

/// The word `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MaxWord {
    /// One instance per processor.
    Max,
}

/// How an instance shows that it can take traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Health {
    /// A GET of this path on the application's port answers with a status from 200 to 399.
    Http(String),
    /// A TCP connection to the application's port succeeds.
    Tcp(bool),
}

/// Cluster: instances share a port that the supervisor holds. Fork: each process opens its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExecMode {
    /// Shared port.
    Cluster,
    /// Own port.
    Fork,
}

/// An application, on Node.js unless `interpreter` or the script says otherwise. Settings have pm2's names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Application {
    /// The Node.js versions it runs on, in npm's grammar: `"22"`, `">=20.19"`. With another interpreter, a Node.js to find
    /// first in PATH. Default: any; with another interpreter, none.
    #[serde(default = "default_nodejs")]
    pub nodejs: String,
    /// The command that builds a release, run by `muster release create`. Default: nothing to build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
    /// The entry point, relative to the release; or a command line with blanks, which a shell runs (`bash -c`) in fork mode.
    /// pm2 also looks in PATH: for a program of the node, write a command line. Required.
    pub script: String,
    /// Arguments for the script: a list, or a text that is split at blanks outside of quotes. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lists::words")]
    #[schemars(with = "Words")]
    pub args: Vec<String>,
    /// Arguments for Node.js (or another interpreter) itself, before the script. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lists::words")]
    #[schemars(with = "Words")]
    pub node_args: Vec<String>,
    /// What runs the script: `node`, `none` (the file is executed itself), a program of the node (`bash`, `python3`,
    /// `/opt/bin/deno`), or one within the release (`venv/bin/python`). All but `node` run in fork mode. pm2 runs TypeScript
    /// with bun, and looks into a file without an extension; here both are run by Node.js. Default: by extension
    /// (.sh bash, .py python or python3, .rb ruby, .php php, .pl perl, .coffee coffee, .ls lsc), else `node`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<String>,
    /// How many instances per node, or `max`, one for each processor. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<Instances>,
    /// `cluster`: instances share the ports that they listen on, and a new one is ready before an old one goes. `fork`: each
    /// opens its own. pm2 chooses fork unless `instances` is given. Default: cluster on Node.js without `listen_fds`,
    /// else fork.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec_mode: Option<ExecMode>,
    /// The port, given to the process as `PORT`, and the port that health checks ask. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// Addresses that the supervisor listens on for an application in fork mode, which gets them as `LISTEN_FDS`
    /// (sd_listen_fds(3)): `3000`, `127.0.0.1:3000`, `"[::1]:3000"`, or the absolute path of a socket. Then instances share
    /// them, and a new one is ready before an old one goes. Not of pm2. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lists::texts")]
    #[schemars(with = "Texts")]
    pub listen_fds: Vec<String>,
    /// How an instance shows that it is ready: `{http: /healthz}` or `{tcp: true}`, on its port. Not of pm2. Default: in
    /// cluster mode it listens; in fork mode its port answers, or without a port, it lives for `min_uptime`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// The instance says `process.send('ready')` when it is ready. Where pm2 calls it online after `listen_timeout` all the
    /// same, it has failed here. Default: false.
    #[serde(default, skip_serializing_if = "off")]
    pub wait_ready: bool,
    /// How long an instance may take to become ready: `3000` (ms), `"10s"`, `"2m"`. Then it has failed, where pm2 goes on.
    /// Default: 10s (pm2: 3s).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen_timeout: Option<Duration>,
    /// Instances are started. `false`: the application is known and stopped until somebody starts it. Default: true.
    #[serde(default = "yes", skip_serializing_if = "on")]
    pub autostart: bool,
    /// An instance that ends is started again. `false`: any end means stopped. Default: true.
    #[serde(default = "yes", skip_serializing_if = "on")]
    pub autorestart: bool,
    /// Exit codes (0 to 255) after which an instance stays stopped; death by a signal counts as code 0. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lists::exit_codes")]
    #[schemars(with = "ExitCodes")]
    pub stop_exit_codes: Vec<u8>,
    /// An end before this age is unstable. Default: 1s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_uptime: Option<Duration>,
    /// Unstable ends until the supervisor gives up. They are counted in a sliding window, where pm2 only counts while the
    /// application is young and lets a slow loop go on for ever. Default: 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_restarts: Option<u32>,
    /// Pause before an automatic restart. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_delay: Option<Duration>,
    /// First pause of a growing one: each is 1.5 times the one before, 15 s at most, and after 30 s of uptime it begins
    /// anew. Wins over `restart_delay`. Default: 0, off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp_backoff_restart_delay: Option<Duration>,
    /// Every instance is restarted at these times, also one that ended by itself: a cron pattern of 5 or 6 fields in the
    /// time zone of the node, `"0"` for never. What somebody stopped stays stopped; pm2 starts it. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron_restart: Option<String>,
    /// An instance whose resident memory is above this is reloaded; looked at every 30 s. Gentler than `max_memory`, and
    /// best set below it. Default: off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_memory_restart: Option<Size>,
    /// Memory that the kernel gives to an instance with everything that it started; above it, it is ended, and the reason
    /// says so. Short for `limits: {memory: …}`. Not of pm2. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_memory: Option<Size>,
    /// What the kernel does not let an instance exceed: memory, cpu, pids, open_files. Not of pm2. Default: no limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// How long an instance may take to end when asked, before it is killed. Default: 1600 (ms).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill_timeout: Option<Duration>,
    /// The signal that asks an instance to end. pm2 has it as the variable PM2_KILL_SIGNAL. Default: SIGINT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill_signal: Option<KillSignal>,
    /// Everything that an instance started ends with it. `false`: its main process alone is asked, and killed. Default: true.
    #[serde(default = "yes", skip_serializing_if = "on")]
    pub treekill: bool,
    /// Instances are asked to end by the message `shutdown` instead of the signal, also when they are replaced (pm2 sends
    /// the signal then). Default: false.
    #[serde(default, skip_serializing_if = "off")]
    pub shutdown_with_message: bool,
    /// Variables of the process: text, numbers, true or false. Nothing is inherited from the supervisor, and what is
    /// taken out here is gone with the next apply; pm2 keeps it. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, EnvValue>,
    /// Names of secrets that arrive as variables; their values are set with `muster secret set`. Not of pm2. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// The variable that tells an instance its number, from 0, in both modes. Default: `NODE_APP_INSTANCE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_var: Option<String>,
    /// A variable that counts upwards from instance to instance, from its value in `env` or 0; a new instance gets the
    /// highest in use and one. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub increment_var: Option<String>,
    /// Node.js maps stack traces to the sources, by `--enable-source-maps`. Default: true.
    #[serde(default = "yes", skip_serializing_if = "on")]
    pub source_map_support: bool,
    /// Every instance is restarted when a file changes: `true` (the release), a path, or a list of paths, relative to the
    /// release. A release never changes on a node, so name absolute paths, of settings for example. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watch>,
    /// Patterns (regular expressions or globs) of what is passed over when watching, instead of the default. Default:
    /// hidden files and node_modules.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lists::some_words")]
    #[schemars(with = "Option<Words>")]
    pub ignore_watch: Option<Vec<String>>,
    /// Changes that follow one another within this time cause one restart. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch_delay: Option<Duration>,
    /// File of standard output: an absolute path on the node, `/dev/null` for none. pm2 takes relative paths, too; here the
    /// release is replaced with every deployment. Default: the application's own logs, one file per instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_file: Option<String>,
    /// File of standard error, as `out_file`; may be the same. Default: the application's own logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_file: Option<String>,
    /// File of both, in addition: an absolute path, or `true` for one beside the application's own logs. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_file: Option<OwnFile>,
    /// All instances write to the files that are named; `false` puts the instance's number before the extension. The
    /// application's own logs always have a file per instance. Default, as pm2 decides it: true when `exec_mode` is not
    /// given as cluster, and `instances` is not given or `max`; else false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge_logs: Option<bool>,
    /// Nothing is stored and nothing is shown; the last lines of standard error still come with a failed start. Default:
    /// false.
    #[serde(default, skip_serializing_if = "off")]
    pub disable_logs: bool,
    /// How lines are stored: `raw`, or `json` for an object per line with pm2's keys. Default: raw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_type: Option<LogType>,
    /// Format, in the language of dayjs, of the time before each line: `YYYY-MM-DD HH:mm:ss Z`. Default: no time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_date_format: Option<String>,
    /// The time before each line as `YYYY-MM-DDTHH:mm:ss`; wins over `log_date_format`. Default: false.
    #[serde(default, skip_serializing_if = "off")]
    pub time: bool,
    /// When log files are rotated, and what is kept: max_size, keep, schedule, compress, min_free. pm2 needs a module for
    /// it. Default: at 10M, keeping 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_rotation: Option<LogRotation>,
    /// File that holds the number of the process while it runs: an absolute path on the node; with several instances, the
    /// instance's number stands before the extension (pm2: always, and in $PM2_HOME/pids without it). Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_file: Option<String>,
    /// Name of a group of applications, to choose them by. Default: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The account that runs it, by name or number (pm2: `uid`); it must exist on the node, and the agent must be root.
    /// Default: that of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The group that it runs with, by name or number (pm2: `gid`). Default: that of `user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Which nodes run it. Not of pm2. Default: every node with the role `app_server`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Selector>,
    /// Settings that differ in an environment (pm2: `env_NAME`, for variables). Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub overrides: BTreeMap<EnvironmentName, ApplicationOverride>,
}

fn default_nodejs() -> String {
    Application::ANY_NODEJS.to_owned()
}

impl Application {
    /// The range that every Node.js satisfies.
    pub const ANY_NODEJS: &str = "*";

    /// An application with nothing but its entry point.
    pub fn new(script: impl Into<String>) -> Self {
        Self {
            nodejs: default_nodejs(),
            build: None,
            script: script.into(),
            args: Vec::new(),
            node_args: Vec::new(),
            interpreter: None,
            instances: None,
            exec_mode: None,
            port: None,
            listen_fds: Vec::new(),
            health: None,
            wait_ready: false,
            listen_timeout: None,
            autostart: true,
            autorestart: true,
            stop_exit_codes: Vec::new(),
            min_uptime: None,
            max_restarts: None,
            restart_delay: None,
            exp_backoff_restart_delay: None,
            cron_restart: None,
            max_memory_restart: None,
            max_memory: None,
            limits: None,
            kill_timeout: None,
            kill_signal: None,
            treekill: true,
            shutdown_with_message: false,
            env: BTreeMap::new(),
            secrets: Vec::new(),
            instance_var: None,
            increment_var: None,
            source_map_support: true,
            watch: None,
            ignore_watch: None,
            watch_delay: None,
            out_file: None,
            error_file: None,
            log_file: None,
            merge_logs: None,
            disable_logs: false,
            log_type: None,
            log_date_format: None,
            time: false,
            log_rotation: None,
            pid_file: None,
            namespace: None,
            user: None,
            group: None,
            on: None,
            overrides: BTreeMap::new(),
        }
    }

    /// What runs its script.
    pub fn runner(&self) -> Runner {
        Runner::of(&self.script, self.interpreter.as_deref())
    }

    /// The mode that it runs in: what is said, else cluster on Node.js and fork with anything else.
    pub fn mode(&self) -> ExecMode {
        match self.exec_mode {
            Some(mode) => mode,
            None if self.runner() == Runner::Nodejs && self.listen_fds.is_empty() => ExecMode::Cluster,
            None => ExecMode::Fork,
        }
    }
}
