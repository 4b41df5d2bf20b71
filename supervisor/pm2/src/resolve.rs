//! The rules of pm2 that turn checked keys into one application: names, paths, modes, counts, defaults.

use std::path::Path;

use serde_json::{Map, Value};

use crate::app::{ExecMode, Instances, InstancesGiven, Interpreter, LogType, Pm2App, Variables, Watch};
use crate::coerce;
use crate::environment::{self, Layers};
use crate::interpreter::interpreter;
use crate::logs;
use crate::problem::{Problem, Warning};
use crate::surroundings::{Files, Surroundings};
use crate::validate::Checked;
use crate::words::quoted;

/// pm2's rule for `exec_mode`: what is given; else cluster when `instances` is a number ≥ 1, 0 (`max`) or −1 and the
/// interpreter is Node.js or bun; else fork. So `instances: 1` is cluster, and −2 is fork.
pub fn exec_mode(given: Option<ExecMode>, instances: Option<f64>, interpreter: &Interpreter) -> ExecMode {
    let clusters = instances.is_some_and(|n| n >= 1.0 || n == 0.0 || n == -1.0);
    let base = interpreter.name().rsplit('/').next().unwrap_or_default();
    let javascript = base.ends_with("node") || base.ends_with("bun");
    match given {
        Some(mode) => mode,
        None if clusters && javascript => ExecMode::Cluster,
        None => ExecMode::Fork,
    }
}

/// How many instances a number means on a machine: 0 (`max`) one per processor, −n so many fewer, never less than one.
pub fn instance_count(instances: Option<i64>, cpus: u32) -> u32 {
    let count = match instances {
        None => 1,
        Some(0) => i64::from(cpus),
        Some(n) if n < 0 => n.saturating_add(i64::from(cpus)),
        Some(n) => n,
    };
    u32::try_from(count.max(1)).unwrap_or(u32::MAX)
}

/// pm2's default for `merge_logs`: true when `exec_mode` is not *given* as cluster and `instances` is unset or 0 (`max`);
/// it is decided before the mode is.
pub fn merge_logs_default(exec_mode_given: Option<ExecMode>, instances: Option<i64>) -> bool {
    exec_mode_given != Some(ExecMode::Cluster) && instances.is_none_or(|n| n == 0)
}

/// The checked keys of one application.
struct Keys<'a> {
    label: &'a str,
    fields: &'a Map<String, Value>,
    problems: Vec<Problem>,
}

impl Keys<'_> {
    fn text(&self, key: &str) -> Option<String> {
        self.fields.get(key).map(coerce::text).filter(|text| !text.is_empty())
    }

    fn on(&self, key: &str) -> bool {
        self.fields.get(key).is_some_and(|value| !coerce::falsy(value))
    }

    fn float(&self, key: &str) -> Option<f64> {
        self.fields.get(key).and_then(Value::as_f64)
    }

    fn list(&self, key: &str) -> Option<Vec<String>> {
        match self.fields.get(key)? {
            Value::Array(items) => Some(items.iter().map(coerce::text).collect()),
            other => Some(vec![coerce::text(other)]),
        }
    }

    /// A number that has to be whole and within bounds to mean anything.
    fn whole<T: TryFrom<u64>>(&mut self, key: &str, valid: &str) -> Option<T> {
        let float = self.float(key)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked right before")]
        let number = (0.0..=9e15).contains(&float).then_some(float as u64).and_then(|n| T::try_from(n).ok());
        if number.is_none() {
            self.problems.push(Problem {
                app: self.label.to_owned(),
                key: key.to_owned(),
                message: format!("{} is out of range", self.fields[key]),
                valid: valid.to_owned(),
            });
        }
        number
    }
}

/// What resolving needs besides the application itself.
pub(crate) struct Context<'a> {
    pub(crate) surroundings: &'a Surroundings,
    pub(crate) files: &'a dyn Files,
    /// The absolute folder that relative paths begin from.
    pub(crate) cwd: &'a Path,
    /// The sections of `deploy`.
    pub(crate) deploy: Option<&'a Value>,
}

