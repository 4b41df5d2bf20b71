//! From an application as pm2 reads it to what the supervisor runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use muster_pm2::{ExecMode, InstancesGiven, LogFile, LogType, Pm2App, Watch, inherited_env};
use muster_supervisor_protocol as protocol;
use muster_supervisor_protocol::{AppSpec, LogFormat, LogSettings, Pm2Origin, Readiness};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::origin::Record;
use crate::{Context, Failure, accounts, modconf, node};

/// There is something to run.
pub(crate) fn check_script(app: &Pm2App) -> Result<(), Failure> {
    match app.script_found || app.command_line.is_some() {
        true => Ok(()),
        false => Err(Failure::new(format!("Script not found: {}", app.script_path.display()))),
    }
}

/// What the supervisor shall run for an application. It is never started by being applied: see `bring_up`.
pub(crate) fn build(context: &Context, app: &Pm2App) -> Result<AppSpec, Failure> {
    check_script(app)?;
    let chosen = node::interpreter(context, app)?;
    let mut mode = app.exec_mode;
    if mode == ExecMode::Cluster && !app.interpreter.nodejs() {
        context.output.warn(format!(
            "{}: cluster mode needs Node.js; {} runs in fork mode",
            app.name,
            app.interpreter.name()
        ));
        mode = ExecMode::Fork;
    }
    let (user, home) = accounts::resolve(app)?;
    let own = app.own_env();
    let shell = inherited_env(&context.shell(), &app.filter_env);
    let mut env = shell.0.clone();
    env.insert("PWD".to_owned(), app.cwd.to_string_lossy().into_owned());
    env.insert("PM2_HOME".to_owned(), context.home.dir().to_string_lossy().into_owned());
    if let Some(home) = home {
        env.insert("HOME".to_owned(), home);
    }
    env.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
    let mut interpreter_args = chosen.extra_args;
    interpreter_args.extend(app.node_args.iter().cloned());
    let record = Record {
        asked_instances: app.instances.count,
        own_env: own.keys().cloned().collect(),
        shell_env: shell.keys().cloned().collect(),
        typed_cwd: app.cwd.to_string_lossy().into_owned(),
        typed_script: app.script_path.to_string_lossy().into_owned(),
        exec_interpreter: chosen.shown,
        version: String::new(),
        node_version: chosen.node_version,
        username: accounts::current_user(&context.env),
        autostart: app.autostart,
        shown: shown(app),
    };
    let stdin = mode == ExecMode::Fork;
    let mut spec = AppSpec {
        namespace: app.namespace.clone(),
        interpreter: chosen.path,
        interpreter_args,
        args: app.args.clone(),
        env: env.into(),
        exec_mode: match mode {
            ExecMode::Cluster => protocol::ExecMode::Cluster,
            ExecMode::Fork => protocol::ExecMode::Fork,
        },
        instances: app.instances.count,
        instance_var: app.instance_var.clone(),
        increment_var: app.increment_var.clone(),
        // `port` of pm2 sets a variable, which is among those above; nobody promises to listen there.
        port: None,
        autostart: false,
        readiness: if app.wait_ready { Readiness::ReadyMessage } else { Readiness::Started },
        listen_timeout_ms: app.listen_timeout_ms.max(1),
        kill_timeout_ms: app.kill_timeout_ms,
        kill_signal: app.kill_signal.clone(),
        treekill: app.treekill,
        shutdown_with_message: app.shutdown_with_message,
        autorestart: app.autorestart,
        max_restarts: app.max_restarts,
        min_uptime_ms: app.min_uptime_ms,
        restart_delay_ms: app.restart_delay_ms,
        exp_backoff_restart_delay_ms: app.exp_backoff_restart_delay_ms.unwrap_or(0),
        stop_exit_codes: app.stop_exit_codes.clone(),
        cron_restart: app.cron_restart.clone(),
        max_memory_restart_bytes: app.max_memory_restart_bytes,
        watch: watch(app),
        source_map_support: app.source_map_support && app.interpreter.nodejs(),
        stdin,
        user,
        group: app.gid.clone(),
        pid_file: Some(app.pid_file.to_string_lossy().into_owned()),
        logs: logs(context, app),
        pm2: Some(Pm2Origin {
            home: context.home.dir().to_string_lossy().into_owned(),
            record: record.value(),
        }),
        ..AppSpec::new(&app.name, "", "")
    };
    pin(&mut spec)?;
    Ok(spec)
}

/// Looks anew at what the paths mean now: links are followed once per start, so that a restart by itself stays with the
/// release it began with, and one that somebody asks for takes the newest.
pub(crate) fn pin(spec: &mut AppSpec) -> Result<(), Failure> {
    let mut record = Record::of(spec);
    let cwd = fs::canonicalize(&record.typed_cwd)
        .map_err(|error| Failure::new(format!("cwd {}: {error}", record.typed_cwd)))?;
    let typed = PathBuf::from(&record.typed_script);
    let script = match (typed.parent().and_then(|folder| fs::canonicalize(folder).ok()), typed.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => typed.clone(),
    };
    spec.cwd = cwd.to_string_lossy().into_owned();
    spec.script = script.to_string_lossy().into_owned();
    record.version = version(&typed);
    spec.release.clone_from(&record.version);
    if let Some(origin) = &mut spec.pm2 {
        origin.record = record.value();
    }
    seal_digest(spec);
    Ok(())
}

