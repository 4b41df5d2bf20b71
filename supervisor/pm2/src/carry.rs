//! One application of pm2's as the application of a fleet file, and what of it cannot be said there.
//!
//! What a fleet file can say is asked of [`Application`] itself: a setting that it learns under pm2's name is carried over
//! from that day on, and until then it is reported as lost.

mod variables;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use muster_domain::fleet::Application;
use muster_domain::{ApplicationName, EnvironmentName};
use serde_json::{Map, Value, json};

use crate::app::{ExecMode, InstancesGiven, Interpreter, LogType, Pm2App, Watch};

/// An application on its way into a fleet file.
pub(crate) struct Carried {
    pub(crate) name: ApplicationName,
    /// Its settings as in a fleet file; a valid [`Application`] always.
    pub(crate) settings: Map<String, Value>,
    /// Why it cannot run there as it is.
    pub(crate) left_out: Option<String>,
    /// pm2's fields that a fleet file cannot say.
    pub(crate) lost: BTreeSet<&'static str>,
    /// Variables that became secrets.
    pub(crate) secrets: BTreeSet<String>,
    /// Those that a section `env_<name>` gives a value of its own, with the environment.
    pub(crate) secrets_of_environments: BTreeSet<(String, EnvironmentName)>,
    /// Variables that a fleet file does not take, with the reason.
    pub(crate) refused_variables: Vec<(String, &'static str)>,
    /// `env_<name>` sections and the environment that each became.
    pub(crate) environments: BTreeMap<String, EnvironmentName>,
    /// Sections whose names no environment can have.
    pub(crate) unnamed_sections: Vec<String>,
    /// PORT, when another application has that port already.
    pub(crate) port_taken: Option<u16>,
}

/// All applications, with names and ports that are theirs alone.
pub(crate) fn carry(apps: &[Pm2App]) -> Vec<Carried> {
    let mut names = BTreeSet::new();
    let mut ports = BTreeSet::new();
    apps.iter().map(|app| one(app, &mut names, &mut ports)).collect()
}

fn one(app: &Pm2App, names: &mut BTreeSet<String>, ports: &mut BTreeSet<u16>) -> Carried {
    let mut carried = Carried {
        name: unique_name(&app.name, names),
        settings: Map::new(),
        left_out: None,
        lost: BTreeSet::new(),
        secrets: BTreeSet::new(),
        secrets_of_environments: BTreeSet::new(),
        refused_variables: Vec::new(),
        environments: BTreeMap::new(),
        unnamed_sections: Vec::new(),
        port_taken: None,
    };
    match script(app) {
        Ok(script) => carried.set("script", json!(script)),
        Err(reason) => {
            carried.set("script", json!(app.script));
            carried.left_out = Some(reason);
        }
    }
    if let Some(version) = nodejs(app) {
        carried.set("nodejs", json!(version));
    }
    if app.command_line.is_none() {
        carried.set_unless_empty("args", &app.args);
    }
    carried.set_unless_empty("node_args", &app.node_args);
    carried.set("exec_mode", json!(if app.exec_mode == ExecMode::Fork { "fork" } else { "cluster" }));
    match app.instances.given {
        InstancesGiven::Absent => {}
        InstancesGiven::Count(count) => carried.set("instances", json!(count.clamp(1, 256))),
        InstancesGiven::Max | InstancesGiven::AllBut(_) => carried.set("instances", json!("max")),
    }
    durations(app, &mut carried);
    if let Some(user) = &app.uid {
        let name =
            user.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
                && user.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
                && user.len() <= 32;
        if name {
            carried.set("user", json!(user));
        } else {
            carried.lost.insert("uid");
        }
    }
    variables::carry(app, ports, &mut carried);
    settings_under_the_same_name(app, &mut carried);
    carried
}

impl Carried {
    fn set(&mut self, key: &str, value: Value) {
        self.settings.insert(key.to_owned(), value);
    }

