//! What people want to run, from files, from standard input and from flags, all by pm2's own rules.

use std::io::Read;
use std::path::{Path, PathBuf};

use muster_pm2::{Format, ImportError, Loaded, LocalFiles, Pm2App, Watch, load, parse};
use serde_json::{Map, Value, json};

use crate::{Context, Failure};

/// Parts of names by which pm2 tells a configuration file.
const CONFIG_NAMES: [&str; 6] = [".json", ".yml", ".yaml", ".config.js", ".config.cjs", ".config.mjs"];
/// A configuration on standard input is never larger.
const INPUT_BYTES_AT_MOST: u64 = 8 * 1024 * 1024;
/// Keys of warnings that speak about a move to a fleet, or that are said in pm2's own words elsewhere.
const NOT_HERE: [&str; 4] = ["deploy", "static", "--env", "script"];

/// Whether pm2 takes a word for the name of a configuration file.
pub(crate) fn names_config(word: &str) -> bool {
    CONFIG_NAMES.iter().any(|part| word.contains(part))
}

/// The applications of a file, with `--only`, `--env` and the other flags that pm2 looks at here.
pub(crate) fn of_file(context: &Context, file: &str) -> Result<Vec<Pm2App>, Failure> {
    let path = context.cwd.join(file);
    if !path.exists() {
        return Err(Failure::new(format!("File {file} not found")));
    }
    let loaded = load(&path, &surroundings(context)).map_err(failure)?;
    finish(context, loaded)
}

/// The applications of a document, from standard input or made by another verb.
pub(crate) fn of_document(context: &Context, root: Value) -> Result<Vec<Pm2App>, Failure> {
    let surroundings = surroundings(context);
    let files = LocalFiles::new(&context.env);
    let cwd = surroundings.cwd.clone().unwrap_or_else(|| context.cwd.clone());
    let loaded = parse(root, Path::new("-"), Format::Json, &cwd, &surroundings, &files).map_err(failure)?;
    finish(context, loaded)
}

/// The document on standard input.
pub(crate) fn standard_input() -> Result<Value, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .take(INPUT_BYTES_AT_MOST)
        .read_to_string(&mut text)
        .map_err(|error| Failure::new(format!("standard input cannot be read: {error}")))?;
    muster_pm2::read_json(&text, Path::new("standard input")).map_err(failure)
}

/// One application by a script and the flags.
pub(crate) fn of_script(context: &Context, script: &str) -> Result<Pm2App, Failure> {
    let app = of_fields(context, script, flag_fields(context))?;
    if context.flags.ext.is_some() {
        context.output.warn("--ext has no effect here: say with --ignore-watch what is not to be watched");
    }
    Ok(app)
}

/// One application by a script and fields.
pub(crate) fn of_fields(
    context: &Context,
    script: &str,
    mut fields: Map<String, Value>,
) -> Result<Pm2App, Failure> {
    fields.insert("script".to_owned(), json!(script));
    if let Some(args) = &context.script_args {
        fields.insert("args".to_owned(), json!(args));
    }
    let surroundings = context.surroundings();
    let files = LocalFiles::new(&context.env);
    let root = json!({"apps": [fields]});
    let mut loaded =
        parse(root, Path::new(script), Format::Json, &context.cwd, &surroundings, &files).map_err(failure)?;
    say_warnings(context, &loaded);
    let mut app = loaded.apps.pop().ok_or_else(|| Failure::new("there is nothing to start"))?;
    if let Some(delay) = watch_delay(context)? {
        app.watch_delay_ms = delay;
    }
    Ok(app)
}

/// The fields that flags give, under pm2's names. `--env`, `--only` and what is not about an application is not among
/// them.
pub(crate) fn flag_fields(context: &Context) -> Map<String, Value> {
    let flags = &context.flags;
    let mut fields = Map::new();
    let texts = [
        ("name", &flags.name),
        ("exec_interpreter", &flags.interpreter),
        ("node_args", &flags.node_args),
        ("out_file", &flags.output),
        ("error_file", &flags.error),
        ("log_type", &flags.log_type),
        ("log_date_format", &flags.log_date_format),
        ("instances", &flags.instances),
        ("pid_file", &flags.pid),
        ("kill_timeout", &flags.kill_timeout),
        ("listen_timeout", &flags.listen_timeout),
        ("max_memory_restart", &flags.max_memory_restart),
        ("restart_delay", &flags.restart_delay),
        ("exp_backoff_restart_delay", &flags.exp_backoff_restart_delay),
        ("max_restarts", &flags.max_restarts),
        ("uid", &flags.uid),
        ("gid", &flags.gid),
        ("namespace", &flags.namespace),
        ("cwd", &flags.cwd),
        ("cron_restart", &flags.cron),
        ("ignore_watch", &flags.ignore_watch),
    ];
    for (name, value) in texts {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            fields.insert(name.to_owned(), json!(value));
        }
    }
    if let (Some(arguments), None) = (&flags.interpreter_args, &flags.node_args) {
        fields.insert("node_args".to_owned(), json!(arguments));
    }
    if let Some(log) = &flags.log {
        let value = if log.is_empty() { Value::Bool(true) } else { json!(log) };
        fields.insert("log_file".to_owned(), value);
    }
    let switches = [
        ("time", flags.time, true),
        ("disable_logs", flags.disable_logs, true),
        ("shutdown_with_message", flags.shutdown_with_message, true),
        ("execute_command", flags.execute_command, true),
        ("write", flags.write, true),
        ("force", flags.force, true),
        ("source_map_support", flags.source_map_support, true),
        ("disable_source_map_support", flags.disable_source_map_support, true),
        ("wait_ready", flags.wait_ready, true),
        ("merge_logs", flags.merge_logs, true),
        ("vizion", flags.no_vizion, false),
        ("autostart", flags.no_autostart, false),
        ("autorestart", flags.no_autorestart, false),
        ("treekill", flags.no_treekill, false),
        ("pmx", flags.no_pmx, false),
        ("automation", flags.no_automation, false),
        ("trace", flags.trace, true),
        ("v8", flags.v8, true),
        ("event_loop_inspector", flags.event_loop_inspector, true),
        ("deep_monitoring", flags.deep_monitoring, true),
    ];
    for (name, given, value) in switches {
        if given {
            fields.insert(name.to_owned(), Value::Bool(value));
        }
    }
    if !flags.filter_env.is_empty() {
        fields.insert("filter_env".to_owned(), json!(flags.filter_env));
    }
    if !flags.stop_exit_codes.is_empty() {
        let codes: Vec<&str> =
            flags.stop_exit_codes.iter().flat_map(|codes| codes.split([',', ' '])).collect();
        fields.insert("stop_exit_codes".to_owned(), json!(codes));
    }
    if let Some(watch) = watch(context) {
        fields.insert("watch".to_owned(), watch);
    }
    fields
}

