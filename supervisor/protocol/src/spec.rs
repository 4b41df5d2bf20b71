//! What one application should run as. The fields and defaults are those users of pm2 know.

mod env;
mod limits;
mod listen;
mod logs;

pub use env::RedactedEnv;
pub use limits::Limits;
pub use listen::{InvalidListenAddress, ListenAddress};
pub use logs::{LogFile, LogFormat, LogRotation, LogSettings};

use std::fmt;

use serde::{Deserialize, Serialize};

/// Everything the supervisor needs to run one application. Two specs with the same `spec_digest` are the same spec:
/// applying the second does nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppSpec {
    /// Application name, unique under one supervisor; also the folder of its logs.
    pub name: String,
    /// Group of applications; a selector, no more.
    #[serde(default = "defaults::namespace")]
    pub namespace: String,
    /// Digest over everything that matters, made by the agent.
    pub spec_digest: String,
    /// Release version as people know it; informational.
    #[serde(default)]
    pub release: String,
    /// Id of the release; informational, handed back in every status.
    #[serde(default)]
    pub release_id: String,
    /// Working directory: the pinned path of the release, never a `current` link, so that a restart after a newer
    /// release was unpacked still starts this one.
    pub cwd: String,
    /// Absolute path of the interpreter (Node.js); `None` executes `script` itself.
    #[serde(default)]
    pub interpreter: Option<String>,
    /// Arguments of the interpreter, before the script.
    #[serde(default)]
    pub interpreter_args: Vec<String>,
    /// Script, relative to `cwd` or absolute.
    pub script: String,
    /// Arguments of the script.
    #[serde(default)]
    pub args: Vec<String>,
    /// The complete environment of the application (the supervisor adds only what is needed to run it).
    #[serde(default)]
    pub env: RedactedEnv,
    /// Shared sockets (Node.js cluster) or plain processes.
    #[serde(default)]
    pub exec_mode: ExecMode,
    /// Number of instances, at least 1.
    #[serde(default = "defaults::instances")]
    pub instances: u32,
    /// Name of the variable that tells an instance its number.
    #[serde(default = "defaults::instance_var")]
    pub instance_var: String,
    /// A variable that counts upwards over the instances, from its value in `env` (or 0). The next instance gets the highest
    /// number in use and one; holes are never filled. A restarted instance keeps its number.
    #[serde(default)]
    pub increment_var: Option<String>,
    /// Sets `PORT` in the environment, and is the default port of probes.
    #[serde(default)]
    pub port: Option<u16>,
    /// Addresses the supervisor listens on for a fork application and hands to each instance as `LISTEN_FDS` does it
    /// (systemd's `sd_listen_fds(3)`): `3000`, `127.0.0.1:3000`, `[::1]:3000`, or the absolute path of a unix socket.
    /// With it instances share the port, and a replacement starts before the old instance goes.
    #[serde(default)]
    pub listen_fds: Vec<String>,
    /// Start the instances when the application is applied for the first time. `false`: known and stopped.
    #[serde(default = "defaults::yes")]
    pub autostart: bool,
    /// When an instance counts as ready.
    #[serde(default)]
    pub readiness: Readiness,
    /// How long an instance may take to become ready.
    #[serde(default = "defaults::listen_timeout_ms")]
    pub listen_timeout_ms: u64,
    /// How long an instance may take to end after it was asked to, before SIGKILL.
    #[serde(default = "defaults::kill_timeout_ms")]
    pub kill_timeout_ms: u64,
    /// Signal that asks an instance to end: `SIGINT`, `SIGTERM`, ...
    #[serde(default = "defaults::kill_signal")]
    pub kill_signal: String,
    /// Ask (and kill) everything an instance started, not its main process alone.
    #[serde(default = "defaults::yes")]
    pub treekill: bool,
    /// Send the message `shutdown` over the IPC channel instead of the signal.
    #[serde(default)]
    pub shutdown_with_message: bool,
    /// Restart an instance that ends by itself.
    #[serde(default = "defaults::autorestart")]
    pub autorestart: bool,
    /// Unstable exits within the window before the instance counts as crash looping; 0 = the first one does.
    #[serde(default = "defaults::max_restarts")]
    pub max_restarts: u32,
    /// An exit before this uptime is unstable.
    #[serde(default = "defaults::min_uptime_ms")]
    pub min_uptime_ms: u64,
    /// Fixed wait before each automatic restart.
    #[serde(default)]
    pub restart_delay_ms: u64,
    /// First wait of a growing one (x1.5, at most 15 s); 0 = off. Wins over `restart_delay_ms`.
    #[serde(default)]
    pub exp_backoff_restart_delay_ms: u64,
    /// Exit codes after which the instance stays stopped. Death by signal counts as code 0.
    #[serde(default)]
    pub stop_exit_codes: Vec<i32>,
    /// Restart every instance at these times (cron pattern of 5 or 6 fields, the machine's time zone). What was stopped
    /// on purpose stays stopped; a job that ended by itself is run again.
    #[serde(default)]
    pub cron_restart: Option<String>,
    /// Reload an instance whose resident memory is above this at one of the looks taken every 30 s. [`Limits`] are what
    /// the kernel enforces.
    #[serde(default)]
    pub max_memory_restart_bytes: Option<u64>,
    /// Restart every instance when a file changes.
    #[serde(default)]
    pub watch: Option<Watch>,
    /// What the kernel shall not let an instance exceed.
    #[serde(default)]
    pub limits: Limits,
    /// Node.js maps stack traces to the sources (`--enable-source-maps`).
    #[serde(default)]
    pub source_map_support: bool,
    /// Give instances a standard input that [`crate::Request::Input`] writes to; else it is `/dev/null`. Fork mode only.
    #[serde(default)]
    pub stdin: bool,
    /// User (name or number) to run as; needs a supervisor that runs as root.
    #[serde(default)]
    pub user: Option<String>,
    /// Group (name or number); the user's own when absent.
    #[serde(default)]
    pub group: Option<String>,
    /// File to which each instance's process id is written while it runs; the instance's number is put before the
    /// extension when there are several.
    #[serde(default)]
    pub pid_file: Option<String>,
    /// Where output goes.
    #[serde(default)]
    pub logs: LogSettings,
    /// Set when the application came from the pm2-compatible command.
    #[serde(default)]
    pub pm2: Option<Pm2Origin>,
}

