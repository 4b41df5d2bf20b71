//! One process as pm2's own list shows it, with pm2's keys in pm2's order: what `jlist` and `prettylist` print, and what
//! scripts read.

use std::collections::HashSet;
use std::path::Path;

use muster_pm2::{LogFile, looks_secret};
use muster_supervisor_protocol as protocol;
use muster_supervisor_protocol::{AppSpec, ExecMode};

use crate::js::Js;
use crate::origin::Record;
use crate::process::Process;
use crate::snapshot::Snapshot;

/// What stands where a secret would.
const REDACTED: &str = "[redacted]";

/// Whether values that look like secrets are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secrets {
    Hidden,
    Shown,
}

/// Every process.
pub(crate) fn list(snapshot: &Snapshot) -> Js {
    Js::List(snapshot.processes.iter().map(|process| process_record(snapshot, process)).collect())
}

/// One process.
pub(crate) fn process_record(snapshot: &Snapshot, process: &Process) -> Js {
    let fallback = AppSpec::new(&process.name, "/", "");
    let spec = snapshot.specs.get(&process.name).unwrap_or(&fallback);
    let pid = process.instance.pid.unwrap_or(0);
    // pm2 rounds to tenths.
    let cpu = (f64::from(process.instance.cpu_percent) * 10.0).round() / 10.0;
    Js::Map(vec![
        entry("pid", Js::number(pid.into())),
        entry("name", Js::text(&process.name)),
        entry("pm2_env", pm2_env(spec, process, Secrets::Hidden)),
        entry("pm_id", Js::number(process.id().into())),
        entry(
            "monit",
            Js::Map(vec![
                entry("memory", Js::number(process.instance.memory_bytes)),
                entry("cpu", Js::Number(cpu)),
            ]),
        ),
    ])
}

fn entry(name: &str, value: Js) -> (String, Js) {
    (name.to_owned(), value)
}

/// The file of a stream, where it really is.
pub(crate) fn log_path(file: &protocol::LogFile, id: u32, merge: bool) -> Option<String> {
    match file {
        protocol::LogFile::Default => None,
        protocol::LogFile::None => Some("/dev/null".to_owned()),
        protocol::LogFile::Path(path) => {
            match LogFile::Path(Path::new(path).to_owned()).of_instance(id, merge) {
                LogFile::Path(path) => Some(path.to_string_lossy().into_owned()),
                LogFile::None => None,
            }
        }
    }
}

/// The file with a process id.
pub(crate) fn pid_path(spec: &AppSpec, id: u32) -> Option<String> {
    let path = Path::new(spec.pid_file.as_deref()?);
    let stem = path.file_stem()?.to_string_lossy();
    let extension = path.extension().map_or_else(String::new, |it| format!(".{}", it.to_string_lossy()));
    Some(path.with_file_name(format!("{stem}-{id}{extension}")).to_string_lossy().into_owned())
}

/// pm2's word for a mode.
pub(crate) fn mode_word(mode: ExecMode) -> &'static str {
    match mode {
        ExecMode::Cluster => "cluster_mode",
        ExecMode::Fork => "fork_mode",
    }
}

fn variables(spec: &AppSpec, secrets: Secrets) -> Vec<(String, Js)> {
    let shown = |name: &str, value: &str| match secrets {
        Secrets::Hidden if looks_secret(name, value) => REDACTED.to_owned(),
        _ => value.to_owned(),
    };
    spec.env.iter().map(|(name, value)| (name.clone(), Js::Text(shown(name, value)))).collect()
}

/// The record of pm2.
pub(crate) fn pm2_env(spec: &AppSpec, process: &Process, secrets: Secrets) -> Js {
    let record = Record::of(spec);
    let id = process.id();
    let mut fields: Vec<(String, Js)> = Vec::with_capacity(96);
    let mut known: HashSet<String> = HashSet::with_capacity(96);
    let mut add = |name: &str, value: Js| {
        if known.insert(name.to_owned()) {
            fields.push((name.to_owned(), value));
        }
    };
    let env = variables(spec, secrets);
    add("name", Js::text(&spec.name));
    add("namespace", Js::text(&spec.namespace));
    if !spec.args.is_empty() {
        add("args", Js::texts(&spec.args));
    }
    add("env", Js::Map(env.clone()));
    settings(spec, &mut add);
    for (name, value) in &record.shown {
        add(name, Js::from(value));
    }
    add("vizion", true.into());
    add("autostart", record.autostart.into());
    add("autorestart", spec.autorestart.into());
    add("watch", watch(spec));
    add("instance_var", Js::text(&spec.instance_var));
    add("pmx", true.into());
    add("automation", true.into());
    add("treekill", spec.treekill.into());
    add("username", Js::text(&record.username));
    add("windowsHide", true.into());
    add("kill_retry_time", Js::number(100));
    add("node_args", Js::texts(&spec.interpreter_args));
    add("pm_exec_path", Js::text(&record.typed_script));
    add("pm_cwd", Js::text(&record.typed_cwd));
    add("exec_interpreter", Js::text(&record.exec_interpreter));
    add("exec_mode", Js::text(mode_word(spec.exec_mode)));
    add("instances", Js::number(spec.instances.into()));
    let logs = &spec.logs;
    for (name, file) in [("pm_out_log_path", &logs.out_file), ("pm_err_log_path", &logs.error_file)] {
        add(name, log_path(file, id, logs.merge).map_or(Js::Null, Js::Text));
    }
    if let protocol::LogFile::Path(_) = &logs.log_file
        && let Some(path) = log_path(&logs.log_file, id, logs.merge)
    {
        add("pm_log_path", Js::Text(path));
    }
    add("pm_pid_path", pid_path(spec, id).map_or(Js::Null, Js::Text));
    add("km_link", false.into());
    add("vizion_running", false.into());
    add(&spec.instance_var, Js::number(process.instance.index.into()));
    state(process, &mut add);
    add("version", Js::text(&record.version));
    if let Some(version) = &record.node_version {
        add("node_version", Js::text(version));
    }
    // What pm2 lets the environment overwrite is not overwritten here: `status` is the state, whatever a variable says.
    for (name, value) in env {
        add(&name, value);
    }
    Js::Map(fields)
}

