//! `dump.pm2`: the full records of running processes, one per instance, back to applications.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::app::{InstancesGiven, LogFile, Pm2App, Variables};
use crate::coerce;
use crate::environment;
use crate::fields::FIELDS;
use crate::logs::without_id;
use crate::problem::{Problem, Warning};
use crate::resolve::{Context, resolve};
use crate::validate::validate;

/// Whether a document is a dump rather than a configuration: only pm2 itself writes these keys.
pub(crate) fn is_dump(root: &Value) -> bool {
    root.as_array().is_some_and(|records| {
        !records.is_empty()
            && records.iter().all(|record| record.get("pm_exec_path").is_some_and(Value::is_string))
    })
}

/// The applications of a dump, in its order. Records of one name and namespace are instances of one application.
pub(crate) fn apps(
    records: &[Value],
    context: &Context<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Pm2App>, Vec<Problem>> {
    let mut apps: Vec<Pm2App> = Vec::new();
    let mut problems = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let Some(record) = record.as_object() else { continue };
        let label = text(record, "name").unwrap_or_else(|| format!("record {}", index + 1));
        match app(&label, record, context, warnings) {
            Ok(app) => {
                let same =
                    apps.iter_mut().find(|known| known.name == app.name && known.namespace == app.namespace);
                match same {
                    Some(known) => {
                        known.instances.count += 1;
                        // It runs when any of its instances does.
                        known.stopped &= app.stopped;
                    }
                    None => apps.push(app),
                }
            }
            Err(found) => problems.extend(found),
        }
    }
    for app in &mut apps {
        app.instances.given = InstancesGiven::Count(app.instances.count);
    }
    if problems.is_empty() { Ok(apps) } else { Err(problems) }
}