impl AppSpec {
    /// A spec with every default, to be filled in with struct update syntax.
    #[must_use]
    pub fn new(name: impl Into<String>, cwd: impl Into<String>, script: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            namespace: defaults::namespace(),
            spec_digest: String::new(),
            release: String::new(),
            release_id: String::new(),
            cwd: cwd.into(),
            interpreter: None,
            interpreter_args: Vec::new(),
            script: script.into(),
            args: Vec::new(),
            env: RedactedEnv::default(),
            exec_mode: ExecMode::default(),
            instances: defaults::instances(),
            instance_var: defaults::instance_var(),
            increment_var: None,
            port: None,
            listen_fds: Vec::new(),
            autostart: true,
            readiness: Readiness::default(),
            listen_timeout_ms: defaults::listen_timeout_ms(),
            kill_timeout_ms: defaults::kill_timeout_ms(),
            kill_signal: defaults::kill_signal(),
            treekill: true,
            shutdown_with_message: false,
            autorestart: defaults::autorestart(),
            max_restarts: defaults::max_restarts(),
            min_uptime_ms: defaults::min_uptime_ms(),
            restart_delay_ms: 0,
            exp_backoff_restart_delay_ms: 0,
            stop_exit_codes: Vec::new(),
            cron_restart: None,
            max_memory_restart_bytes: None,
            watch: None,
            limits: Limits::default(),
            source_map_support: false,
            stdin: false,
            user: None,
            group: None,
            pid_file: None,
            logs: LogSettings::default(),
            pm2: None,
        }
    }

    /// Every reason why this spec cannot be run, before anything is touched.
    #[must_use]
    pub fn problems(&self) -> Vec<SpecProblem> {
        let mut problems = Vec::new();
        let mut problem = |field, message: String| problems.push(SpecProblem { field, message });
        if !name_valid(&self.name) {
            problem(
                "name",
                format!(
                    "{:?} is not a name: at most 128 bytes, no '/', no control characters, no '.' in front",
                    self.name
                ),
            );
        }
        if self.spec_digest.is_empty() {
            problem("spec_digest", "must not be empty: it says whether a spec is new".to_owned());
        }
        if !self.cwd.starts_with('/') {
            problem("cwd", format!("{:?} is not an absolute path", self.cwd));
        }
        if self.script.is_empty() {
            problem("script", "must not be empty".to_owned());
        }
        if let Some(interpreter) = &self.interpreter
            && !interpreter.starts_with('/')
        {
            problem("interpreter", format!("{interpreter:?} is not an absolute path"));
        }
        if self.exec_mode == ExecMode::Cluster && self.interpreter.is_none() {
            problem(
                "exec_mode",
                "cluster needs an interpreter (Node.js); use fork to run a program".to_owned(),
            );
        }
        if self.instances == 0 || self.instances > MAX_INSTANCES {
            problem("instances", format!("{} is not between 1 and {MAX_INSTANCES}", self.instances));
        }
        if !variable_valid(&self.instance_var) {
            problem("instance_var", format!("{:?} is not a variable name", self.instance_var));
        }
        for (name, value) in self.env.iter() {
            if !variable_valid(name) {
                problem("env", format!("{name:?} is not a variable name"));
            }
            if value.contains('\0') {
                problem("env", format!("the value of {name:?} contains a NUL byte"));
            }
        }
        for (field, values) in [("args", &self.args), ("interpreter_args", &self.interpreter_args)] {
            if values.iter().any(|value| value.contains('\0')) {
                problem(field, "an argument contains a NUL byte".to_owned());
            }
        }
        if [&self.cwd, &self.script].iter().any(|value| value.contains('\0')) {
            problem("script", "a path contains a NUL byte".to_owned());
        }
        if self.listen_timeout_ms == 0 {
            problem("listen_timeout_ms", "must be more than 0".to_owned());
        }
        for (field, path) in self.paths() {
            if !path.starts_with('/') || path.contains('\0') {
                problem(field, format!("{path:?} is not an absolute path"));
            }
        }
        if !self.listen_fds.is_empty() && self.exec_mode == ExecMode::Cluster {
            problem("listen_fds", "is for fork mode; cluster mode shares its sockets anyway".to_owned());
        }
        for (number, address) in self.listen_fds.iter().enumerate() {
            if let Err(invalid) = address.parse::<ListenAddress>() {
                problem("listen_fds", invalid.to_string());
            } else if self.listen_fds[..number].contains(address) {
                problem("listen_fds", format!("{address:?} is named twice"));
            }
        }
        if self.stdin && self.exec_mode == ExecMode::Cluster {
            problem("stdin", "is for fork mode; a cluster worker has no standard input".to_owned());
        }
        if let Some(variable) = &self.increment_var
            && !variable_valid(variable)
        {
            problem("increment_var", format!("{variable:?} is not a variable name"));
        }
        match &self.readiness {
            Readiness::Http { port, path, .. } => {
                if port.or(self.port).is_none() {
                    problem(
                        "readiness",
                        "an http probe needs a port (its own or the application's)".to_owned(),
                    );
                }
                if !path.starts_with('/') || path.chars().any(|c| c.is_control() || c == ' ') {
                    problem("readiness", format!("{path:?} is not a request path"));
                }
            }
            Readiness::Tcp { port, .. } => {
                if port.or(self.port).is_none() {
                    problem(
                        "readiness",
                        "a tcp probe needs a port (its own or the application's)".to_owned(),
                    );
                }
            }
            Readiness::Listening | Readiness::ReadyMessage | Readiness::Started => {}
        }
        problems
    }
}