fn settings(spec: &AppSpec, add: &mut impl FnMut(&str, Js)) {
    add("merge_logs", spec.logs.merge.into());
    add("kill_timeout", Js::number(spec.kill_timeout_ms));
    add("listen_timeout", Js::number(spec.listen_timeout_ms));
    add("min_uptime", Js::number(spec.min_uptime_ms));
    add("max_restarts", Js::number(spec.max_restarts.into()));
    add("restart_delay", Js::number(spec.restart_delay_ms));
    if spec.exp_backoff_restart_delay_ms > 0 {
        add("exp_backoff_restart_delay", Js::number(spec.exp_backoff_restart_delay_ms));
    }
    if let Some(bytes) = spec.max_memory_restart_bytes {
        add("max_memory_restart", Js::number(bytes));
    }
    if let Some(pattern) = &spec.cron_restart {
        add("cron_restart", Js::text(pattern));
    }
    if !spec.stop_exit_codes.is_empty() {
        let codes = spec.stop_exit_codes.iter().map(|code| Js::Number(f64::from(*code)));
        add("stop_exit_codes", Js::List(codes.collect()));
    }
    add("wait_ready", (spec.readiness == protocol::Readiness::ReadyMessage).into());
    add("shutdown_with_message", spec.shutdown_with_message.into());
    if let Some(variable) = &spec.increment_var {
        add("increment_var", Js::text(variable));
    }
    if spec.logs.disabled {
        add("disable_logs", true.into());
    }
    if spec.logs.format == protocol::LogFormat::Json {
        add("log_type", Js::text("json"));
    }
    if let Some(format) = &spec.logs.date_format {
        add("log_date_format", Js::text(format));
    }
    if let Some(user) = &spec.user {
        add("uid", Js::text(user));
    }
    if let Some(group) = &spec.group {
        add("gid", Js::text(group));
    }
    if let Some(protocol::Watch { ignore, delay_ms, .. }) = &spec.watch {
        if let Some(ignore) = ignore {
            add("ignore_watch", Js::texts(ignore));
        }
        add("watch_delay", Js::number(*delay_ms));
    }
}

fn watch(spec: &AppSpec) -> Js {
    match &spec.watch {
        None => false.into(),
        Some(watch) if watch.paths.is_empty() => true.into(),
        Some(watch) => Js::texts(&watch.paths),
    }
}

fn state(process: &Process, add: &mut impl FnMut(&str, Js)) {
    let instance = &process.instance;
    let ms = |at: Option<chrono::DateTime<chrono::Utc>>| {
        at.and_then(|at| u64::try_from(at.timestamp_millis()).ok()).map_or(Js::Number(0.0), Js::number)
    };
    add("status", Js::text(process.status()));
    add("pm_uptime", ms(instance.started_at));
    add("axm_actions", Js::List(instance.actions.iter().map(Js::from).collect()));
    let metrics = instance.metrics.iter().map(|(name, value)| (name.clone(), Js::from(value)));
    add("axm_monitor", Js::Map(metrics.collect()));
    add("axm_options", Js::Map(Vec::new()));
    add("axm_dynamic", Js::Map(Vec::new()));
    add("created_at", ms(instance.created_at.or(instance.started_at)));
    add("pm_id", Js::number(process.id().into()));
    add("restart_time", Js::number(instance.restarts.into()));
    add("unstable_restarts", Js::number(instance.unstable_restarts.into()));
    if let Some(exit) = &instance.last_exit {
        // A death by a signal counts as 0, as with pm2.
        add("exit_code", Js::Number(f64::from(exit.code.unwrap_or(0))));
        add("exit_reason", Js::text(&exit.reason));
    }
}
