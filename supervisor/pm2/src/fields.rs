//! The keys of an application in pm2's files: types, aliases, patterns and defaults of pm2 7.0.3.

use serde_json::{Value, json};

use crate::coerce::Kind::{self, Boolean, List, Map, Number, Text};

/// How a text must look, and what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// `^\d+(G|M|K)?$`: bytes, powers of 1024.
    Size,
    /// `^\d+(h|m|s)?$`: milliseconds.
    Time,
    /// `^(cluster|fork)(_mode)?$`.
    ExecMode,
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    /// What it may be; pm2 splits text when the first is a list.
    pub(crate) kinds: &'static [Kind],
    /// Other names besides camelCase, in the order in which pm2 looks for them.
    pub(crate) aliases: &'static [&'static str],
    pub(crate) pattern: Option<Pattern>,
    pub(crate) at_least: Option<f64>,
}

const fn field(name: &'static str, kinds: &'static [Kind]) -> Field {
    Field { name, kinds, aliases: &[], pattern: None, at_least: None }
}

impl Field {
    const fn alias(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    const fn pattern(self, pattern: Pattern) -> Self {
        Self { pattern: Some(pattern), ..self }
    }

    const fn at_least(self, at_least: f64) -> Self {
        Self { at_least: Some(at_least), ..self }
    }

    /// The name in camelCase, which is always understood.
    pub(crate) fn camel(&self) -> String {
        let mut parts = self.name.split('_');
        let mut camel = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            match part.chars().next() {
                Some(first) if part.len() > 1 => {
                    camel.push(first.to_ascii_uppercase());
                    camel.push_str(&part[1..]);
                }
                _ => camel.push_str(part),
            }
        }
        camel
    }

    /// What may be written, for people.
    pub(crate) fn valid(&self) -> String {
        match (self.pattern, self.at_least, self.name) {
            (Some(Pattern::Size), ..) => "bytes, or a whole number with K, M or G: \"300M\"".to_owned(),
            (Some(Pattern::Time), at_least, _) => format!(
                "milliseconds (at least {}), or a whole number with s, m or h: \"5s\"",
                at_least.unwrap_or_default()
            ),
            (Some(Pattern::ExecMode), ..) => "fork, fork_mode, cluster or cluster_mode".to_owned(),
            (_, _, "instances") => "a whole number, or \"max\"".to_owned(),
            (_, _, "cron_restart") => {
                "a cron pattern of 5 or 6 fields such as \"0 3 * * *\", or 0".to_owned()
            }
            (_, Some(at_least), _) => format!("a number, at least {at_least}"),
            _ => {
                let words: Vec<_> = self.kinds.iter().map(|kind| kind.word()).collect();
                words.join(" or ")
            }
        }
    }
}

/// The prefix of the sections that `--env NAME` chooses.
pub(crate) const ENV_PREFIX: &str = "env_";

pub(crate) const FIELDS: &[Field] = &[
    field("script", &[Text]).alias(&["exec"]),
    field("name", &[Text]),
    field("name_prefix", &[Text]),
    field("filter_env", &[Boolean, List, Text]),
    field("namespace", &[Text]),
    field("install_url", &[Text]),
    field("cwd", &[Text]),
    field("args", &[List, Text]),
    field("exec_interpreter", &[Text]).alias(&["interpreter"]),
    field("node_args", &[List, Text]).alias(&["interpreter_args", "interpreterArgs"]),
    field("out_file", &[Text]).alias(&["out_log", "output", "out"]),
    field("error_file", &[Text]).alias(&["err_log", "err_file", "err", "error"]),
    field("log_file", &[Boolean, Text]).alias(&["log"]),
    field("disable_logs", &[Boolean]),
    field("log_type", &[Text]),
    field("log_date_format", &[Text]),
    field("time", &[Boolean]),
    field("env", &[Map, Text]),
    field("max_memory_restart", &[Text, Number]).pattern(Pattern::Size),
    field("pid_file", &[Text]).alias(&["pid"]),
    field("restart_delay", &[Number]),
    field("exp_backoff_restart_delay", &[Number]),
    field("source_map_support", &[Boolean]),
    field("disable_source_map_support", &[Boolean]),
    field("wait_ready", &[Boolean]),
    field("instances", &[Number]),
    field("kill_timeout", &[Number]),
    field("shutdown_with_message", &[Boolean]),
    field("listen_timeout", &[Number]),
    field("cron_restart", &[Text, Number]).alias(&["cron"]),
    field("merge_logs", &[Boolean]).alias(&["combine_logs"]),
    field("vizion", &[Boolean]),
    field("autostart", &[Boolean]),
    field("autorestart", &[Boolean]),
    field("stop_exit_codes", &[List, Number]),
    field("watch_delay", &[Number]),
    field("watch", &[Boolean, List, Text]),
    field("ignore_watch", &[List, Text]),
    field("watch_options", &[Map]),
    field("min_uptime", &[Number, Text]).pattern(Pattern::Time).at_least(100.0),
    field("max_restarts", &[Number]).at_least(0.0),
    field("execute_command", &[Boolean]),
    field("exec_mode", &[Text]).pattern(Pattern::ExecMode),
    field("force", &[Boolean]),
    field("append_env_to_name", &[Boolean]),
    field("post_update", &[List]),
    field("trace", &[Boolean]),
    field("disable_trace", &[Boolean]),
    field("v8", &[Boolean]),
    field("event_loop_inspector", &[Boolean]),
    field("deep_monitoring", &[Boolean]),
    field("increment_var", &[Text]),
    field("instance_var", &[Text]),
    field("pmx", &[Boolean, Text]),
    field("automation", &[Boolean]),
    field("treekill", &[Boolean]),
    field("port", &[Number]),
    field("username", &[Text]),
    field("uid", &[Number, Text]).alias(&["user"]),
    field("gid", &[Number, Text]),
    field("windowsHide", &[Boolean]),
    field("kill_retry_time", &[Number]),
    field("write", &[Boolean]),
    field("io", &[Map]),
];

/// What pm2 fills in while it validates. The other defaults come later, where each is used.
pub(crate) fn default_of(name: &str) -> Option<Value> {
    match name {
        "vizion" | "autostart" | "autorestart" | "pmx" | "automation" | "treekill" | "windowsHide" => {
            Some(json!(true))
        }
        "instance_var" => Some(json!("NODE_APP_INSTANCE")),
        "kill_retry_time" => Some(json!(100)),
        _ => None,
    }
}

/// Keys that pm2 knows outside its schema.
pub(crate) const SCRIPT_ALIASES: [&str; 2] = ["cmd", "command"];
