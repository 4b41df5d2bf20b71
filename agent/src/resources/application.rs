//! What the supervisor is told to run for an application.

use crate::config::StateDir;
use muster_domain::resource::{
    Application, CombinedLog, ExecMode, Interpreter, Limits, LogFile, LogRotation, Logs, ProcessSettings,
    Readiness, Watch,
};
use muster_planning::convergence::{NodeRange, newest_satisfying};
use muster_platform::{Host, NodeRuntime};
use muster_supervisor_protocol as protocol;
use muster_supervisor_protocol::{AppSpec, LogSettings};
use std::collections::BTreeMap;
use std::path::Path;

/// Programs that applications may expect to find.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long one probe may take.
const PROBE_TIMEOUT_MS: u64 = 1_000;

/// What runs an application on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launcher {
    /// The Node.js that it needs, which is not always what runs it.
    pub node: Option<NodeRuntime>,
    /// Absolute path of the interpreter; `None` executes the script itself.
    pub interpreter: Option<String>,
    /// What the interpreter is told before anything else.
    pub interpreter_args: Vec<String>,
}

/// The spec of an application on this node, or what is missing for it here.
pub fn spec_here(
    host: &dyn Host,
    state: &StateDir,
    wanted: &Application,
    cpus: u32,
) -> Result<AppSpec, String> {
    Ok(spec(wanted, state, &find_launcher(host, state, wanted)?, cpus))
}

/// Looks for what runs an application.
pub fn find_launcher(host: &dyn Host, state: &StateDir, wanted: &Application) -> Result<Launcher, String> {
    let node = match wanted.nodejs_range.as_str() {
        "" => None,
        range => Some(find_node(host, state, range)?),
    };
    let (interpreter, interpreter_args) = match &wanted.process.interpreter {
        Interpreter::Nodejs => match &node {
            Some(node) => (Some(text(&node.path)), Vec::new()),
            None => return Err("it runs on Node.js and says of no version that it does".to_owned()),
        },
        Interpreter::Itself => (None, Vec::new()),
        Interpreter::Shell => {
            let shell = host.find_program("bash").or_else(|| host.find_program("sh"));
            let shell = shell.ok_or("its script is a command line, and there is no shell on this node")?;
            (Some(text(&shell)), vec!["-c".to_owned()])
        }
        Interpreter::Program(program) => (Some(find_program(host, state, wanted, program)?), Vec::new()),
    };
    Ok(Launcher { node, interpreter, interpreter_args })
}

/// The newest Node.js that is installed and satisfies a range.
fn find_node(host: &dyn Host, state: &StateDir, range: &str) -> Result<NodeRuntime, String> {
    let wanted = NodeRange::parse(range).map_err(|error| error.to_string())?;
    let runtimes = host.node_runtimes(&state.nodejs());
    let newest = newest_satisfying(&wanted, runtimes.iter().map(|runtime| runtime.version.as_str()));
    newest
        .and_then(|version| runtimes.iter().find(|runtime| runtime.version == version))
        .cloned()
        .ok_or_else(|| {
            format!(
                "no Node.js on this node satisfies {range}, and none could be installed; see the resource nodejs:{range}"
            )
        })
}