impl AppSpec {
    fn paths(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let LogSettings { dir, out_file, error_file, log_file, .. } = &self.logs;
        let files =
            [("logs.out_file", out_file), ("logs.error_file", error_file), ("logs.log_file", log_file)];
        [("logs.dir", dir.as_deref()), ("pid_file", self.pid_file.as_deref())]
            .into_iter()
            .chain(files.into_iter().map(|(field, file)| (field, file.path())))
            .filter_map(|(field, path)| Some((field, path?)))
    }
}

/// Far above any sensible number of processes for one application on one machine.
const MAX_INSTANCES: u32 = 512;

/// Looser than the names of a fleet: users of pm2 name applications as they like. It becomes a folder name.
fn name_valid(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && !name.starts_with('.')
        && name.trim() == name
        && !name.chars().any(|c| c == '/' || c.is_control())
}

fn variable_valid(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

/// One reason why a spec cannot be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecProblem {
    /// Field of [`AppSpec`].
    pub field: &'static str,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for SpecProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// How the instances of an application run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecMode {
    /// As Node.js cluster workers: the supervisor holds the listening sockets, all instances share them, and a
    /// replacement starts before the old instance is asked to go.
    Cluster,
    /// As plain processes: each opens its own sockets, so a replacement stops the old one first.
    #[default]
    Fork,
}