/// Gives the spec the digest of what it says.
pub(crate) fn seal_digest(spec: &mut AppSpec) {
    spec.spec_digest.clear();
    let bytes = serde_json::to_vec(&spec).expect("maps have texts as keys");
    spec.spec_digest = hex::encode(Sha256::digest(bytes));
}

/// `version` of the nearest package.json, looked for from the script upwards.
fn version(script: &Path) -> String {
    let nearest = script.ancestors().skip(1).find_map(|folder| {
        let bytes = fs::read(folder.join("package.json")).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok()
    });
    let version = nearest.and_then(|package| package.get("version")?.as_str().map(str::to_owned));
    version.unwrap_or_else(|| "N/A".to_owned())
}

fn watch(app: &Pm2App) -> Option<protocol::Watch> {
    let paths = match &app.watch {
        Watch::Off => return None,
        Watch::Cwd => Vec::new(),
        Watch::Paths(paths) => paths.clone(),
    };
    Some(protocol::Watch { paths, ignore: app.ignore_watch.clone(), delay_ms: app.watch_delay_ms })
}

fn logs(context: &Context, app: &Pm2App) -> LogSettings {
    let file = |file: &LogFile| match file {
        LogFile::None => protocol::LogFile::None,
        LogFile::Path(path) => protocol::LogFile::Path(path.to_string_lossy().into_owned()),
    };
    LogSettings {
        dir: None,
        out_file: file(&app.out_file),
        error_file: file(&app.error_file),
        log_file: match &app.log_file {
            LogFile::None => protocol::LogFile::Default,
            path @ LogFile::Path(_) => file(path),
        },
        merge: app.merge_logs,
        disabled: app.disable_logs,
        format: if app.log_type == LogType::Json { LogFormat::Json } else { LogFormat::Raw },
        date_format: app.log_date_format.clone(),
        // What pm2-logrotate keeps; pm2 alone would fill the disk.
        rotation: modconf::rotation(&context.home),
    }
}

/// Fields that pm2 shows and nothing of ours reads.
fn shown(app: &Pm2App) -> BTreeMap<String, Value> {
    let mut shown = BTreeMap::new();
    if !app.vizion {
        shown.insert("vizion".to_owned(), json!(false));
    }
    if !app.pmx {
        shown.insert("pmx".to_owned(), json!(false));
    }
    if !app.automation {
        shown.insert("automation".to_owned(), json!(false));
    }
    if let Some(port) = app.port {
        shown.insert("port".to_owned(), json!(port));
    }
    if app.time {
        shown.insert("time".to_owned(), json!(true));
    }
    if let Some(value) = filter(app) {
        shown.insert("filter_env".to_owned(), value);
    }
    if !app.post_update.is_empty() {
        shown.insert("post_update".to_owned(), json!(app.post_update));
    }
    for name in &app.monitoring {
        shown.insert((*name).to_owned(), json!(true));
    }
    if let InstancesGiven::AllBut(n) = app.instances.given {
        shown.insert("instances_given".to_owned(), json!(-i64::from(n)));
    }
    shown
}

fn filter(app: &Pm2App) -> Option<Value> {
    match &app.filter_env {
        muster_pm2::FilterEnv::Off => None,
        muster_pm2::FilterEnv::All => Some(json!(true)),
        muster_pm2::FilterEnv::Exact(name) => Some(json!(name)),
        muster_pm2::FilterEnv::Containing(parts) => Some(json!(parts)),
    }
}

/// Tells once, for each field, that it has no effect here.
pub(crate) fn notices(context: &Context, apps: &[Pm2App]) {
    let path = context.home.state_dir().join("noticed");
    let mut known = fs::read_to_string(&path).unwrap_or_default();
    let before = known.len();
    for app in apps {
        let mut without_effect: Vec<&str> = app.monitoring.clone();
        for field in ["vizion", "install_url", "watch_options", "kill_retry_time", "username"] {
            if app.gives(field) {
                without_effect.push(field);
            }
        }
        if let LogType::Other(_) = &app.log_type {
            without_effect.push("log_type");
        }
        for field in without_effect {
            let line = format!("{} {field}", app.name);
            if known.lines().any(|seen| seen == line) {
                continue;
            }
            let why = match field {
                "vizion" => "metadata of git is not read",
                "kill_retry_time" => "the kernel tells when a process is gone",
                "watch_options" => "the kernel tells of changes, and there is nothing to set",
                "log_type" => "only raw and json are known; lines are stored as they come",
                "username" => "it says who calls the command",
                "install_url" => "it belongs to pm2's modules",
                _ => "it belongs to pm2's hosted service",
            };
            context.output.warn(format!("{}: {field} has no effect here: {why}", app.name));
            known.push_str(&line);
            known.push('\n');
        }
    }
    if known.len() > before {
        // Said again next time when it cannot be written.
        drop(fs::create_dir_all(context.home.state_dir()).and_then(|()| fs::write(&path, known)));
    }
}
