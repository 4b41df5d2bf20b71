//! From a spec to a command line, an environment and the descriptors a process inherits.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use command_fds::CommandFdExt;
use command_fds::FdMapping;
use muster_supervisor_protocol::{AppSpec, ExecMode, Readiness};

use super::users::Credentials;

/// Where the worker finds its channel.
const CHANNEL_FD: i32 = 3;
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Everything one start needs.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) spec: &'a AppSpec,
    pub(crate) index: u32,
    pub(crate) worker_id: u64,
    pub(crate) hook: Option<&'a Path>,
    pub(crate) user: Option<&'a Credentials>,
    pub(crate) channel: Option<OwnedFd>,
    /// Standard input; nothing when absent.
    pub(crate) stdin: Option<OwnedFd>,
    /// Variables that only this instance has.
    pub(crate) own_variables: &'a BTreeMap<String, String>,
}

fn runs_node(spec: &AppSpec) -> bool {
    spec.interpreter
        .as_deref()
        .and_then(|path| Path::new(path).file_name()?.to_str())
        .is_some_and(|name| name.starts_with("node"))
}

/// Whether the process gets an IPC channel: cluster workers, Node.js itself, and whoever says that it talks.
pub(crate) fn wants_channel(spec: &AppSpec) -> bool {
    spec.exec_mode == ExecMode::Cluster
        || runs_node(spec)
        || spec.shutdown_with_message
        || spec.readiness == Readiness::ReadyMessage
}

/// Whether the drain hook can be preloaded. Under Node's permission model the script may be unreadable, and a worker
/// that cannot load it would not start.
pub(crate) fn takes_hook(spec: &AppSpec) -> bool {
    spec.exec_mode == ExecMode::Cluster
        && !spec
            .interpreter_args
            .iter()
            .any(|arg| arg.starts_with("--permission") || arg.starts_with("--experimental-permission"))
}

/// Starts the process, or says why it cannot be started.
pub(crate) fn start(launch: Launch<'_>) -> Result<Child, String> {
    let Launch { spec, user, .. } = launch;
    check_paths(spec)?;
    let environment = environment(&launch);
    let mut command = match &spec.interpreter {
        Some(interpreter) => {
            let mut command = Command::new(interpreter);
            command.args(&spec.interpreter_args);
            if spec.source_map_support && runs_node(spec) {
                command.arg("--enable-source-maps");
            }
            if let Some(hook) = launch.hook {
                command.arg("--require").arg(hook);
            }
            command.arg(&spec.script);
            command
        }
        None => Command::new(script_path(spec)),
    };
    command
        .args(&spec.args)
        .current_dir(&spec.cwd)
        .env_clear()
        .envs(environment)
        .stdin(launch.stdin.map_or_else(Stdio::null, Stdio::from))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    if let Some(user) = user
        && user.differs_from_ours()
    {
        command.gid(user.gid).uid(user.uid);
    }
    if let Some(parent_fd) = launch.channel {
        command
            .fd_mappings(vec![FdMapping { parent_fd, child_fd: CHANNEL_FD }])
            .map_err(|_| "its channel cannot be handed over".to_owned())?;
    }
    let program = spec.interpreter.as_deref().unwrap_or(&spec.script);
    command.spawn().map_err(|error| format!("{program:?} cannot be executed: {error}"))
}

fn script_path(spec: &AppSpec) -> PathBuf {
    Path::new(&spec.cwd).join(&spec.script)
}

/// The kernel answers "no such file" whatever is missing; say which it is.
fn check_paths(spec: &AppSpec) -> Result<(), String> {
    if !Path::new(&spec.cwd).is_dir() {
        return Err(format!("its folder {:?} does not exist", spec.cwd));
    }
    match &spec.interpreter {
        Some(interpreter) if !Path::new(interpreter).is_file() => {
            Err(format!("its interpreter {interpreter:?} does not exist"))
        }
        None if !script_path(spec).is_file() => Err(format!("its program {:?} does not exist", spec.script)),
        _ => Ok(()),
    }
}

/// What the spec says, and what a process cannot do without. The supervisor's own environment is not passed on.
fn environment(launch: &Launch<'_>) -> BTreeMap<String, String> {
    let spec = launch.spec;
    let mut env: BTreeMap<String, String> = BTreeMap::new();
    let interpreter_dir = spec.interpreter.as_deref().and_then(|path| Path::new(path).parent()?.to_str());
    let path = match interpreter_dir {
        Some(dir) => format!("{dir}:{DEFAULT_PATH}"),
        None => DEFAULT_PATH.to_owned(),
    };
    env.insert("PATH".to_owned(), path);
    match launch.user {
        Some(user) => {
            env.insert("HOME".to_owned(), user.home.clone());
            env.insert("USER".to_owned(), user.name.clone());
            env.insert("LOGNAME".to_owned(), user.name.clone());
        }
        None => {
            for name in ["HOME", "USER", "LOGNAME"] {
                if let Ok(value) = std::env::var(name) {
                    env.insert(name.to_owned(), value);
                }
            }
        }
    }
    env.insert("PWD".to_owned(), spec.cwd.clone());
    if let Some(port) = spec.port {
        env.insert("PORT".to_owned(), port.to_string());
    }
    env.extend(spec.env.iter().map(|(name, value)| (name.clone(), value.clone())));
    env.extend(launch.own_variables.iter().map(|(name, value)| (name.clone(), value.clone())));
    env.insert(spec.instance_var.clone(), launch.index.to_string());
    if launch.channel.is_some() {
        env.insert("NODE_CHANNEL_FD".to_owned(), CHANNEL_FD.to_string());
        env.insert("NODE_CHANNEL_SERIALIZATION_MODE".to_owned(), "json".to_owned());
    }
    if spec.exec_mode == ExecMode::Cluster {
        env.insert("NODE_UNIQUE_ID".to_owned(), launch.worker_id.to_string());
    } else {
        env.remove("NODE_UNIQUE_ID");
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(spec: &AppSpec) -> Launch<'_> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        Launch {
            spec,
            index: 3,
            worker_id: 9,
            hook: None,
            user: None,
            channel: None,
            stdin: None,
            own_variables: &NONE,
        }
    }

    #[test]
    fn the_spec_wins_over_defaults_and_the_instance_number_over_the_spec() {
        let mut spec = AppSpec::new("a", "/srv", "a.js");
        spec.port = Some(3000);
        spec.env.insert("PORT".into(), "8080".into());
        spec.env.insert("NODE_APP_INSTANCE".into(), "fake".into());
        spec.interpreter = Some("/opt/node/bin/node".into());
        let env = environment(&launch(&spec));
        assert_eq!(env["PORT"], "8080");
        assert_eq!(env["NODE_APP_INSTANCE"], "3");
        assert!(env["PATH"].starts_with("/opt/node/bin:/usr/local/sbin"));
        assert!(!env.contains_key("NODE_UNIQUE_ID"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let spec = AppSpec::new("a", "/does/not/exist", "a.js");
        assert!(check_paths(&spec).unwrap_err().contains("/does/not/exist"));
        let mut spec = AppSpec::new("a", "/", "a.js");
        spec.interpreter = Some("/no/node".into());
        assert!(check_paths(&spec).unwrap_err().contains("/no/node"));
    }

    #[test]
    fn the_hook_stays_away_from_the_permission_model() {
        let mut spec = AppSpec::new("a", "/", "a.js");
        spec.exec_mode = ExecMode::Cluster;
        assert!(takes_hook(&spec));
        spec.interpreter_args.push("--permission".into());
        assert!(!takes_hook(&spec));
    }
}