/// When an instance counts as ready.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Readiness {
    /// The application listens: on its `port` when it has one, else on anything. In fork mode, where only a probe can
    /// tell, it means [`Readiness::Tcp`] with a `port` and [`Readiness::Started`] without.
    #[default]
    Listening,
    /// The application did `process.send('ready')`.
    ReadyMessage,
    /// A `GET` on loopback answers with a status below 400.
    Http {
        /// Port; the application's `port` when absent.
        #[serde(default)]
        port: Option<u16>,
        /// Request path.
        path: String,
        /// How long one attempt may take.
        #[serde(default = "defaults::probe_timeout_ms")]
        timeout_ms: u64,
    },
    /// A connection on loopback is accepted.
    Tcp {
        /// Port; the application's `port` when absent.
        #[serde(default)]
        port: Option<u16>,
        /// How long one attempt may take.
        #[serde(default = "defaults::probe_timeout_ms")]
        timeout_ms: u64,
    },
    /// It is still alive after `min_uptime_ms` (or half of `listen_timeout_ms` when that is shorter), or, in cluster mode,
    /// it listens before that.
    Started,
}

/// What is watched for changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Files and folders (with all below), absolute or relative to `cwd`; `cwd` itself when empty.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Patterns of what is passed over, as regular expressions or globs; `None` = hidden files and `node_modules`.
    #[serde(default)]
    pub ignore: Option<Vec<String>>,
    /// Changes that follow one another within this time cause one restart.
    #[serde(default)]
    pub delay_ms: u64,
}

/// What the pm2-compatible command wants to be kept with an application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pm2Origin {
    /// `PM2_HOME`; instances see it, with `pm_id` and `name`, in their environment.
    pub home: String,
    /// The rest of pm2's record, opaque to the supervisor. Holds no environment.
    pub record: serde_json::Value,
}

impl Eq for Pm2Origin {}

mod defaults {
    pub(super) fn namespace() -> String {
        "default".to_owned()
    }
    pub(super) const fn yes() -> bool {
        true
    }
    pub(super) const fn instances() -> u32 {
        1
    }
    pub(super) fn instance_var() -> String {
        "NODE_APP_INSTANCE".to_owned()
    }
    pub(super) const fn listen_timeout_ms() -> u64 {
        3_000
    }
    pub(super) const fn kill_timeout_ms() -> u64 {
        1_600
    }
    pub(super) fn kill_signal() -> String {
        "SIGINT".to_owned()
    }
    pub(super) const fn autorestart() -> bool {
        true
    }
    pub(super) const fn max_restarts() -> u32 {
        16
    }
    pub(super) const fn min_uptime_ms() -> u64 {
        1_000
    }
    pub(super) const fn probe_timeout_ms() -> u64 {
        1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn env_values_never_reach_debug_output() {
        let mut spec = AppSpec::new("shop", "/srv/shop", "app.js");
        spec.env.insert("DATABASE_URL".into(), "postgres://u:hunter2@db/shop".into());
        let shown = format!("{spec:?}");
        assert!(shown.contains("DATABASE_URL"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn missing_fields_take_the_documented_defaults() {
        let spec: AppSpec =
            serde_json::from_str(r#"{"name":"a","spec_digest":"d","cwd":"/x","script":"a.js"}"#).unwrap();
        assert_eq!(spec, AppSpec { spec_digest: "d".into(), ..AppSpec::new("a", "/x", "a.js") });
        assert_eq!((spec.listen_timeout_ms, spec.kill_timeout_ms, spec.max_restarts), (3_000, 1_600, 16));
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let mut spec = AppSpec::new("../up", "relative", "");
        spec.instances = 0;
        spec.env.insert("A=B".into(), "x".into());
        spec.exec_mode = ExecMode::Cluster;
        let fields: Vec<_> = spec.problems().into_iter().map(|p| p.field).collect();
        assert_eq!(fields, ["name", "spec_digest", "cwd", "script", "exec_mode", "instances", "env"]);
    }
}