    fn set_unless_empty(&mut self, key: &str, list: &[String]) {
        if !list.is_empty() {
            self.set(key, json!(list));
        }
    }

    /// Sets the first of these values that a fleet file takes under this key, or notes the field as lost.
    fn offer(&mut self, field: &'static str, values: &[Value]) {
        for value in values {
            let mut tried = self.settings.clone();
            tried.insert(field.to_owned(), value.clone());
            if serde_json::from_value::<Application>(Value::Object(tried.clone())).is_ok() {
                self.settings = tried;
                return;
            }
        }
        self.lost.insert(field);
    }
}

/// A name as fleet files want it, that no application before has.
fn unique_name(name: &str, names: &mut BTreeSet<String>) -> ApplicationName {
    let base = label(name).unwrap_or_else(|| "app".to_owned());
    let mut candidate = base.clone();
    let mut number = 2;
    while !names.insert(candidate.clone()) {
        let end = base.len().min(58);
        candidate = format!("{}-{number}", base[..end].trim_end_matches('-'));
        number += 1;
    }
    ApplicationName::parse(candidate).expect("it was made to fit the grammar")
}

/// Lower-case letters, digits and single hyphens in between, at most 63; `None` when nothing is left.
fn label(text: &str) -> Option<String> {
    let mut label = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            label.push(c);
        } else if !label.is_empty() && !label.ends_with('-') {
            label.push('-');
        }
    }
    label.truncate(63);
    let label = label.trim_end_matches('-').to_owned();
    (!label.is_empty()).then_some(label)
}

/// The script relative to the release, or why a release cannot have it.
fn script(app: &Pm2App) -> Result<String, String> {
    if let Some(line) = &app.command_line {
        let program = line.split_whitespace().next().unwrap_or_default();
        return Err(format!("it is a command line for a shell ({program} …); name the script that it runs"));
    }
    if matches!(app.script.as_str(), "npm" | "npx" | "yarn" | "pnpm") {
        return Err(format!("it runs {}; name the file that its script in package.json starts", app.script));
    }
    if !app.interpreter.nodejs() {
        let what = match &app.interpreter {
            Interpreter::None => "is executed itself".to_owned(),
            other => format!("is run by {}", other.name()),
        };
        return Err(format!("it {what}, and applications of a fleet file run on Node.js"));
    }
    let inside = app.script_path.strip_prefix(&app.cwd).ok().filter(|path| *path != Path::new(""));
    match inside.and_then(Path::to_str) {
        Some(path) => Ok(path.to_owned()),
        None => Err(format!(
            "its script is outside of its working directory {}, which becomes the release",
            app.cwd.display()
        )),
    }
}

/// The version that was chosen, or that ran it.
fn nodejs(app: &Pm2App) -> Option<String> {
    let version = |text: &str| {
        let text = text.trim_start_matches('v');
        (text.starts_with(|c: char| c.is_ascii_digit())
            && text.chars().all(|c| c.is_ascii_digit() || c == '.'))
        .then(|| text.to_owned())
    };
    match &app.interpreter {
        Interpreter::NodeVersion(chosen) => version(chosen),
        // nvm and its kin: …/versions/node/v20.11.0/bin/node.
        Interpreter::Program(path) => path.split('/').filter(|part| part.starts_with('v')).find_map(version),
        _ => app
            .node_version
            .as_deref()
            .and_then(version)
            .map(|v| v.split('.').next().unwrap_or("*").to_owned()),
    }
}

