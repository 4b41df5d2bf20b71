//! What one application should run as. The fields and defaults are those users of pm2 know.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};

/// Everything the supervisor needs to run one application. Two specs with the same `spec_digest` are the same spec:
/// applying the second does nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppSpec {
    /// Application name, unique on this machine; also the folder of its logs.
    pub name: String,
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
    /// Sets `PORT` in the environment, and is the default port of probes.
    #[serde(default)]
    pub port: Option<u16>,
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
    /// User (name or number) to run as; needs a supervisor that runs as root.
    #[serde(default)]
    pub user: Option<String>,
    /// Group (name or number); the user's own when absent.
    #[serde(default)]
    pub group: Option<String>,
    /// Folder under which `<app>/<instance>-out.log` and `-err.log` are written; none = kept in memory only.
    #[serde(default)]
    pub log_dir: Option<String>,
    /// When log files are rotated.
    #[serde(default)]
    pub log_rotation: LogRotation,
}

impl AppSpec {
    /// A spec with every default, to be filled in with struct update syntax.
    #[must_use]
    pub fn new(name: impl Into<String>, cwd: impl Into<String>, script: impl Into<String>) -> Self {
        Self {
            name: name.into(),
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
            port: None,
            readiness: Readiness::default(),
            listen_timeout_ms: defaults::listen_timeout_ms(),
            kill_timeout_ms: defaults::kill_timeout_ms(),
            kill_signal: defaults::kill_signal(),
            shutdown_with_message: false,
            autorestart: defaults::autorestart(),
            max_restarts: defaults::max_restarts(),
            min_uptime_ms: defaults::min_uptime_ms(),
            restart_delay_ms: 0,
            exp_backoff_restart_delay_ms: 0,
            stop_exit_codes: Vec::new(),
            user: None,
            group: None,
            log_dir: None,
            log_rotation: LogRotation::default(),
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
                format!("{:?} is not a name: use a-z, 0-9 and '-', at most 63 characters", self.name),
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
        if let Some(log_dir) = &self.log_dir
            && !log_dir.starts_with('/')
        {
            problem("log_dir", format!("{log_dir:?} is not an absolute path"));
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

/// Far above any sensible number of processes for one application on one machine.
const MAX_INSTANCES: u32 = 512;

fn name_valid(name: &str) -> bool {
    let bytes = name.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
        && bytes[0] != b'-'
        && bytes[bytes.len() - 1] != b'-'
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
    /// It is still alive after `min_uptime_ms` (or half of `listen_timeout_ms` when that is shorter).
    Started,
}

/// When log files are rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRotation {
    /// A file that reaches this size is renamed.
    pub max_bytes: u64,
    /// How many renamed files are kept besides the current one.
    pub keep: u32,
}

impl Default for LogRotation {
    fn default() -> Self {
        Self { max_bytes: 10 * 1024 * 1024, keep: 5 }
    }
}

/// Environment of an application. Its `Debug` shows names, never values.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RedactedEnv(pub BTreeMap<String, String>);

impl fmt::Debug for RedactedEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.keys().map(|name| (name, "***"))).finish()
    }
}

impl Deref for RedactedEnv {
    type Target = BTreeMap<String, String>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for RedactedEnv {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl From<BTreeMap<String, String>> for RedactedEnv {
    fn from(map: BTreeMap<String, String>) -> Self {
        Self(map)
    }
}

mod defaults {
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