fn text(record: &Map<String, Value>, key: &str) -> Option<String> {
    record.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn app(
    label: &str,
    record: &Map<String, Value>,
    context: &Context<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Pm2App, Vec<Problem>> {
    // A record is full of figures and of the application's own variables; only pm2's fields count.
    let mut written: Map<String, Value> = Map::new();
    for field in FIELDS {
        if let Some(value) = record.get(field.name).filter(|value| !value.is_null()) {
            written.insert(field.name.to_owned(), value.clone());
        }
    }
    let (env, shell_variables) = own_variables(label, record);
    let written_env = env.iter().map(|(name, value)| (name.clone(), Value::from(value.clone())));
    written.insert("env".to_owned(), Value::Object(written_env.collect()));
    written.remove("filter_env");
    if let Some(script) = text(record, "pm_exec_path") {
        written.insert("script".to_owned(), Value::from(script));
    }
    if let Some(cwd) = text(record, "pm_cwd") {
        written.insert("cwd".to_owned(), Value::from(cwd));
    }
    let merged = record.get("merge_logs").is_some_and(|merge| !coerce::falsy(merge));
    written.insert("merge_logs".to_owned(), Value::Bool(merged));
    let mut checked = validate(label, &written);
    // What a record holds was checked when the application was started.
    checked.warnings.clear();
    let mut app = resolve(label, &mut checked, context)?;
    // Instances of one application say the same.
    checked.warnings.retain(|warning| !warnings.contains(warning));
    warnings.append(&mut checked.warnings);
    app.merge_logs = merged;
    for (file, key) in [
        (&mut app.out_file, "pm_out_log_path"),
        (&mut app.error_file, "pm_err_log_path"),
        (&mut app.log_file, "pm_log_path"),
    ] {
        if let Some(path) = text(record, key) {
            *file = log_file(&path, merged);
        }
    }
    if let Some(path) = text(record, "pm_pid_path") {
        let stem = path.strip_suffix(".pid").map(without_id);
        app.pid_file = PathBuf::from(stem.map_or_else(|| path.clone(), |stem| format!("{stem}.pid")));
    }
    app.instances.count = 1;
    app.stopped = matches!(text(record, "status").as_deref(), Some("stopped" | "errored"));
    app.node_version = text(record, "node_version");
    app.shell_variables = shell_variables;
    app.given = given(record, &app, context);
    Ok(app)
}

/// The file before the number of the instance was put into its name.
fn log_file(path: &str, merged: bool) -> LogFile {
    match path.strip_suffix(".log") {
        _ if path == "/dev/null" => LogFile::None,
        Some(stem) if !merged => LogFile::Path(PathBuf::from(format!("{}.log", without_id(stem)))),
        _ => LogFile::Path(PathBuf::from(path)),
    }
}

/// A record holds every field with a default; those that differ from it were given.
fn given(
    record: &Map<String, Value>,
    app: &Pm2App,
    context: &Context<'_>,
) -> std::collections::BTreeSet<&'static str> {
    let mut given: std::collections::BTreeSet<&'static str> = FIELDS
        .iter()
        .map(|field| field.name)
        .filter(|name| {
            !matches!(*name, "username" | "merge_logs" | "namespace" | "args" | "node_args" | "watch" | "env")
        })
        .filter(|name| match (record.get(*name), crate::fields::default_of(name)) {
            (None | Some(Value::Null), _) => false,
            (Some(value), Some(default)) => *value != default,
            (Some(_), None) => true,
        })
        .collect();
    let home = &context.surroundings.pm2_home;
    let elsewhere = |file: &LogFile| match file {
        LogFile::None => true,
        LogFile::Path(path) => {
            !path.starts_with(home.join("logs")) && !path.to_string_lossy().contains("/.pm2/logs/")
        }
    };
    if elsewhere(&app.out_file) {
        given.insert("out_file");
    }
    if elsewhere(&app.error_file) {
        given.insert("error_file");
    }
    if !matches!(app.log_file, LogFile::None) {
        given.insert("log_file");
    }
    given
}

/// Variables that a shell, a terminal, a session, npm or pm2 itself sets. A dump holds the environment of the shell that
/// started the application as well, and nothing tells the two apart but the names.
const OF_A_SHELL: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "PWD",
    "OLDPWD",
    "SHLVL",
    "LANG",
    "LANGUAGE",
    "MAIL",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "HOSTNAME",
    "HOSTTYPE",
    "OSTYPE",
    "MACHTYPE",
    "DISPLAY",
    "COLORTERM",
    "LS_COLORS",
    "LESSOPEN",
    "LESSCLOSE",
    "_",
    "TMPDIR",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "WINDOWID",
    "TMUX",
    "HISTCONTROL",
    "WSL_DISTRO_NAME",
];
const PREFIXES_OF_A_SHELL: &[&str] = &[
    "PM2_", "SSH_", "XDG_", "LC_", "npm_", "NVM_", "SUDO_", "DBUS_", "GPG_", "VSCODE_", "TERM_", "TMUX_",
    "BASH_", "axm_",
];

/// The application's own variables, and the names of those that were left out.
fn own_variables(name: &str, record: &Map<String, Value>) -> (Variables, Vec<String>) {
    let all = environment::variables(record.get("env"));
    let instance_var = text(record, "instance_var").unwrap_or_else(|| "NODE_APP_INSTANCE".to_owned());
    let mut left_out = Vec::new();
    let mut own = BTreeMap::new();
    for (variable, value) in all.0 {
        let of_a_shell = OF_A_SHELL.contains(&variable.as_str())
            || PREFIXES_OF_A_SHELL.iter().any(|prefix| variable.starts_with(prefix));
        // pm2's own are nothing that an application would miss.
        let of_pm2 =
            variable.starts_with("PM2_") || ["unique_id", "PYTHONUNBUFFERED"].contains(&variable.as_str());
        if of_pm2 {
            continue;
        }
        if of_a_shell {
            left_out.push(variable);
        // pm2 leaves `{}` under the name of the application, and the number of the instance.
        } else if variable != name && variable != instance_var {
            own.insert(variable, value);
        }
    }
    (Variables(own), left_out)
}