fn durations(app: &Pm2App, carried: &mut Carried) {
    let settings: [(&'static str, u64, u64); 4] = [
        ("listen_timeout", app.listen_timeout_ms, 3_000),
        ("kill_timeout", app.kill_timeout_ms, 1_600),
        ("min_uptime", app.min_uptime_ms, 1_000),
        ("restart_delay", app.restart_delay_ms, 0),
    ];
    for (field, ms, default) in settings {
        if ms != default || (field == "listen_timeout" && app.gives(field)) {
            match u32::try_from(ms) {
                Ok(ms) if ms > 0 || field != "listen_timeout" => carried.set(field, json!(ms)),
                _ => {
                    carried.lost.insert(field);
                }
            }
        }
    }
    if app.max_restarts != 16 {
        carried.set("max_restarts", json!(app.max_restarts));
    }
    if app.wait_ready {
        carried.set("wait_ready", json!(true));
    }
}

/// Settings that fleet files may know under pm2's own name.
fn settings_under_the_same_name(app: &Pm2App, carried: &mut Carried) {
    if !app.autostart {
        carried.offer("autostart", &[json!(false)]);
    }
    if !app.autorestart {
        carried.offer("autorestart", &[json!(false)]);
    }
    if !app.stop_exit_codes.is_empty() {
        carried.offer("stop_exit_codes", &[json!(app.stop_exit_codes)]);
    }
    if let Some(ms) = app.exp_backoff_restart_delay_ms {
        carried.offer("exp_backoff_restart_delay", &[json!(ms)]);
    }
    if let Some(bytes) = app.max_memory_restart_bytes {
        let short = [("G", 1u64 << 30), ("M", 1 << 20), ("K", 1 << 10)]
            .into_iter()
            .find(|(_, unit)| bytes.is_multiple_of(*unit))
            .map(|(letter, unit)| json!(format!("{}{letter}", bytes / unit)));
        let values: Vec<_> = short.into_iter().chain([json!(bytes)]).collect();
        carried.offer("max_memory_restart", &values);
    }
    if let Some(pattern) = &app.cron_restart {
        carried.offer("cron_restart", &[json!(pattern)]);
    }
    if app.shutdown_with_message {
        carried.offer("shutdown_with_message", &[json!(true)]);
    }
    if app.kill_signal != "SIGINT" {
        carried.offer("kill_signal", &[json!(app.kill_signal)]);
    }
    if !app.treekill {
        carried.offer("treekill", &[json!(false)]);
    }
    if app.instance_var != "NODE_APP_INSTANCE" {
        carried.offer("instance_var", &[json!(app.instance_var)]);
    }
    if let Some(variable) = &app.increment_var {
        carried.offer("increment_var", &[json!(variable)]);
    }
    if let Some(group) = &app.gid {
        carried.offer("gid", &[json!(group)]);
    }
    match &app.watch {
        Watch::Off => {}
        Watch::Cwd => carried.offer("watch", &[json!(true)]),
        Watch::Paths(paths) => carried.offer("watch", &[json!(paths)]),
    }
    if app.disable_logs {
        carried.offer("disable_logs", &[json!(true)]);
    }
    if app.log_type == LogType::Json {
        carried.offer("log_type", &[json!("json")]);
    }
    if let Some(format) = &app.log_date_format {
        carried.offer("log_date_format", &[json!(format)]);
    }
    for (field, file) in
        [("out_file", &app.out_file), ("error_file", &app.error_file), ("log_file", &app.log_file)]
    {
        if app.gives(field) {
            match file {
                crate::app::LogFile::Path(path) => carried.offer(field, &[json!(path)]),
                crate::app::LogFile::None => carried.offer(field, &[json!("/dev/null")]),
            }
        }
    }
    if app.gives("pid_file") {
        carried.offer("pid_file", &[json!(app.pid_file)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_grammar_and_are_unique() {
        let mut names = BTreeSet::new();
        let long = "x".repeat(80);
        let given =
            ["Shop API", "shop-api", "shop_api", "prefix:web", "ünïcode", "---", "日本", &long, &long];
        let made: Vec<_> = given.into_iter().map(|name| unique_name(name, &mut names).to_string()).collect();
        assert_eq!(
            made[..7],
            ["shop-api", "shop-api-2", "shop-api-3", "prefix-web", "n-code", "app", "app-2"]
        );
        assert_eq!(made[7].len(), 63);
        assert!(made[8].ends_with("-2") && made[8].len() <= 63);
    }
}