/// One application, or every reason why there is none. Warnings go to `checked`.
pub(crate) fn resolve(
    label: &str,
    checked: &mut Checked,
    context: &Context<'_>,
) -> Result<Pm2App, Vec<Problem>> {
    let surroundings = context.surroundings;
    let fields = std::mem::take(&mut checked.fields);
    let mut keys = Keys { label, fields: &fields, problems: std::mem::take(&mut checked.problems) };
    let script = keys.text("script").unwrap_or_default();
    if script.is_empty() && !keys.problems.iter().any(|problem| problem.key == "script") {
        keys.problems.push(Problem {
            app: label.to_owned(),
            key: "script".to_owned(),
            message: "it is missing".to_owned(),
            valid: "the path of the script: \"app.js\"".to_owned(),
        });
    }
    let command_line = match (script.as_str(), fields.get("args")) {
        ("bash", Some(Value::Array(args))) if args.len() == 2 && args[0] == "-c" => {
            Some(coerce::text(&args[1])).filter(|line| line.contains(' '))
        }
        _ => None,
    };
    let base_name = keys.text("name").unwrap_or_else(|| crate::validate::name_of(&script));
    let append_env_to_name = keys.on("append_env_to_name");
    let name = match &surroundings.env_name {
        Some(env_name) if append_env_to_name => format!("{base_name}-{env_name}"),
        _ => base_name,
    };
    let cwd =
        keys.text("cwd").map_or_else(|| context.cwd.to_owned(), |cwd| logs::normal(&context.cwd.join(cwd)));
    let in_cwd = logs::normal(&cwd.join(&script));
    let (script_path, script_found) = match () {
        () if context.files.exists(&in_cwd) => (in_cwd, true),
        () => context.files.which(&script).map_or((in_cwd, false), |found| (found, true)),
    };
    if !script_found && !script.is_empty() && command_line.is_none() {
        checked.warnings.push(Warning::of(
            &name,
            "script",
            format!("{} does not exist here; pm2 would not start it", quoted(&script_path.to_string_lossy())),
        ));
    }
    let interpreter = interpreter(keys.text("exec_interpreter").as_deref(), &script_path, context.files);
    let given_mode = keys.text("exec_mode").map(|mode| match mode.starts_with("cluster") {
        true => ExecMode::Cluster,
        false => ExecMode::Fork,
    });
    if given_mode == Some(ExecMode::Cluster) && matches!(interpreter, Interpreter::NodeVersion(_)) {
        checked.warnings.push(Warning::of(
            &name,
            "interpreter",
            "pm2 does not choose a version of Node.js in cluster mode, and does not start this application",
        ));
    }
    let number = keys.float("instances");
    #[expect(clippy::cast_possible_truncation, reason = "a cast saturates, and so does the count")]
    let whole = number.map(|number| number as i64);
    let given_instances = match whole {
        None => InstancesGiven::Absent,
        Some(0) => InstancesGiven::Max,
        Some(n) if n < 0 => InstancesGiven::AllBut(u32::try_from(n.unsigned_abs()).unwrap_or(u32::MAX)),
        Some(n) => InstancesGiven::Count(u32::try_from(n).unwrap_or(u32::MAX)),
    };
    let port = keys.whole("port", "a port from 0 to 65535");
    let environments = checked.environments.iter();
    let environments: std::collections::BTreeMap<String, Variables> =
        environments.map(|(name, section)| (name.clone(), environment::variables(Some(section)))).collect();
    if fields.get("env").is_some_and(Value::is_string) {
        let message = "is text; pm2 would make one variable of each character, we make none. Write a map";
        checked.warnings.push(Warning::of(&name, "env", message));
    }
    let chosen = surroundings.env_name.as_deref();
    let layers = Layers {
        env: environment::variables(fields.get("env")),
        port,
        deploy: chosen.and_then(|chosen| context.deploy?.get(chosen)?.get("env")),
        chosen: chosen.and_then(|chosen| environments.get(chosen)),
    };
    if let Some(chosen) = chosen
        && !environments.contains_key(chosen)
    {
        let message = format!("there is no env_{chosen}; pm2 only warns, and goes on with `env`");
        checked.warnings.push(Warning::of(&name, "--env", message));
    }
    let file_name = logs::file_name(&name);
    let stream = |key: &str, suffix: &str| {
        logs::stream(fields.get(key), &format!("{file_name}-{suffix}.log"), &cwd, surroundings)
    };
    const MS: &str = "milliseconds, a whole number";
    let app = Pm2App {
        namespace: keys.text("namespace").unwrap_or_else(|| "default".to_owned()),
        name_prefix: keys.text("name_prefix"),
        append_env_to_name,
        args: keys.list("args").unwrap_or_default(),
        node_args: keys.list("node_args").unwrap_or_default(),
        exec_mode: exec_mode(given_mode, number, &interpreter),
        instances: Instances { given: given_instances, count: instance_count(whole, surroundings.cpus) },
        instance_var: (surroundings.switch("PM2_PROCESS_INSTANCE_VAR").map(str::to_owned))
            .or_else(|| keys.text("instance_var"))
            .unwrap_or_else(|| "NODE_APP_INSTANCE".to_owned()),
        increment_var: keys.text("increment_var"),
        port,
        env: layers.united(),
        chosen_env: surroundings.env_name.clone(),
        environments,
        filter_env: environment::filter(fields.get("filter_env")),
        shell_variables: Vec::new(),
        autostart: keys.on("autostart"),
        autorestart: keys.on("autorestart"),
        stop_exit_codes: exit_codes(fields.get("stop_exit_codes")),
        min_uptime_ms: keys.whole("min_uptime", MS).unwrap_or(1_000),
        max_restarts: keys.whole("max_restarts", "a whole number").unwrap_or(16),
        restart_delay_ms: keys.whole("restart_delay", MS).unwrap_or(0),
        exp_backoff_restart_delay_ms: keys.whole("exp_backoff_restart_delay", MS).filter(|ms| *ms > 0),
        max_memory_restart_bytes: keys
            .whole("max_memory_restart", "bytes, a whole number")
            .filter(|n| *n > 0),
        cron_restart: fields.get("cron_restart").and_then(Value::as_str).map(str::to_owned),
        wait_ready: keys.on("wait_ready"),
        listen_timeout_ms: (keys.whole("listen_timeout", MS))
            .or_else(|| surroundings.switch_ms("PM2_GRACEFUL_LISTEN_TIMEOUT"))
            .unwrap_or(3_000),
        kill_timeout_ms: (keys.whole("kill_timeout", MS))
            .or_else(|| surroundings.switch_ms("PM2_KILL_TIMEOUT"))
            .unwrap_or(1_600),
        kill_retry_time_ms: keys.whole("kill_retry_time", MS).unwrap_or(100),
        kill_signal: surroundings.switch("PM2_KILL_SIGNAL").unwrap_or("SIGINT").to_owned(),
        treekill: keys.on("treekill"),
        shutdown_with_message: keys.on("shutdown_with_message")
            || surroundings.switch("PM2_KILL_USE_MESSAGE").is_some(),
        merge_logs: keys.on("merge_logs"),
        out_file: stream("out_file", "out"),
        error_file: stream("error_file", "error"),
        log_file: logs::combined(fields.get("log_file"), &file_name, &cwd, surroundings),
        disable_logs: keys.on("disable_logs"),
        log_type: match keys.text("log_type") {
            None => LogType::Raw,
            Some(kind) if kind == "json" => LogType::Json,
            Some(kind) => LogType::Other(kind),
        },
        log_date_format: keys
            .text("log_date_format")
            .or_else(|| surroundings.switch("PM2_LOG_DATE_FORMAT").map(str::to_owned)),
        time: keys.on("time"),
        pid_file: keys.text("pid_file").map_or_else(
            || surroundings.pm2_home.join("pids").join(format!("{file_name}.pid")),
            |path| logs::absolute(&path, &cwd, surroundings),
        ),
        uid: keys.text("uid"),
        gid: keys.text("gid"),
        watch: match fields.get("watch") {
            Some(Value::Bool(true)) => Watch::Cwd,
            Some(Value::Array(paths)) => Watch::Paths(paths.iter().map(coerce::text).collect()),
            Some(Value::String(path)) if !path.is_empty() => Watch::Paths(vec![path.clone()]),
            _ => Watch::Off,
        },
        ignore_watch: keys.list("ignore_watch"),
        watch_delay_ms: keys.whole("watch_delay", MS).unwrap_or(0),
        watch_options: fields.get("watch_options").cloned(),
        source_map_support: !keys.on("disable_source_map_support"),
        force: keys.on("force"),
        vizion: keys.on("vizion"),
        pmx: keys.on("pmx") && keys.on("automation"),
        automation: keys.on("automation"),
        monitoring: ["trace", "v8", "event_loop_inspector", "deep_monitoring", "io"]
            .into_iter()
            .filter(|key| keys.on(key))
            .collect(),
        post_update: keys.list("post_update").unwrap_or_default(),
        install_url: keys.text("install_url"),
        write: keys.on("write"),
        username: keys.text("username"),
        windows_hide: keys.on("windowsHide"),
        stopped: false,
        node_version: None,
        given: std::mem::take(&mut checked.given),
        name,
        script,
        script_path,
        script_found,
        command_line,
        cwd,
        interpreter,
    };
    if keys.problems.is_empty() { Ok(app) } else { Err(keys.problems) }
}

fn exit_codes(value: Option<&Value>) -> Vec<i32> {
    let one = |value: &Value| {
        let number = coerce::number(value);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "an exit code fits; what does not can never match"
        )]
        (number.fract() == 0.0).then_some(number as i32)
    };
    match value {
        Some(Value::Array(codes)) => codes.iter().filter_map(one).collect(),
        Some(code) => one(code).into_iter().collect(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