/// A program of the node, or with a slash in it, one of the release.
fn find_program(
    host: &dyn Host,
    state: &StateDir,
    wanted: &Application,
    program: &str,
) -> Result<String, String> {
    if program.contains('/') {
        // An absolute path stays what it is.
        return Ok(text(&state.release(&wanted.name, wanted.release_id).join(program)));
    }
    // As pm2 does it: not every machine has a program of the plain name.
    let also = (program == "python").then_some("python3");
    let found = std::iter::once(program).chain(also).find_map(|name| host.find_program(name));
    found.map(|path| text(&path)).ok_or_else(|| {
        format!("there is no program {program:?} on this node; install it, or name another as `interpreter`")
    })
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The spec, with a digest over all of it: the same application on the same node always gives the same.
pub fn spec(wanted: &Application, state: &StateDir, launcher: &Launcher, cpus: u32) -> AppSpec {
    // Exhaustive, so that a new setting cannot be forgotten here.
    let Application {
        name,
        release_id,
        release_version,
        artifact_digest: _,
        nodejs_range: _,
        script,
        args,
        node_args,
        instances,
        exec_mode,
        port,
        env,
        // They are in `env`, and mean nothing to a process.
        secrets: _,
        readiness,
        listen_timeout_ms,
        kill_timeout_ms,
        max_restarts,
        min_uptime_ms,
        restart_delay_ms,
        user,
        process,
    } = wanted;
    let ProcessSettings {
        interpreter,
        namespace,
        group,
        instance_var,
        increment_var,
        listen_fds,
        autostart,
        autorestart,
        stop_exit_codes,
        exp_backoff_restart_delay_ms,
        cron_restart,
        max_memory_restart_bytes,
        kill_signal,
        treekill,
        shutdown_with_message,
        source_map_support,
        watch,
        limits,
        pid_file,
        logs,
    } = process;
    // The release's own path, never `current`: a restart after the next release came must still start this one.
    let cwd = text(&state.release(name, *release_id));
    let mut spec = AppSpec {
        name: name.to_string(),
        namespace: namespace.clone(),
        spec_digest: String::new(),
        release: release_version.to_string(),
        release_id: release_id.to_string(),
        cwd,
        interpreter: launcher.interpreter.clone(),
        // What a shell is to run comes last.
        interpreter_args: node_args.iter().chain(&launcher.interpreter_args).cloned().collect(),
        script: script.clone(),
        args: args.clone(),
        env: environment(env, state, wanted, launcher).into(),
        exec_mode: match exec_mode {
            ExecMode::Cluster => protocol::ExecMode::Cluster,
            ExecMode::Fork => protocol::ExecMode::Fork,
        },
        instances: if *instances == 0 { cpus.max(1) } else { *instances },
        instance_var: instance_var.clone(),
        increment_var: increment_var.clone(),
        port: *port,
        listen_fds: listen_fds.clone(),
        autostart: *autostart,
        readiness: match readiness {
            Readiness::Listening => protocol::Readiness::Listening,
            Readiness::ReadyMessage => protocol::Readiness::ReadyMessage,
            Readiness::Http { path } => {
                protocol::Readiness::Http { port: None, path: path.clone(), timeout_ms: PROBE_TIMEOUT_MS }
            }
            Readiness::Tcp => protocol::Readiness::Tcp { port: None, timeout_ms: PROBE_TIMEOUT_MS },
            Readiness::Started => protocol::Readiness::Started,
        },
        listen_timeout_ms: (*listen_timeout_ms).into(),
        kill_timeout_ms: (*kill_timeout_ms).into(),
        kill_signal: kill_signal.clone(),
        treekill: *treekill,
        shutdown_with_message: *shutdown_with_message,
        autorestart: *autorestart,
        max_restarts: *max_restarts,
        min_uptime_ms: (*min_uptime_ms).into(),
        restart_delay_ms: (*restart_delay_ms).into(),
        exp_backoff_restart_delay_ms: (*exp_backoff_restart_delay_ms).into(),
        stop_exit_codes: stop_exit_codes.iter().map(|code| (*code).into()).collect(),
        cron_restart: cron_restart.clone(),
        max_memory_restart_bytes: *max_memory_restart_bytes,
        watch: watch.as_ref().map(|Watch { paths, ignore, delay_ms }| protocol::Watch {
            paths: paths.clone(),
            ignore: ignore.clone(),
            delay_ms: (*delay_ms).into(),
        }),
        limits: kernel_limits(limits),
        // Another interpreter would take the flag for one of its own.
        source_map_support: *source_map_support && *interpreter == Interpreter::Nodejs,
        stdin: false,
        user: user.clone(),
        group: group.clone(),
        pid_file: pid_file.clone(),
        logs: log_settings(wanted, logs, state),
        pm2: None,
    };
    let bytes = serde_json::to_vec(&spec).expect("text and numbers always encode");
    spec.spec_digest = blake3::hash(&bytes).to_hex().to_string();
    spec
}

fn kernel_limits(limits: &Limits) -> protocol::Limits {
    let Limits { memory_bytes, cpu_percent, pids, open_files } = limits.clone();
    protocol::Limits { memory_bytes, cpu_percent, pids, open_files: open_files.map(Into::into) }
}

fn log_settings(wanted: &Application, logs: &Logs, state: &StateDir) -> LogSettings {
    let Logs { out_file, error_file, log_file, merge, disabled, json, date_format, rotation } = logs;
    let stream = |file: &LogFile| match file {
        LogFile::Own => protocol::LogFile::Default,
        LogFile::Nowhere => protocol::LogFile::None,
        LogFile::Path(path) => protocol::LogFile::Path(path.clone()),
    };
    let own = || state.logs().join(wanted.name.as_str()).join(format!("{}.log", wanted.name));
    let LogRotation { max_bytes, keep, schedule, compress, min_free_bytes } = rotation.clone();
    let usual = protocol::LogRotation::default();
    LogSettings {
        dir: Some(text(&state.logs())),
        out_file: stream(out_file),
        error_file: stream(error_file),
        log_file: match log_file {
            CombinedLog::None => protocol::LogFile::Default,
            CombinedLog::Own => protocol::LogFile::Path(text(&own())),
            CombinedLog::Path(path) => protocol::LogFile::Path(path.clone()),
        },
        merge: *merge,
        disabled: *disabled,
        format: if *json { protocol::LogFormat::Json } else { protocol::LogFormat::Raw },
        date_format: date_format.clone(),
        rotation: protocol::LogRotation {
            max_bytes: max_bytes.unwrap_or(usual.max_bytes),
            keep: keep.unwrap_or(usual.keep),
            schedule,
            compress,
            min_free_bytes: min_free_bytes.unwrap_or(usual.min_free_bytes),
        },
    }
}

/// The whole environment. What the application declares wins over what is set for it.
fn environment(
    declared: &BTreeMap<String, String>,
    state: &StateDir,
    wanted: &Application,
    launcher: &Launcher,
) -> BTreeMap<String, String> {
    let beside = |program: &Path| program.parent().map(text);
    let interpreter = launcher.interpreter.as_deref().map(Path::new);
    let mut path: Vec<String> = Vec::new();
    for folder in launcher.node.iter().map(|node| node.path.as_path()).chain(interpreter).filter_map(beside) {
        if !path.contains(&folder) && !SEARCH_PATH.split(':').any(|known| known == folder) {
            path.push(folder);
        }
    }
    // The Node.js that was chosen wins over any other, wherever it is.
    if let Some(folder) = launcher.node.as_ref().and_then(|node| beside(&node.path))
        && path.first() != Some(&folder)
    {
        path.insert(0, folder);
    }
    path.push(SEARCH_PATH.to_owned());
    let mut env = BTreeMap::from([
        ("PATH".to_owned(), path.join(":")),
        ("HOME".to_owned(), text(&state.home(&wanted.name))),
    ]);
    if let Some(port) = wanted.port {
        env.insert("PORT".to_owned(), port.to_string());
    }
    // As with pm2: without it, what a Python program prints arrives when its buffer is full.
    if interpreter
        .is_some_and(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains("python")))
    {
        env.insert("PYTHONUNBUFFERED".to_owned(), "1".to_owned());
    }
    env.extend(declared.iter().map(|(name, value)| (name.clone(), value.clone())));
    env
}

#[cfg(test)]
mod tests;
