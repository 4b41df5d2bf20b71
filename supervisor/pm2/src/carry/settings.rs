//! Settings that fleet files have under pm2's own names.

use serde_json::json;

use super::Carried;
use crate::app::{LogFile, LogType, Pm2App, Watch};

pub(super) fn durations(app: &Pm2App, carried: &mut Carried) {
    let settings: [(&'static str, u64, u64); 4] = [
        ("listen_timeout", app.listen_timeout_ms, 3_000),
        ("kill_timeout", app.kill_timeout_ms, 1_600),
        ("min_uptime", app.min_uptime_ms, 1_000),
        ("restart_delay", app.restart_delay_ms, 0),
    ];
    for (field, ms, default) in settings {
        if ms != default || (field == "listen_timeout" && app.gives(field)) {
            carried.offer(field, &[json!(ms)]);
        }
    }
    if app.max_restarts != 16 {
        carried.set("max_restarts", json!(app.max_restarts));
    }
    if app.wait_ready {
        carried.set("wait_ready", json!(true));
    }
}

pub(super) fn carry(app: &Pm2App, carried: &mut Carried) {
    if !app.autostart || app.stopped {
        carried.offer("autostart", &[json!(false)]);
    }
    if !app.autorestart {
        carried.offer("autorestart", &[json!(false)]);
    }
    // No process ends with another one, so those never mattered.
    let codes: Vec<_> = app.stop_exit_codes.iter().filter(|code| (0..=255).contains(*code)).collect();
    if !codes.is_empty() {
        carried.offer("stop_exit_codes", &[json!(codes)]);
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
    if let Some(pattern) = app.cron_restart.as_ref().filter(|pattern| pattern.trim() != "0") {
        carried.offer("cron_restart", &[json!(pattern)]);
    }
    if app.shutdown_with_message {
        carried.offer("shutdown_with_message", &[json!(true)]);
    }
    if app.kill_signal != "SIGINT" {
        let long = format!("SIG{}", app.kill_signal);
        carried.offer("kill_signal", &[json!(app.kill_signal), json!(long)]);
    }
    if !app.treekill {
        carried.offer("treekill", &[json!(false)]);
    }
    if !app.source_map_support {
        carried.offer("source_map_support", &[json!(false)]);
    }
    if app.instance_var != "NODE_APP_INSTANCE" {
        carried.offer("instance_var", &[json!(app.instance_var)]);
    }
    if let Some(variable) = &app.increment_var {
        carried.offer("increment_var", &[json!(variable)]);
    }
    if app.namespace != "default" {
        carried.offer("namespace", &[json!(app.namespace)]);
    }
    if let Some(user) = &app.uid {
        carried.offer_as("uid", "user", &[json!(user)]);
    }
    if let Some(group) = &app.gid {
        carried.offer_as("gid", "group", &[json!(group)]);
    }
    watch(app, carried);
    logs(app, carried);
}

/// A release never changes, so watching it says nothing there; other folders may.
fn watch(app: &Pm2App, carried: &mut Carried) {
    match &app.watch {
        Watch::Off => return,
        Watch::Paths(paths) if paths.iter().all(|path| path.starts_with('/')) && !paths.is_empty() => {
            if !carried.offer("watch", &[json!(paths)]) {
                return;
            }
        }
        Watch::Cwd | Watch::Paths(_) => {
            carried.lost.insert("watch");
            return;
        }
    }
    if let Some(patterns) = &app.ignore_watch {
        carried.offer("ignore_watch", &[json!(patterns)]);
    }
    if app.watch_delay_ms > 0 {
        carried.offer("watch_delay", &[json!(app.watch_delay_ms)]);
    }
}

fn logs(app: &Pm2App, carried: &mut Carried) {
    if app.disable_logs {
        carried.offer("disable_logs", &[json!(true)]);
    }
    if app.log_type == LogType::Json {
        carried.offer("log_type", &[json!("json")]);
    }
    if app.time {
        carried.offer("time", &[json!(true)]);
    } else if let Some(format) = &app.log_date_format {
        carried.offer("log_date_format", &[json!(format)]);
    }
    let mut named = false;
    for (field, file) in
        [("out_file", &app.out_file), ("error_file", &app.error_file), ("log_file", &app.log_file)]
    {
        if app.gives(field) {
            match file {
                LogFile::Path(path) => named |= carried.offer(field, &[json!(path)]),
                // Nothing is what there is without a word.
                LogFile::None if field == "log_file" => {}
                LogFile::None => {
                    carried.offer(field, &[json!("/dev/null")]);
                }
            }
        }
    }
    // pm2 decides by the mode that is given, and here one always is.
    if named {
        carried.offer("merge_logs", &[json!(app.merge_logs)]);
    }
    if app.gives("pid_file") {
        carried.offer("pid_file", &[json!(app.pid_file)]);
    }
}