/// `--watch`, `--watch path`, several of them.
fn watch(context: &Context) -> Option<Value> {
    let given = &context.flags.watch;
    let paths: Vec<&String> = given.iter().filter(|path| !path.is_empty()).collect();
    match (given.is_empty(), paths.is_empty()) {
        (true, _) => None,
        (false, true) => Some(Value::Bool(true)),
        (false, false) => Some(json!(paths)),
    }
}

/// `4` is seconds, `4000ms` is what it says.
fn watch_delay(context: &Context) -> Result<Option<u64>, Failure> {
    let Some(given) = &context.flags.watch_delay else { return Ok(None) };
    let (number, factor) = match given.trim().strip_suffix("ms") {
        Some(number) => (number, 1.0),
        None => (given.trim(), 1_000.0),
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be positive")]
    let read = number.trim().parse::<f64>().ok().filter(|n| *n >= 0.0).map(|n| (n * factor) as u64);
    read.map(Some).ok_or_else(|| {
        Failure::new(format!("--watch-delay {given:?} is no time")).hint("write 4 for seconds, or 4000ms")
    })
}

fn surroundings(context: &Context) -> muster_pm2::Surroundings {
    let mut surroundings = context.surroundings();
    if let Some(cwd) = &context.flags.cwd {
        surroundings.cwd = Some(context.cwd.join(cwd));
    }
    surroundings
}

/// What pm2 does with the flags and the applications of a file.
fn finish(context: &Context, loaded: Loaded) -> Result<Vec<Pm2App>, Failure> {
    say_warnings(context, &loaded);
    let flags = &context.flags;
    let only: Option<Vec<&str>> =
        (flags.only.as_deref()).map(|only| only.split([',', ' ']).filter(|name| !name.is_empty()).collect());
    let mut apps = loaded.apps;
    if !loaded.statics.is_null() {
        let made = crate::serve::static_section(context, &loaded.statics)?;
        let surroundings = surroundings(context);
        let files = LocalFiles::new(&context.env);
        let root = json!({"apps": made});
        let sites = parse(root, Path::new("static"), Format::Json, &context.cwd, &surroundings, &files);
        apps.extend(sites.map_err(failure)?.apps);
    }
    if let Some(only) = only {
        apps.retain(|app| only.contains(&app.name.as_str()));
        if apps.is_empty() {
            return Err(Failure::new(format!("no application of the file is called {}", only.join(" or ")))
                .hint("--only takes names as they stand in the file, with commas between them"));
        }
    }
    for app in &mut apps {
        if let (Some(namespace), false) = (&flags.namespace, app.gives("namespace")) {
            app.namespace.clone_from(namespace);
        }
        if app.watch == Watch::Off && !flags.watch.is_empty() {
            app.watch = match watch(context) {
                Some(Value::Array(paths)) => {
                    Watch::Paths(paths.iter().filter_map(Value::as_str).map(str::to_owned).collect())
                }
                _ => Watch::Cwd,
            };
        }
        if let (Some(ignore), None) = (&flags.ignore_watch, &app.ignore_watch) {
            app.ignore_watch = Some(ignore.split_whitespace().map(str::to_owned).collect());
        }
        if let Some(uid) = &flags.uid {
            app.uid = Some(uid.clone());
        }
        if let Some(gid) = &flags.gid {
            app.gid = Some(gid.clone());
        }
        if let Some(name) = &context.surroundings().env_name
            && !app.environments.contains_key(name)
        {
            context.output.warn(format!("Environment [{name}] is not defined in process file"));
        }
    }
    let mut names: Vec<(&str, &str)> =
        apps.iter().map(|app| (app.name.as_str(), app.namespace.as_str())).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Failure::new(format!("two applications are called {:?}", pair[0].0))
            .hint("give each a name of its own; a namespace does not tell them apart here"));
    }
    Ok(apps)
}

/// What pm2 would have taken without a word.
fn say_warnings(context: &Context, loaded: &Loaded) {
    for warning in loaded.warnings.iter().filter(|warning| !NOT_HERE.contains(&warning.key.as_str())) {
        context.output.warn(warning.to_string());
    }
}

fn failure(error: ImportError) -> Failure {
    let failure = Failure::new(error.to_string());
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// The path of `<name>-pm2.json`, which `--write` writes.
pub(crate) fn written_path(context: &Context, name: &str) -> PathBuf {
    context.cwd.join(format!("{name}-pm2.json"))
}
